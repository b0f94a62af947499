package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"bundleup/vfs/store"
)

// settle brings a seal or a removal to its end whose owner is gone; ErrBusy says
// that he is not, or not for sure. After nil the claim must be read again.
func (s *Store) settle(ctx context.Context, key store.Key, c claim, etag string) error {
	if c.Until.After(s.clock.Now()) || s.isOpen(c.ID) {
		return fmt.Errorf("%s is %s: %w", key, c.Phase, store.ErrBusy)
	}
	if c.Phase == claimRemoving {
		return s.finishRemoval(ctx, key, c, etag)
	}
	st, stTag, err := s.readState(ctx, c.ID)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st = nil
	case err != nil:
		return err
	case st.live(s.clock.Now()):
		return fmt.Errorf("%s is %s: %w", key, c.Phase, store.ErrBusy)
	}
	_, err = s.conclude(ctx, key, c, etag, st, stTag)
	return err
}

func (s *Store) isOpen(id store.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id] != nil
}

// conclude goes forward with a seal where that is possible, and else takes it back.
// The caller knows that its owner is gone.
func (s *Store) conclude(ctx context.Context, key store.Key, c claim, etag string, st *state, stTag string) (sealed bool, err error) {
	h, err := s.head(ctx, bundleKey(key))
	there := err == nil && h.id == c.ID && h.size == c.Size
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if !there && st != nil && st.Phase == phaseSealing && st.Seal != nil && st.Seal.Key == key {
		if stTag, err = s.seize(ctx, st, stTag); err != nil {
			return false, err
		}
		h, err = s.assemble(ctx, st)
		switch {
		case err == nil:
			there = true
		case errors.Is(err, errNoUpload), errors.Is(err, errParts), errors.Is(err, fs.ErrNotExist):
			return false, s.giveUp(ctx, key, c, etag, st, stTag)
		case !errors.Is(err, errConflict):
			return false, err
		}
	}
	if there {
		return true, s.forward(ctx, key, c, etag, h, st)
	}
	back := claim{Phase: claimFree}
	if st != nil && st.Reserved == key && st.Phase != phaseGone {
		back = claim{Phase: claimReserved, ID: c.ID, Until: s.clock.Now().UTC()}
	}
	if _, err := s.swapClaim(ctx, key, back, etag); err != nil && !errors.Is(err, errConflict) {
		return false, err
	}
	return false, nil
}

// seize makes this process the owner of an upload, which fences the former one.
func (s *Store) seize(ctx context.Context, st *state, etag string) (string, error) {
	st.Epoch++
	st.Serial++
	st.Owner, st.Until = s.owner, s.lease()
	now, err := s.swapState(ctx, st, etag)
	if errors.Is(err, errFenced) {
		err = fmt.Errorf("%w: %w", store.ErrBusy, err)
	}
	return now, err
}

// giveUp ends a seal whose bytes are not what they were: a zombie overwrote a part,
// or somebody aborted the multipart upload. Nobody was told that it succeeded.
func (s *Store) giveUp(ctx context.Context, key store.Key, c claim, etag string, st *state, stTag string) error {
	if _, err := s.swapClaim(ctx, key, claim{Phase: claimFree}, etag); err != nil && !errors.Is(err, errConflict) {
		return err
	}
	st.Phase, st.Seal = phaseGone, nil
	if _, err := s.swapState(ctx, st, stTag); err != nil {
		return err
	}
	return s.clear(ctx, st)
}

// revert makes a sealing state one that can be resumed, where its claim is lost.
func (s *Store) revert(ctx context.Context, st *state) error {
	h, err := s.head(ctx, st.Target)
	switch {
	case err == nil && h.id == st.ID && !st.Whole:
		if st.Off != st.Seal.Size {
			return fmt.Errorf("%w: sealed halfway behind the saved state", store.ErrState)
		}
		st.Whole, st.Parts, st.Tail, st.TailKey, st.tail = true, nil, 0, "", nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	st.Phase, st.Seal = phaseSaved, nil
	return nil
}

// Tidy brings to an end what daemons that are gone left behind: half-done seals,
// drafts, discarded uploads that were not cleared away, and multipart uploads that
// belong to nobody. Call it from time to time, on as many nodes as there are.
func (s *Store) Tidy(ctx context.Context) error {
	r := Report{}
	known := map[string]bool{}
	for id, err := range s.uploadIDs(ctx) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("tidy: %w", err)
		}
		if err := s.tidy(ctx, id, known, &r); err != nil {
			r.Stuck++
			r.Err = errors.Join(r.Err, fmt.Errorf("upload %s: %w", id, err))
		}
	}
	if err := s.abortOrphans(ctx, known, &r); err != nil {
		r.Err = errors.Join(r.Err, err)
	}
	if s.stop == nil {
		s.report = r // of Open
		return nil
	}
	return r.Err
}

// tidy looks at one upload.
func (s *Store) tidy(ctx context.Context, id store.ID, known map[string]bool, r *Report) error {
	if s.isOpen(id) {
		return s.know(ctx, id, known)
	}
	st, etag, err := s.readState(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	known[st.UploadID] = true
	if st.live(s.clock.Now()) {
		return nil
	}
	switch st.Phase {
	case phaseGone:
		r.Removed++
		return s.clear(ctx, st)
	case phaseDraft:
		if _, err := s.seize(ctx, st, etag); err != nil {
			return ignoreBusy(err)
		}
		r.Removed++
		return s.clear(ctx, st)
	case phaseSealing:
		sealed, err := s.concludeUpload(ctx, st, etag)
		if sealed {
			r.Sealed++
			return err
		}
		r.RolledBack++
		return ignoreBusy(err)
	}
	r.Suspended++
	return nil
}

// know notes the multipart upload of an upload that is open here.
func (s *Store) know(ctx context.Context, id store.ID, known map[string]bool) error {
	st, _, err := s.readState(ctx, id)
	if err == nil {
		known[st.UploadID] = true
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ignoreBusy(err error) error {
	if errors.Is(err, store.ErrBusy) {
		return nil
	}
	return err
}

// concludeUpload is conclude for who comes from the upload's side. If the seal
// cannot go forward the state is one that can be resumed.
func (s *Store) concludeUpload(ctx context.Context, st *state, stTag string) (sealed bool, err error) {
	key := st.Seal.Key
	c, etag, err := s.readClaim(ctx, key)
	switch {
	case err != nil:
		return false, err
	case c.Phase == claimSealed && c.ID == st.ID:
		return true, s.clear(ctx, st)
	case c.Phase == claimSealing && c.ID == st.ID:
		if sealed, err = s.conclude(ctx, key, c, etag, st, stTag); sealed || err != nil {
			return sealed, err
		}
		if st.Phase == phaseGone {
			return false, nil
		}
		_, stTag, err = s.readState(ctx, st.ID)
		if err != nil {
			return false, err
		}
	}
	if err := s.revert(ctx, st); err != nil {
		return false, err
	}
	st.Until = time.Time{}
	_, err = s.swapState(ctx, st, stTag)
	return false, err
}

// abortOrphans aborts the multipart uploads that no state knows, when they are old:
// a young one may be about to be written into its state.
func (s *Store) abortOrphans(ctx context.Context, known map[string]bool, r *Report) error {
	if !s.found.Uploads {
		return nil
	}
	all, err := s.uploads(ctx)
	if err != nil {
		return err
	}
	limit := s.clock.Now().Add(-s.opts.Orphans).Unix()
	for _, u := range all {
		if known[u.id] || u.began > limit {
			continue
		}
		if err := s.abort(ctx, u.key, u.id); err != nil {
			return err
		}
		r.Removed++
	}
	return nil
}
