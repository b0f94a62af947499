package vfs

import (
	"context"
	"time"
)

// Upload is one bundle on its way in. Its methods are safe for concurrent use,
// and after a newer open of the name took over every method fails with the
// reason. It ends with exactly one of Commit, Suspend and Discard.
type Upload struct{}

// Begin says at which offset the first write lands: 0 starts anew and replaces
// what was kept, Kept continues behind it; anything else is refused with the
// kept size in the text. Without Begin the first write lands at 0.
func (u *Upload) Begin(off int64) error { return nil }

// Kept is how many bytes of an earlier try are kept and can be continued.
func (u *Upload) Kept() int64 { return 0 }

// Offset is where the next write lands: the bytes received so far.
func (u *Upload) Offset() int64 { return 0 }

// Write checks and stores the next bytes, in order. A rejection is sticky: this
// and every later call fail with the same error.
func (u *Upload) Write(p []byte) (int, error) { return 0, nil }

// Touch keeps the modification time for the published bundle.
func (u *Upload) Touch(mtime time.Time) {}

// Info describes the upload as Stat does: its name, the bytes received, now.
func (u *Upload) Info() *Info { return nil }

// Commit ends the upload at the client's close: it is sound and durable with a
// receipt, or the error says what it is.
func (u *Upload) Commit(ctx context.Context) (*Receipt, error) { return nil, nil }

// Suspend ends it at a lost connection: what was received is kept for resume.
// A stream that is whole and sound is sealed all the same.
func (u *Upload) Suspend(ctx context.Context) error { return nil }

// Discard forgets the bytes, as after a client's own abort.
func (u *Upload) Discard(ctx context.Context) error { return nil }
