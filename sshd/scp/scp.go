// Package scp is the far end of the legacy scp protocol, which OpenSSH speaks
// with scp -O and many libraries speak still, over a vfs.View. Nobody wrote the
// protocol down; the reference is sink() and source() in OpenSSH's scp.c.
//
// It guarantees that an answer of success comes after the bundle is durable;
// that a refused file leaves both ends in step, so that the next one goes on;
// that a lost connection keeps what was received; that no name in a record can
// leave the target; and that the words of an error reach the peer through
// vfs.Explain only, once: as the protocol's error message, which clients print,
// and not again on standard error, which OpenSSH and PuTTY print as well.
//
// It deliberately runs no shell: no variables, no pipes, no user's home. It
// knows no role and no bundle: that is vfs.
package scp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"

	"bundleup/vfs"
)

// IO is the channel of one scp command.
type IO struct {
	// In is what the client sends. It should fail when the context of Run ends.
	In io.Reader
	// Out is the protocol's way back.
	Out io.Writer
	// Err is standard error: lines for a person.
	Err io.Writer
	// Log is told about failures, with the session's attributes. Nil means no
	// log.
	Log *slog.Logger
}

// session is one run of the command.
type session struct {
	ctx    context.Context
	in     *bufio.Reader
	out    io.Writer
	err    io.Writer
	log    *slog.Logger
	view   vfs.View
	create func(ctx context.Context, name string, f vfs.Flags) (upload, error)
	failed bool // the exit status will say so
}

func newSession(ctx context.Context, stdio IO, view vfs.View) *session {
	if stdio.Log == nil {
		stdio.Log = slog.New(slog.DiscardHandler)
	}
	return &session{
		ctx:  ctx,
		in:   bufio.NewReaderSize(contextReader{ctx, stdio.In}, maxRecord),
		out:  stdio.Out,
		err:  stdio.Err,
		log:  stdio.Log,
		view: view,
		create: func(ctx context.Context, name string, f vfs.Flags) (upload, error) {
			return view.Create(ctx, name, f)
		},
	}
}

// contextReader fails when its context has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// Run executes the command that Split cut and returns its exit status: 0 when
// every file went through, else 1. It returns when the client ends its side or,
// when ctx ends, as soon as a blocked read of In does; an upload that is under
// way is suspended first.
func Run(ctx context.Context, args []string, stdio IO, view vfs.View) (exit int) {
	return newSession(ctx, stdio, view).main(args)
}

func (s *session) main(args []string) (exit int) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "op", "scp", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.note(explained("", errors.New("panic")))
			exit = 1
		}
	}()
	if err := s.run(args); err != nil {
		s.end(err)
		return 1
	}
	if s.failed {
		return 1
	}
	return 0
}

func (s *session) run(args []string) error {
	o, err := parse(args)
	switch {
	case err != nil && (o.to || o.from):
		return fatal{err}
	case err != nil:
		s.note(explained("", err))
		s.failed = true
		return nil
	case o.to:
		return newSink(s, o).run()
	}
	return newSource(s, o).run()
}

// end tells the peer, as far as it listens, why the command ends early.
func (s *session) end(err error) {
	var f fatal
	switch {
	case errors.As(err, &f):
		s.logFailure("", f.error)
		s.tell(answerFatal, explained("", f.error))
	case s.ctx.Err() != nil:
		s.note(explained("", s.ctx.Err()))
	case errors.Is(err, errHungUp):
		s.log.Debug("client hung up", "err", printable(err.Error()))
	default:
		s.logFailure("", err)
		s.note(explained("", err))
	}
}

// fatal is an error after which the two ends are no longer in step, or that
// leaves nothing to do.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// errHungUp says that the peer went away in the middle, or gave up.
var errHungUp = errors.New("the peer hung up")

// refused is an error of this package that the peer must read.
func refused(name, format string, args ...any) error {
	return &vfs.Error{Kind: vfs.Refused, Op: "scp", Name: name, Text: fmt.Sprintf(format, args...)}
}

// violated is a breach of the protocol.
func violated(format string, args ...any) error {
	return fatal{refused("", "protocol error: "+format, args...)}
}
