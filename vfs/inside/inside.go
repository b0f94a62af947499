// Package inside has the commands that look at bundles and into them: ls, find, cat,
// head, tail, grep, diff, info, receipts and help, as people know them from Unix. They
// read a View or files on a disk alike, and know neither SSH nor any store.
//
// It guarantees that output streams in bounded memory; that a command ends when its
// context does, when nobody reads its output any more, and at its Limits; that exit
// statuses are those of the Unix tools (grep: 0 found, 1 nothing, 2 trouble; diff
// likewise; all others: 0, 1 trouble); and that what a bundle holds cannot move the
// cursor of a terminal.
//
// It deliberately has no pipes, variables or wildcards of a shell beyond those of
// path.Match in names.
package inside

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"runtime"
	"slices"
	"time"

	"bundleup/vfs"
)

// FS is what the commands read. Names are slash-separated; X.tgz.d is what is inside
// the bundle X.tgz. A vfs.View is one. Where it is a vfs.Linker links are shown as
// links, and where it is a vfs.Bundler bundles are searched on all cores. Errors are
// told by vfs.Explain.
type FS interface {
	Stat(ctx context.Context, name string) (fs.FileInfo, error)
	List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error]
	Open(ctx context.Context, name string) (vfs.File, error)
}

// IO is where a command writes.
type IO struct {
	Out io.Writer
	Err io.Writer
	// Terminal says that a terminal shows the output as it is: lines end in \r\n
	// and control characters are escaped.
	Terminal bool
}

// Config bounds the commands. Zero fields take their defaults.
type Config struct {
	// Time is how long one command may run. Default 1 hour.
	Time time.Duration
	// Output is how many bytes one command may write. Default 1 TiB.
	Output int64
	// Workers is how many cores all commands together may use. Default all.
	Workers int
	// Commands are the names that may be run; nil means all.
	Commands []string
	// Notes are lines that help adds to the commands.
	Notes []string
}

// Commands runs commands. It is safe for concurrent use.
type Commands struct {
	cfg     Config
	workers chan struct{} // one for each span of a bundle that is being searched
}

// New makes Commands.
func New(cfg Config) *Commands {
	if cfg.Time <= 0 {
		cfg.Time = time.Hour
	}
	if cfg.Output <= 0 {
		cfg.Output = 1 << 40
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	return &Commands{cfg: cfg, workers: make(chan struct{}, cfg.Workers)}
}

// Exit statuses. Trouble is grep's and diff's; the others fail with Failed.
const (
	exitOK      = 0
	exitFailed  = 1
	exitTrouble = 2
)

// command is one entry of the table.
type command struct {
	usage string
	what  string
	run   func(*run, []string) int
	fails int // the exit status for trouble
}

// table are the commands by name.
func table() map[string]command {
	return map[string]command{
		"ls":       {"ls [-l] [PATH...]", "list a directory, also inside a bundle", (*run).ls, exitFailed},
		"find":     {"find PATH... [-name GLOB] [-type f|d|l]", "go through everything below, bundles included", (*run).find, exitFailed},
		"cat":      {"cat PATH...", "write files out", (*run).cat, exitFailed},
		"head":     {"head [-n LINES | -c BYTES] PATH...", "the beginning of files", (*run).head, exitFailed},
		"tail":     {"tail [-n LINES | -c BYTES] PATH...", "the end of files", (*run).tail, exitFailed},
		"grep":     {"grep [-i] [-n] [-b] [-c] [-l] [-h] [-a] [-F] REGEXP PATH...", "search files, directories, bundles, tenants (RE2)", (*run).grep, exitTrouble},
		"diff":     {"diff BUNDLE BUNDLE", "what was added, removed and changed", (*run).diff, exitTrouble},
		"info":     {"info BUNDLE...", "the receipt, what is at the top, the biggest files", (*run).info, exitFailed},
		"receipts": {"receipts [PATH]", "what became of uploads, newest last", (*run).receipts, exitFailed},
		"help":     {"help", "this text", (*run).help, exitFailed},
	}
}

// Names are the commands that may be run, sorted.
func (c *Commands) Names() []string {
	names := slices.Sorted(maps.Keys(table()))
	if c.cfg.Commands == nil {
		return names
	}
	return slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(c.cfg.Commands, n) })
}

// run is one run of a command.
type run struct {
	*Commands
	command
	name   string
	ctx    context.Context
	cancel context.CancelCauseFunc
	fsys   FS
	out    *output
	err    io.Writer
	failed bool // something was told on err
}

// errTime and errOutput end a command at its limits.
var (
	errTime   = errors.New("stopped: it took too long: name less at once")
	errOutput = errors.New("stopped: too much output: name less at once")
	errClosed = errors.New("nobody reads the output")
)

// Run runs the command and returns its exit status. An unknown command gives 127.
func (c *Commands) Run(ctx context.Context, fsys FS, stdio IO, name string, args []string) int {
	cmd, ok := table()[name]
	if !ok || !slices.Contains(c.Names(), name) {
		fmt.Fprintf(stdio.Err, "%s: no such command: try help\r\n", vfs.Printable(name, vfs.MaxText))
		return 127
	}
	ctx, stop := context.WithTimeoutCause(ctx, c.cfg.Time, errTime)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Commands: c, command: cmd, name: name, ctx: ctx, cancel: cancel, fsys: fsys, err: stdio.Err}
	r.out = newOutput(stdio, c.cfg.Output, cancel)
	status := cmd.run(r, args)
	r.out.flush()
	return r.ended(status)
}

// ended is the exit status after all: a command that was stopped has failed.
func (r *run) ended(status int) int {
	cause := context.Cause(r.ctx)
	switch {
	case cause == errTime || cause == errOutput:
		r.say(cause.Error())
		return r.fails
	case cause != nil:
		return r.fails
	case r.failed && status < r.fails:
		return r.fails
	}
	return status
}

// say writes a line to standard error, once the output before it is out.
func (r *run) say(text string) {
	r.out.flush()
	r.failed = true
	fmt.Fprintf(r.err, "%s: %s\r\n", r.name, vfs.Printable(text, vfs.MaxText))
}

// complain tells what is wrong with one name. It is quiet about what follows from the
// end of the command.
func (r *run) complain(name string, err error) {
	if r.ctx.Err() != nil {
		return
	}
	_, text := vfs.Explain(err)
	r.say(name + ": " + text)
}

// misused tells how the command is used.
func (r *run) misused(why string) int {
	r.say(why + ": usage: " + r.usage)
	return max(r.fails, exitFailed)
}
