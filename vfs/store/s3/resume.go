package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"bundleup/vfs/store"
)

// uploadIDs yields the uploads that have a state.
func (s *Store) uploadIDs(ctx context.Context) iter.Seq2[store.ID, error] {
	return func(yield func(store.ID, error) bool) {
		for o, err := range s.walk(ctx, uploadsDir) {
			if err != nil {
				yield("", err)
				return
			}
			id, what, _ := strings.Cut(strings.TrimPrefix(o.key, uploadsDir), "/")
			if what == stateName && store.ID(id).Check() == nil && !yield(store.ID(id), nil) {
				return
			}
		}
	}
}

// Suspended implements store.Resumer. Those that another node has open are among
// them, as what they would be if it died now.
func (s *Store) Suspended(ctx context.Context) iter.Seq2[store.Suspended, error] {
	return func(yield func(store.Suspended, error) bool) {
		for id, err := range s.uploadIDs(ctx) {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				yield(store.Suspended{}, fmt.Errorf("list uploads: %w", err))
				return
			}
			if !s.yieldSuspended(ctx, id, yield) {
				return
			}
		}
	}
}

// Find implements store.Finder.
func (s *Store) Find(ctx context.Context, dir store.Key, base string) iter.Seq2[store.Suspended, error] {
	return func(yield func(store.Suspended, error) bool) {
		prefix := pendingDir + string(dir.Join("."+base))
		if base != "" {
			prefix += "/"
		}
		for o, err := range s.walk(ctx, prefix) {
			if err = cmp.Or(err, ctx.Err()); err != nil {
				yield(store.Suspended{}, fmt.Errorf("find uploads: %w", err))
				return
			}
			rest := strings.TrimPrefix(o.key, pendingDir+string(dir.Join("."))) // BASE/ID
			name, id, _ := strings.Cut(rest, "/")
			if name == "" || store.ID(id).Check() != nil {
				continue // of a directory below that begins with a dot
			}
			if !s.yieldSuspended(ctx, store.ID(id), yield) {
				return
			}
		}
	}
}

// yieldSuspended yields the upload if it can be resumed. One whose state is of no
// use is told with what can be told; only its name is missing then.
func (s *Store) yieldSuspended(ctx context.Context, id store.ID, yield func(store.Suspended, error) bool) bool {
	if s.isOpen(id) {
		return true
	}
	st, _, err := s.readState(ctx, id)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrState):
		return true
	case err != nil:
		return yield(store.Suspended{}, fmt.Errorf("list upload %s: %w", id, err))
	case st.Phase == phaseDraft, st.Phase == phaseGone:
		return true
	}
	return yield(store.Suspended{ID: id, Name: st.Name, Size: st.Off, Saved: st.Saved}, nil)
}

// Resume implements store.Resumer. For an upload that another node has it waits
// until the lease has ended, at most for one lease; if the other one renews it
// meanwhile the upload is busy.
func (s *Store) Resume(ctx context.Context, id store.ID) (store.Writer, []byte, int64, error) {
	w, saved, err := s.resume(ctx, id)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("resume upload %s: %w", id, err)
	}
	return w, saved, w.off, nil
}

func (s *Store) resume(ctx context.Context, id store.ID) (*writer, []byte, error) {
	if err := cmp.Or(ctx.Err(), id.Check()); err != nil {
		return nil, nil, err
	}
	w := s.newWriter(id, "")
	if !s.register(w) {
		return nil, nil, store.ErrBusy
	}
	err := w.takeOver(ctx)
	if err == nil {
		err = w.restore(ctx)
	}
	if err != nil {
		w.end()
		return nil, nil, err
	}
	return w, slices.Clone(w.st.saved), nil
}

// takeOver makes w the upload's owner.
func (w *writer) takeOver(ctx context.Context) error {
	st, etag, err := w.s.abandoned(ctx, w.id)
	if err != nil {
		return err
	}
	if st.Phase == phaseSealing {
		sealed, err := w.s.concludeUpload(ctx, st, etag)
		if sealed && err == nil {
			err = fs.ErrNotExist
		}
		if err != nil {
			return err
		}
		if st, etag, err = w.s.readState(ctx, w.id); err != nil {
			return err
		}
	}
	if st.Phase == phaseDraft || st.Phase == phaseGone {
		return fs.ErrNotExist
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.etag, err = w.s.seize(ctx, st, etag)
	w.st, w.name, w.sched = *st, st.Name, schedules[st.Schedule]
	return err
}

// abandoned waits until nobody has the upload.
func (s *Store) abandoned(ctx context.Context, id store.ID) (*state, string, error) {
	seen := ""
	wait := s.poll
	for {
		st, etag, err := s.readState(ctx, id)
		if err != nil || !st.live(s.clock.Now()) || st.Owner == s.owner {
			return st, etag, err // of this process none is open, see register
		}
		if seen != "" && seen != etag {
			return nil, "", fmt.Errorf("%w: it is being sent through another server", store.ErrBusy)
		}
		seen = etag
		if err := sleep(ctx, wait); err != nil {
			return nil, "", err
		}
		wait = min(2*wait, time.Second)
	}
}

// restore reads what lies behind the last full part.
func (w *writer) restore(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := &w.st
	w.off, w.parts = st.Off, slices.Clone(st.Parts)
	w.aside.restore(st)
	if st.Name.CheckObject() == nil {
		w.aims = []store.Key{st.Name}
	}
	if st.Tail == 0 || st.Whole {
		return nil
	}
	number := w.sched.full(st.Off) + 1
	w.fill = newPart(w.s.memory, w.s.opts.Spool, number, w.sched.size(number))
	if st.TailKey == "" {
		_, err := w.fill.Write(st.tail)
		return err
	}
	buf := make([]byte, min(st.Tail, mib))
	for off := int64(0); off < st.Tail; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), st.Tail-off)]
		if err := w.s.getRange(ctx, st.TailKey, "", p, off); err != nil {
			return err
		}
		if _, err := w.fill.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Recover implements store.Resumer for an upload all of whose bytes lie behind the
// last full part. What is in a multipart upload S3 does not read back: that is
// store.ErrState, and with a state that is torn nothing is readable at all.
func (s *Store) Recover(ctx context.Context, id store.ID) (store.Writer, io.ReadCloser, int64, error) {
	w, r, err := s.recover(ctx, id)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("recover upload %s: %w", id, err)
	}
	return w, r, w.off, nil
}

func (s *Store) recover(ctx context.Context, id store.ID) (*writer, io.ReadCloser, error) {
	w, _, err := s.resume(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if len(w.parts) > 0 || w.st.Whole {
		return nil, nil, errors.Join(fmt.Errorf("%w: S3 does not read back the parts of an unfinished upload", store.ErrState), w.Close())
	}
	kept := make([]byte, w.off)
	if w.fill != nil {
		if _, err := io.ReadFull(w.fill.body().reader(), kept); err != nil {
			return nil, nil, errors.Join(err, w.Close())
		}
	}
	w.aside = aside{}
	w.aside.init(s, id)
	return w, io.NopCloser(bytes.NewReader(kept)), nil
}
