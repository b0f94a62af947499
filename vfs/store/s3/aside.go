package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"bundleup/vfs/store"
)

// asideRef is a piece of the aside: the object uploads/ID/aside-N.
type asideRef struct {
	N    int   `json:"n"`
	Size int64 `json:"size"`
}

// aside is the second stream of an upload, in pieces: one for every saved state.
type aside struct {
	s  *Store
	id store.ID

	piece *part // taken since the last state; of the Writer's goroutine

	mu   sync.Mutex // guards what follows
	size int64
	next int
	refs []asideRef
	lost bool
}

// asideMark is what a state keeps of it.
type asideMark struct {
	refs []asideRef
	lost bool
}

var errAside = errors.New("the aside is lost")

func (a *aside) init(s *Store, id store.ID) { a.s, a.id = s, id }

// restore continues behind what a state keeps.
func (a *aside) restore(st *state) {
	a.refs, a.lost, a.size = slices.Clone(st.Aside), st.Lost, asideSize(st.Aside)
	for _, r := range a.refs {
		a.next = max(a.next, r.N+1)
	}
}

func asideSize(refs []asideRef) (n int64) {
	for _, r := range refs {
		n += r.Size
	}
	return n
}

// WriteAside implements store.AsideWriter. More than 64 MiB between two states are
// too much: the aside is lost.
func (w *writer) WriteAside(p []byte) error {
	a := &w.aside
	if w.closed {
		return w.wrap("write aside of", fs.ErrClosed)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost {
		return errAside
	}
	if a.piece == nil {
		a.piece = newPart(w.s.memory, w.s.opts.Spool, 0, inMemory)
	}
	n := min(int64(len(p)), a.piece.room())
	_, err := a.piece.Write(p[:n])
	if err != nil || n < int64(len(p)) {
		a.lost = true
		return fmt.Errorf("%w: %w", errAside, errors.Join(err, io.ErrShortWrite))
	}
	a.size += n
	return nil
}

// AsideSize implements store.AsideWriter.
func (w *writer) AsideSize() int64 {
	w.aside.mu.Lock()
	defer w.aside.mu.Unlock()
	if w.aside.lost {
		return -1
	}
	return w.aside.size
}

// chunk is a piece on its way.
type chunk struct {
	part *part
	n    int
}

func (c chunk) free() {
	if c.part != nil {
		c.part.free()
	}
}

// cut takes the piece that belongs to the next state.
func (a *aside) cut() chunk {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := chunk{a.piece, a.next}
	if a.piece != nil {
		a.piece = nil
		a.next++
	}
	return c
}

// send puts a piece. That it fails costs the aside only.
func (a *aside) send(ctx context.Context, c chunk) asideMark {
	a.mu.Lock()
	lost := a.lost
	a.mu.Unlock()
	if c.part != nil && !lost {
		_, err := a.s.put(ctx, a.key(c.n), c.part.body(), always, nil)
		a.mu.Lock()
		a.lost = a.lost || err != nil
		a.refs = append(a.refs, asideRef{c.n, c.part.size})
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost {
		return asideMark{lost: true}
	}
	return asideMark{refs: slices.Clone(a.refs)}
}

func (a *aside) flush(ctx context.Context) asideMark {
	c := a.cut()
	defer c.free()
	return a.send(ctx, c)
}

func (a *aside) key(n int) string { return uploadKey(a.id, fmt.Sprint(asideName, n)) }

func (a *aside) free() { a.cut().free() }

// publishAside makes one document of the pieces.
func (s *Store) publishAside(ctx context.Context, id store.ID, refs []asideRef, key store.Key, doc string) error {
	a := &aside{s: s, id: id}
	return s.stream(ctx, recordKey(key, doc), func(w io.Writer) error {
		buf := make([]byte, 256<<10)
		for _, r := range refs {
			for off := int64(0); off < r.Size; off += int64(len(buf)) {
				p := buf[:min(int64(len(buf)), r.Size-off)]
				if err := s.getRange(ctx, a.key(r.N), "", p, off); err != nil {
					return err
				}
				if _, err := w.Write(p); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
