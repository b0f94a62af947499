package vfs

import (
	"errors"

	"bundleup/vfs/store"
)

// internal hides a failure of ours from the peer; the log gets the cause.
func internal(op, name string, cause error) error {
	if e := (*Error)(nil); errors.As(cause, &e) {
		return e
	}
	if errors.Is(cause, store.ErrFull) {
		return &Error{Kind: Full, Op: op, Name: name, Text: "the server's disk is full: nothing was lost: try again later", Err: cause}
	}
	if errors.Is(cause, store.ErrBusy) {
		return &Error{Kind: Refused, Op: op, Name: name, Text: name + " is still being sent through another server: nothing was lost: try again in a minute", Err: cause}
	}
	if errors.Is(cause, store.ErrUnavailable) {
		return &Error{Kind: Internal, Op: op, Name: name, Text: "the server's storage is not answering: nothing was lost: try again later", Err: cause}
	}
	return &Error{Kind: Internal, Op: op, Name: name, Text: "the server's storage failed: nothing was lost: try again later", Err: cause}
}
