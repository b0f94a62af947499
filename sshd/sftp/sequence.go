package sftp

import (
	"context"
	"fmt"
	"time"

	"bundleup/vfs"
)

const (
	// maxAhead is how many bytes beyond the next one may wait, over all open
	// uploads of a channel. The npm client ssh2 sends 64 blocks of 32 KiB in
	// any order.
	maxAhead = 4 << 20
	// blockCost is what a waiting block costs beside its bytes; without it,
	// one-byte blocks would.
	blockCost = 128
)

// upload is what this package needs of a *vfs.Upload.
type upload interface {
	Begin(off int64) error
	Kept() int64
	Offset() int64
	Write(p []byte) (int, error)
	Touch(mtime time.Time)
	Info() *vfs.Info
	Commit(ctx context.Context) (*vfs.Receipt, error)
	Suspend(ctx context.Context) error
}

// budget is memory that the sequences of one channel share, in bytes.
type budget struct{ left int }

// sequence brings the writes to one upload into order. What comes too early
// waits, in bounded memory, and has been answered with success by then: if it
// never fits, the close fails. It is used by one goroutine at a time.
type sequence struct {
	to    upload
	fresh bool // there is nothing to continue: the file starts at 0
	room  *budget

	begun   bool
	next    int64 // where the next byte for the upload lands
	waiting map[int64][]byte
	used    int // of room
}

// write takes p for off, or tells why it cannot be a part of this upload.
func (q *sequence) write(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if !q.begun {
		if err := q.begin(off); err != nil {
			return err
		}
	}
	switch {
	case !q.begun || off > q.next:
		return q.wait(p, off)
	case off < q.next:
		return refused(fmt.Sprintf("bundles are written once and in order: byte %d came again, after byte %d", off, q.next))
	}
	if err := q.pass(p); err != nil {
		return err
	}
	return q.catchUp()
}

// begin decides whether off is the first byte. It is not where a client that
// sends out of order means to start at 0; anywhere else the upload says what
// is wrong.
func (q *sequence) begin(off int64) error {
	if off != 0 && q.fresh {
		return nil
	}
	if err := q.to.Begin(off); err != nil {
		return err
	}
	q.begun, q.next = true, off
	return nil
}

func (q *sequence) pass(p []byte) error {
	n, err := q.to.Write(p)
	q.next += int64(n)
	return err
}

// wait keeps a copy of p until the bytes before it come.
func (q *sequence) wait(p []byte, off int64) error {
	cost := len(p) + blockCost
	_, again := q.waiting[off]
	if again || off-q.next > maxAhead || cost > q.room.left {
		return refused(fmt.Sprintf("bundles are written in order: byte %d came, byte %d is missing", off, q.next))
	}
	if q.waiting == nil {
		q.waiting = make(map[int64][]byte)
	}
	q.waiting[off] = append([]byte(nil), p...)
	q.take(cost)
	return nil
}

func (q *sequence) take(cost int) {
	q.room.left -= cost
	q.used += cost
}

// catchUp passes on what waited for the bytes that came.
func (q *sequence) catchUp() error {
	for {
		p, ok := q.waiting[q.next]
		if !ok {
			return nil
		}
		delete(q.waiting, q.next)
		q.take(-len(p) - blockCost)
		if err := q.pass(p); err != nil {
			return err
		}
	}
}

// hole tells what is missing before bytes that wait; nil means nothing does.
func (q *sequence) hole() error {
	if len(q.waiting) == 0 {
		return nil
	}
	return refused(fmt.Sprintf("incomplete: byte %d never came, though later ones did: send it again", q.next))
}

// drop forgets what waits.
func (q *sequence) drop() {
	q.take(-q.used)
	q.waiting = nil
}
