package vfs

import (
	"context"
	"errors"
	"io/fs"

	"bundleup/vfs/bundle"
)

// Kind classes an error for the protocols, which have codes of their own.
type Kind int

// The kinds. The zero Kind is a failure of ours whose cause stays in the log.
const (
	Internal Kind = iota
	NotExist      // no such name, or none this account may know of
	Denied        // the role does not allow it
	Refused       // the bytes, the name or the moment is wrong: see the text
	Exists        // the name is taken
	Full          // no space, or a limit of the tenant
	Canceled      // the connection or the daemon is going away
)

// Error is an error of a View or an Upload. Text is what the peer is told: what
// is wrong and what to do, without any path of the server. Err is the cause,
// for the log; it may be nil.
type Error struct {
	Kind Kind
	Op   string // "open", "write", "close", "rename", ...
	Name string // as the peer named it
	Text string
	Err  error
}

// Error tells the whole story, for the log.
func (e *Error) Error() string {
	s := e.Op + " " + e.Name + ": " + e.Text
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is work with the sentinels of io/fs.
func (e *Error) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Kind == NotExist
	case fs.ErrPermission:
		return e.Kind == Denied
	case fs.ErrExist:
		return e.Kind == Exists
	}
	return false
}

// Explain splits an error for its two audiences: the kind and the text are for
// the peer, the error itself is for the log. It is the only way by which an
// error's words may reach a peer; an error that is not ours becomes "internal
// error", whatever it says. The text is Printable.
func Explain(err error) (Kind, string) {
	kind, text := told(err)
	return kind, Printable(text, MaxText)
}

// RuleTruncated is the rule of a stream that ends too early: what came of it is
// kept.
const RuleTruncated = bundle.RuleTruncated

// Refusal is the verdict on the bytes that an error of an Upload carries, in the
// words of a receipt; false where it carries none.
func Refusal(err error) (*RejectionInfo, bool) {
	var r *bundle.Rejection
	if !errors.As(err, &r) {
		return nil, false
	}
	_, text := Explain(err)
	return rejectionInfo(r, text), true
}

// told is Explain before the text is made safe.
func told(err error) (Kind, string) {
	var e *Error
	var r *bundle.Rejection
	switch {
	case errors.As(err, &e):
		return e.Kind, e.Text
	case errors.As(err, &r):
		return Refused, r.Message("")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled, "the server is closing the connection: try again"
	}
	return Internal, "internal error: nothing was lost, try again; if it stays, tell support the time"
}
