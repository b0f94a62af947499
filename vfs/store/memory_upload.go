package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
)

// memWriter is one Writer of a Memory. A crash, seal, discard or close takes
// the upload's ownership away; from then on its methods fail with fs.ErrClosed.
type memWriter struct {
	m  *Memory
	id ID
	u  *memUpload

	failed error // of a Write; sticky
}

func (w *memWriter) do(ctx context.Context, op Op, f func() error) error {
	return w.m.do(ctx, op, string(w.id), func() error {
		if w.u.owner != w {
			return fs.ErrClosed
		}
		return f()
	})
}

// Write implements Writer.
func (w *memWriter) Write(p []byte) (int, error) {
	n := 0
	err := w.do(context.Background(), OpWrite, func() error {
		if w.failed != nil {
			return w.failed
		}
		w.u.data = append(w.u.data, p...)
		n = len(p)
		return nil
	})
	if err != nil && w.failed == nil {
		w.failed = err
	}
	return n, err
}

// Save implements Writer.
func (w *memWriter) Save(ctx context.Context, state []byte) error {
	return w.do(ctx, OpSave, func() error {
		if w.failed != nil && !errors.Is(w.failed, ErrFull) {
			return w.failed
		}
		w.u.saved = true
		w.u.off = int64(len(w.u.data))
		w.u.state = slices.Clone(state)
		w.u.asideSaved = w.u.asideSize()
		w.u.when = w.m.Now()
		return nil
	})
}

// Seal implements Writer.
func (w *memWriter) Seal(ctx context.Context, key Key, meta Meta) error {
	return w.do(ctx, OpSeal, func() error {
		if w.failed != nil {
			return w.failed
		}
		if err := CheckSeal(key, meta); err != nil {
			return err
		}
		if err := w.m.publish(w.u, key, meta); err != nil {
			return fmt.Errorf("as %s: %w", key, err)
		}
		w.forget()
		return nil
	})
}

// CheckSeal reports why key and meta cannot be sealed on any medium, or nil.
func CheckSeal(key Key, meta Meta) error {
	if err := key.CheckObject(); err != nil {
		return err
	}
	for name := range meta.Docs {
		if err := CheckDoc(name); err != nil {
			return err
		}
	}
	if meta.Aside != "" {
		return CheckDoc(meta.Aside)
	}
	return nil
}

// Discard implements Writer.
func (w *memWriter) Discard(ctx context.Context) error {
	return w.do(ctx, OpDiscard, func() error {
		w.forget()
		return nil
	})
}

func (w *memWriter) forget() {
	w.u.owner = nil
	delete(w.m.uploads, w.id)
}

// Close implements Writer.
func (w *memWriter) Close() error {
	err := w.do(context.Background(), OpClose, func() error {
		w.u.owner = nil
		if !w.u.saved {
			delete(w.m.uploads, w.id)
		}
		return nil
	})
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// Suspended implements Resumer.
func (m *Memory) Suspended(ctx context.Context) iter.Seq2[Suspended, error] {
	return func(yield func(Suspended, error) bool) {
		var list []Suspended
		err := m.do(ctx, OpSuspended, "", func() error {
			for id, u := range m.uploads {
				if u.owner == nil {
					list = append(list, Suspended{ID: id, Name: u.name, Size: u.off, Saved: u.when})
				}
			}
			return nil
		})
		yieldAll(ctx, list, err, yield)
	}
}

// Resume implements Resumer.
func (m *Memory) Resume(ctx context.Context, id ID) (Writer, []byte, int64, error) {
	w, state := &memWriter{m: m, id: id}, []byte(nil)
	var off int64
	err := m.do(ctx, OpResume, string(id), func() error {
		if err := m.take(w); err != nil {
			return err
		}
		w.u.rewind()
		state, off = slices.Clone(w.u.state), w.u.off
		return nil
	})
	if err != nil {
		return nil, nil, 0, m.abandon(w, err)
	}
	return w, state, off, nil
}

// Recover implements Resumer.
func (m *Memory) Recover(ctx context.Context, id ID) (Writer, io.ReadCloser, int64, error) {
	w, data := &memWriter{m: m, id: id}, []byte(nil)
	err := m.do(ctx, OpRecover, string(id), func() error {
		if err := m.take(w); err != nil {
			return err
		}
		data = w.u.data[:len(w.u.data):len(w.u.data)]
		w.u.aside, w.u.asideLost = nil, false
		return nil
	})
	if err != nil {
		return nil, nil, 0, m.abandon(w, err)
	}
	return w, io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

// rewind goes back to what was saved.
func (u *memUpload) rewind() {
	u.data = slices.Clone(u.data[:u.off])
	u.asideLost = u.asideSaved < 0
	u.aside = slices.Clone(u.aside[:max(0, u.asideSaved)])
}

func (u *memUpload) asideSize() int64 {
	if u.asideLost {
		return -1
	}
	return int64(len(u.aside))
}

// WriteAside implements AsideWriter.
func (w *memWriter) WriteAside(p []byte) error {
	err := w.do(context.Background(), OpWriteAside, func() error {
		if w.u.asideLost {
			return errors.New("the aside is lost")
		}
		w.u.aside = append(w.u.aside, p...)
		return nil
	})
	if err != nil {
		w.m.locked(func() error {
			w.u.asideLost = true
			return nil
		})
	}
	return err
}

// AsideSize implements AsideWriter.
func (w *memWriter) AsideSize() (n int64) {
	w.m.locked(func() error {
		n = w.u.asideSize()
		return nil
	})
	return n
}

// take makes w the owner of its suspended upload.
func (m *Memory) take(w *memWriter) error {
	u := m.uploads[w.id]
	if u == nil {
		return fs.ErrNotExist
	}
	if u.owner != nil {
		return ErrBusy
	}
	w.u, u.owner = u, w
	return nil
}
