package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bundleup/vfs/bundle"
)

// progressFrom is the size of a file from which on a terminal gets a bar.
const progressFrom = 256 << 20

// checkResult is one line of "check --json".
type checkResult struct {
	File      string            `json:"file"`
	Sound     bool              `json:"sound"`
	Size      int64             `json:"size,omitempty"`
	Entries   int64             `json:"entries,omitempty"`
	Unpacked  int64             `json:"unpacked,omitempty"`
	Members   int64             `json:"members,omitempty"`
	Rejection *checkedRejection `json:"rejection,omitempty"`
	Error     string            `json:"error,omitempty"`
}

type checkedRejection struct {
	Rule   bundle.Rule `json:"rule"`
	Entry  string      `json:"entry,omitempty"`
	Offset int64       `json:"offset"`
	Reason string      `json:"reason"`
	Mend   string      `json:"mend,omitempty"`
}

func checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Check bundles as the daemon does: exit 0 sound, 1 refused, 2 usage or I/O",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return checkFiles(cmd, files, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per file")
	return cmd
}

// checkFiles checks one file after the other; the worst decides the exit status.
func checkFiles(cmd *cobra.Command, files []string, asJSON bool) error {
	worst := 0
	for _, file := range files {
		m, err := checkFile(cmd, file)
		code := exitOf(err)
		worst = max(worst, code)
		if asJSON {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(resultOf(file, m, err))
		} else {
			err = report(cmd, file, m, err)
		}
		if err != nil {
			return exitError{code: 2, err: err}
		}
	}
	if worst > 0 {
		return exitError{code: worst}
	}
	return nil
}

func exitOf(err error) int {
	var r *bundle.Rejection
	switch {
	case err == nil:
		return 0
	case errors.As(err, &r):
		return 1
	}
	return 2
}

func report(cmd *cobra.Command, file string, m *bundle.Manifest, err error) error {
	var r *bundle.Rejection
	switch {
	case errors.As(err, &r):
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "bundleup: %s\n", r.Message(filepath.Base(file)))
	case err != nil:
		_, err = fmt.Fprintf(cmd.ErrOrStderr(), "bundleup: %v\n", err)
	default:
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: sound, %d entries, %d bytes unpacked\n", file, m.Entries, m.Unpacked)
	}
	return err
}

func resultOf(file string, m *bundle.Manifest, err error) checkResult {
	res := checkResult{File: file, Sound: err == nil}
	var r *bundle.Rejection
	switch {
	case errors.As(err, &r):
		res.Rejection = &checkedRejection{Rule: r.Rule, Entry: r.Entry, Offset: r.Offset, Reason: r.Reason, Mend: r.Mend}
	case err != nil:
		res.Error = err.Error()
	default:
		res.Size, res.Entries, res.Unpacked, res.Members = m.Size, m.Entries, m.Unpacked, m.Members
	}
	return res
}

// checkFile runs the check over one file; "-" is standard input.
func checkFile(cmd *cobra.Command, file string) (*bundle.Manifest, error) {
	in, size := cmd.InOrStdin(), int64(0)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("check %s: is a directory", file)
		}
		in, size = f, info.Size()
	}
	check := bundle.NewCheck(bundle.DefaultLimits())
	var dst io.Writer = check
	if bar := newBar(cmd.ErrOrStderr(), file, size, progressFrom); bar != nil {
		defer bar.clear()
		dst = io.MultiWriter(check, bar)
	}
	// The check must see every byte as a reader would hand it over, so
	// neither side may shortcut the copy.
	buf := make([]byte, 256<<10)
	if _, err := io.CopyBuffer(dst, struct{ io.Reader }{in}, buf); err != nil {
		return nil, err
	}
	return check.Finish()
}

// bar is a progress bar on a terminal. Writing to it moves it on.
type bar struct {
	w           io.Writer
	name        string
	done, total int64
	percent     int64
}

// newBar gives a bar for what has at least from bytes when w is a terminal, else nil.
func newBar(w io.Writer, file string, total, from int64) *bar {
	f, ok := w.(*os.File)
	if !ok || total < max(from, 1) || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &bar{w: w, name: filepath.Base(file), total: total, percent: -1}
}

func (b *bar) Write(p []byte) (int, error) {
	b.done += int64(len(p))
	if percent := min(b.done*100/b.total, 100); percent != b.percent {
		b.percent = percent
		const width = 30
		full := int(percent * width / 100)
		fmt.Fprintf(b.w, "\r\x1b[K%s [%-*s] %3d %%", b.name, width, bars[:full], percent)
	}
	return len(p), nil
}

// skip moves the bar on without bytes at hand.
func (b *bar) skip(n int64) {
	b.done += n
	b.Write(nil)
}

func (b *bar) clear() { fmt.Fprint(b.w, "\r\x1b[K") }

const bars = "=============================="
