package s3

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"bundleup/vfs/store"
)

// end stops the worker and gives memory back; the Writer is of no use any more.
func (w *writer) end() {
	w.closed = true
	w.pending.Wait()
	if w.jobs != nil {
		close(w.jobs)
		w.worker.Wait()
		w.jobs = nil
	}
	if w.fill != nil {
		w.fill.free()
		w.fill = nil
	}
	w.aside.free()
	w.s.unregister(w)
}

// Discard implements store.Writer.
func (w *writer) Discard(ctx context.Context) error {
	if w.closed {
		return w.wrap("discard", fs.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return w.wrap("discard", err)
	}
	w.pending.Wait()
	err := w.discard(ctx)
	w.end()
	return w.wrap("discard", err)
}

// discard marks the upload as gone, which fences everybody else, and clears it
// away. What a failure leaves behind is the janitor's.
func (w *writer) discard(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.etag == "" {
		return w.s.free(ctx, w.st.Reserved, w.id)
	}
	next := w.st
	next.Phase, next.Seal = phaseGone, nil
	if err := w.swapLocked(ctx, next); err != nil {
		return err
	}
	return w.s.clear(ctx, &w.st)
}

// clear removes what is in S3 of an upload that is gone or sealed: first what is
// large, last the state by which the rest is found.
func (s *Store) clear(ctx context.Context, st *state) error {
	if st.UploadID != "" && !st.Whole {
		if err := s.abort(ctx, st.Target, st.UploadID); err != nil {
			return err
		}
	}
	elsewhere := st.Seal != nil && bundleKey(st.Seal.Key) != st.Target
	if st.Target != "" && (st.Target == uploadKey(st.ID, dataName) || st.Whole || elsewhere) {
		if err := s.deleteOwn(ctx, st); err != nil {
			return err
		}
	}
	if err := s.free(ctx, st.Reserved, st.ID); err != nil {
		return err
	}
	if err := s.delete(ctx, pendingKey(st.Name, st.ID)); err != nil {
		return err
	}
	return s.deleteUpload(ctx, st.ID)
}

// deleteOwn removes the object that the parts became where that was not the place
// it was sealed at.
func (s *Store) deleteOwn(ctx context.Context, st *state) error {
	if st.Reserved != "" {
		c, _, err := s.readClaim(ctx, st.Reserved)
		if err != nil {
			return err
		}
		if c.Phase == claimSealed && c.ID == st.ID || c.ID != st.ID {
			return nil
		}
		h, err := s.head(ctx, st.Target)
		if errors.Is(err, fs.ErrNotExist) || err == nil && h.id != st.ID {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return s.delete(ctx, st.Target)
}

// deleteUpload removes everything below uploads/ID, the state last.
func (s *Store) deleteUpload(ctx context.Context, id store.ID) error {
	own := uploadKey(id, stateName)
	for o, err := range s.walk(ctx, uploadKey(id, "")) {
		if err != nil {
			return err
		}
		if o.key == own {
			continue
		}
		if err := s.delete(ctx, o.key); err != nil {
			return err
		}
	}
	return s.delete(ctx, own)
}

// Close implements store.Writer. The lease is given back, so that another node can
// go on at once.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.pending.Wait()
	err := w.release(context.Background())
	w.end()
	return w.wrap("close", err)
}

func (w *writer) release(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.etag == "", errors.Is(w.failed, errFenced):
		return nil
	case w.st.Phase == phaseDraft:
		next := w.st
		next.Phase = phaseGone
		if err := w.swapLocked(ctx, next); err != nil {
			return err
		}
		return w.s.clear(ctx, &w.st)
	}
	if errors.Is(w.failed, store.ErrUnavailable) {
		// The lease ends by itself: no peer should wait for this.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.s.opts.Timeout/3)
		defer cancel()
	}
	next := w.st
	next.Serial++
	next.Until = time.Time{}
	_, err := w.s.swapState(ctx, &next, w.etag)
	return err
}
