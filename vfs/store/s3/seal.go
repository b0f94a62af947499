package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"bundleup/vfs/store"
)

// A seal has these steps; whoever finds one cut short goes on with it (settle.go):
//
//  1. the claim of the key says "sealing" and holds the documents,
//  2. the state holds the parts, if there are any,
//  3. the object appears, with the upload's ID, if the key has none,
//  4. the documents are written,
//  5. the claim says "sealed": now the object is visible here,
//  6. what is left of the upload is removed.

// Seal implements store.Writer.
func (w *writer) Seal(ctx context.Context, key store.Key, meta store.Meta) error {
	err := w.ready(ctx)
	if err == nil {
		err = w.s.checkSeal(key, meta)
	}
	if err == nil {
		err = w.drain()
	}
	if err == nil {
		err = w.seal(ctx, key, meta)
	}
	if err == nil {
		w.end()
	}
	return w.wrap("seal", err)
}

func (s *Store) checkSeal(key store.Key, meta store.Meta) error {
	if err := store.CheckSeal(key, meta); err != nil {
		return err
	}
	for doc := range meta.Docs {
		if err := s.checkKey(recordKey(key, doc)); err != nil {
			return err
		}
	}
	if err := s.checkKey(recordKey(key, meta.Aside)); err != nil {
		return err
	}
	return s.checkKey(nameKey(key))
}

func (w *writer) seal(ctx context.Context, key store.Key, meta store.Meta) error {
	mark := w.aside.flush(ctx)
	if err := w.s.makeDirs(ctx, key.Dir()); err != nil {
		return err
	}
	c := w.claim(meta, mark)
	etag, err := w.s.take(ctx, key, c)
	if err != nil {
		return err
	}
	if err := w.s.keepDir(ctx, key.Dir()); err != nil {
		return errors.Join(err, w.s.free(ctx, key, w.id))
	}
	h, err := w.publish(ctx, key, mark)
	switch {
	case errors.Is(err, errConflict) && !errors.Is(err, errFenced):
		// A foreign object: this name is not for us.
		return errors.Join(fmt.Errorf("%s: %w", key, store.ErrExist), w.s.free(ctx, key, w.id))
	case err != nil:
		return w.fail(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.st
	st.Aside, st.Lost = mark.refs, mark.lost
	if err := w.s.forward(ctx, key, c, etag, h, &st); err != nil {
		if w.failed == nil {
			w.failed = err
		}
		return err
	}
	return nil
}

// claim is what the key's claim says while w is sealed under it.
func (w *writer) claim(meta store.Meta, mark asideMark) claim {
	c := claim{
		Phase: claimSealing, ID: w.id, Owner: w.s.owner, Until: w.s.lease(),
		Size: w.off, Time: meta.ModTime, Docs: meta.Docs,
	}
	w.mu.Lock()
	c.Epoch = w.st.Epoch
	w.mu.Unlock()
	if c.Time.IsZero() {
		c.Time = w.s.clock.Now()
	}
	c.Time = c.Time.UTC()
	if n := asideSize(mark.refs); n > 0 && !mark.lost && meta.Aside != "" {
		c.Aside, c.AsideSize = meta.Aside, n
	}
	return c
}

// publish makes the object.
func (w *writer) publish(ctx context.Context, key store.Key, mark asideMark) (head, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.st.UploadID == "" {
		return w.putWhole(ctx, key)
	}
	parts := w.parts
	if w.fill != nil && !w.st.Whole {
		ref, err := w.s.send(ctx, w.st.Target, w.st.UploadID, w.fill.number, w.fill.body())
		if err != nil {
			return head{}, err
		}
		parts = append(parts[:len(parts):len(parts)], ref)
	}
	next := w.st
	next.Phase, next.Seal = phaseSealing, &sealing{Key: key, Size: w.off, Parts: parts}
	next.Aside, next.Lost = mark.refs, mark.lost
	if err := w.swapLocked(ctx, next); err != nil {
		return head{}, err
	}
	return w.s.assemble(ctx, &w.st)
}

// putWhole publishes a bundle that is smaller than a part, in one request.
func (w *writer) putWhole(ctx context.Context, key store.Key) (head, error) {
	b := bytesBody(nil)
	if w.fill != nil {
		b = w.fill.body()
	}
	if w.etag != "" {
		// Whoever took the upload over must not find it sealed as well.
		if err := w.swapLocked(ctx, w.st); err != nil {
			return head{}, err
		}
	}
	etag, err := w.s.put(ctx, bundleKey(key), b, absent, idMetadata(w.id))
	if !errors.Is(err, errConflict) {
		return head{size: b.size, etag: etag, id: w.id}, err
	}
	h, herr := w.s.head(ctx, bundleKey(key))
	if herr == nil && h.id == w.id && h.size == b.size {
		return h, nil // a try whose answer was lost
	}
	return head{}, err
}

// assemble makes the object of the parts, at the key that the state's Seal names.
func (s *Store) assemble(ctx context.Context, st *state) (h head, err error) {
	if st.Whole {
		h, err = s.head(ctx, st.Target)
	} else {
		h, err = s.complete(ctx, st.Target, st.UploadID, st.Seal.Parts, st.ID)
	}
	if err == nil && h.size != st.Seal.Size {
		err = fmt.Errorf("the object has %d bytes, %d were sent: %w", h.size, st.Seal.Size, errParts)
	}
	to := bundleKey(st.Seal.Key)
	if err != nil || st.Target == to {
		return h, err
	}
	there, err := s.head(ctx, to)
	if errors.Is(err, fs.ErrNotExist) {
		return s.copyObject(ctx, st.Target, h, to, st.ID)
	}
	if err == nil {
		err = s.mine(there, st.ID)
	}
	return there, err
}

// forward is what is left of a seal when the object is there.
func (s *Store) forward(ctx context.Context, key store.Key, c claim, etag string, h head, st *state) error {
	for doc, data := range c.Docs {
		if _, err := s.put(ctx, recordKey(key, doc), bytesBody(data), always, nil); err != nil {
			return err
		}
	}
	if st != nil && c.Aside != "" && !st.Lost && asideSize(st.Aside) == c.AsideSize {
		err := s.publishAside(ctx, c.ID, st.Aside, key, c.Aside)
		if errors.Is(err, store.ErrUnavailable) {
			return err
		}
	}
	sealed := claim{Phase: claimSealed, ID: c.ID, Size: c.Size, Time: c.Time, Object: h.etag}
	if _, err := s.swapClaim(ctx, key, sealed, etag); err != nil && !s.sealedBy(ctx, key, c.ID) {
		return err
	}
	if st != nil {
		// What stays behind is found by Tidy.
		s.clear(ctx, st)
	}
	return nil
}

// sealedBy says whether another node brought the seal to its end.
func (s *Store) sealedBy(ctx context.Context, key store.Key, id store.ID) bool {
	c, _, err := s.readClaim(ctx, key)
	return err == nil && c.Phase == claimSealed && c.ID == id
}
