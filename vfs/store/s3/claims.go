package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"bundleup/vfs/store"
)

// claim is the object that says what stands under a name; it, not the listing of
// bundles/, decides. It is made by a put with If-None-Match and changed by puts
// with If-Match, so of several nodes one wins.
type claim struct {
	Phase claimPhase `json:"phase"`
	ID    store.ID   `json:"id,omitempty"`
	Owner string     `json:"owner,omitempty"`
	Epoch int64      `json:"epoch,omitempty"`
	Until time.Time  `json:"until,omitzero"` // who waits for the owner waits until then

	Size   int64             `json:"size"`
	Time   time.Time         `json:"time,omitzero"` // of the object, as clients see it
	Object string            `json:"object,omitempty"`
	Docs   map[string][]byte `json:"docs,omitempty"` // while sealing
	Aside  string            `json:"aside,omitempty"`
	Dir    bool              `json:"dir,omitempty"` // what is removed is a directory
	// AsideSize is the length that the aside must have to be published.
	AsideSize int64 `json:"aside_size,omitempty"`
}

type claimPhase string

const (
	claimFree     claimPhase = "free"
	claimDir      claimPhase = "directory"
	claimReserved claimPhase = "reserved" // parts are being sent for it
	claimSealing  claimPhase = "sealing"
	claimSealed   claimPhase = "sealed"
	claimRemoving claimPhase = "removing"
)

// A directory's claim is empty and a free one a single byte: a listing tells them
// from the others by their size. A name that was given back stays as a free claim,
// for not every storage can delete under a condition.
const freeBody = "-"

func (c *claim) encode() ([]byte, error) {
	switch c.Phase {
	case claimDir:
		return nil, nil
	case claimFree:
		return []byte(freeBody), nil
	}
	return json.Marshal(c)
}

func decodeClaim(b []byte) (claim, error) {
	switch {
	case len(b) == 0:
		return claim{Phase: claimDir}, nil
	case string(b) == freeBody:
		return claim{Phase: claimFree}, nil
	}
	var c claim
	if err := json.Unmarshal(b, &c); err != nil {
		return claim{}, fmt.Errorf("claim: %w", err)
	}
	return c, nil
}

// readClaim reads what stands under a name; nothing is a free claim without ETag.
func (s *Store) readClaim(ctx context.Context, key store.Key) (claim, string, error) {
	b, etag, err := s.get(ctx, nameKey(key))
	if errors.Is(err, fs.ErrNotExist) {
		return claim{Phase: claimFree}, "", nil
	}
	if err != nil {
		return claim{}, "", err
	}
	c, err := decodeClaim(b)
	return c, etag, err
}

// swapClaim replaces a claim; errConflict says that it has changed.
func (s *Store) swapClaim(ctx context.Context, key store.Key, c claim, etag string) (string, error) {
	b, err := c.encode()
	if err != nil {
		return "", err
	}
	return s.swap(ctx, nameKey(key), b, matching(etag))
}

// reserve takes a name for an upload that begins to send parts for it. It says no
// if the name has something else.
func (s *Store) reserve(ctx context.Context, key store.Key, id store.ID) (bool, error) {
	if err := s.makeDirs(ctx, key.Dir()); err != nil {
		return false, ignoreExist(err)
	}
	if _, err := s.head(ctx, bundleKey(key)); !errors.Is(err, fs.ErrNotExist) {
		return false, err // or a foreign object
	}
	for range claimTries {
		c, etag, err := s.readClaim(ctx, key)
		if err != nil {
			return false, err
		}
		if c.Phase == claimReserved && c.ID == id {
			return true, nil
		}
		if free, err := s.vacant(ctx, c); !free || err != nil {
			return false, err
		}
		mine := claim{Phase: claimReserved, ID: id, Owner: s.owner, Until: s.lease()}
		_, err = s.swapClaim(ctx, key, mine, etag)
		if !errors.Is(err, errConflict) {
			return err == nil, err
		}
	}
	return false, nil
}

// claimTries bounds how often a claim is read again because another node was
// faster.
const claimTries = 16

func ignoreExist(err error) error {
	if errors.Is(err, store.ErrExist) {
		return nil
	}
	return err
}

// vacant says whether nobody has the claim, or only an upload that is no more.
func (s *Store) vacant(ctx context.Context, c claim) (bool, error) {
	switch {
	case c.Phase == claimFree:
		return true, nil
	case c.Phase != claimReserved || c.Until.After(s.clock.Now()):
		return false, nil
	}
	st, _, err := s.readState(ctx, c.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && st.Phase == phaseGone, err
}

// take claims a name for the seal of an upload. While another seal is under way it
// waits for its outcome; one whose owner is gone is brought to an end first.
func (s *Store) take(ctx context.Context, key store.Key, mine claim) (etag string, err error) {
	wait := s.poll
	limit := time.Now().Add(sealPatience * s.opts.Lease)
	for {
		c, etag, err := s.readClaim(ctx, key)
		if err != nil {
			return "", err
		}
		free, err := s.vacant(ctx, c)
		switch {
		case err != nil:
			return "", err
		case free, c.ID == mine.ID && (c.Phase == claimReserved || c.Phase == claimSealing):
			now, err := s.swapClaim(ctx, key, mine, etag)
			if !errors.Is(err, errConflict) {
				return now, err
			}
			continue
		case c.Phase != claimSealing && c.Phase != claimRemoving:
			return "", fmt.Errorf("%s is %s: %w", key, c.Phase, store.ErrExist)
		}
		err = s.settle(ctx, key, c, etag)
		if err == nil {
			continue
		}
		if !errors.Is(err, store.ErrBusy) {
			return "", err
		}
		if time.Now().After(limit) {
			return "", fmt.Errorf("%s is %s: %w", key, c.Phase, store.ErrExist)
		}
		if err := sleep(ctx, wait); err != nil {
			return "", err
		}
		wait = min(2*wait, time.Second)
	}
}

// sealPatience is how many leases a seal waits for another one of its key.
const sealPatience = 4

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// free gives a name back, if the upload still has it.
func (s *Store) free(ctx context.Context, key store.Key, id store.ID) error {
	if key == "" {
		return nil
	}
	c, etag, err := s.readClaim(ctx, key)
	if err != nil || c.ID != id || c.Phase == claimSealed || c.Phase == claimRemoving {
		return err
	}
	_, err = s.swapClaim(ctx, key, claim{Phase: claimFree}, etag)
	if errors.Is(err, errConflict) {
		return nil // somebody else has it now
	}
	return err
}

// makeDirs claims dir and its parents as directories.
func (s *Store) makeDirs(ctx context.Context, dir store.Key) error {
	if dir == "" || s.dirs.has(dir) {
		return nil
	}
	if err := s.makeDirs(ctx, dir.Dir()); err != nil {
		return err
	}
	for range claimTries {
		c, etag, err := s.readClaim(ctx, dir)
		if err != nil {
			return err
		}
		if c.Phase == claimDir {
			s.dirs.add(dir)
			return nil
		}
		if c.Phase == claimRemoving {
			if err := s.outlive(ctx, dir, c, etag); err != nil {
				return err
			}
			continue
		}
		free, err := s.vacant(ctx, c)
		if err == nil && !free {
			err = fmt.Errorf("object %s: %w", dir, store.ErrExist)
		}
		if err != nil {
			return err
		}
		_, err = s.swapClaim(ctx, dir, claim{Phase: claimDir}, etag)
		if err != nil && !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("directory %s: %w", dir, errConflict)
}

// keepDir makes sure that a directory which has something in it now is there, also
// if another node erased it since it was seen: whoever erases looks into it after
// he said so.
func (s *Store) keepDir(ctx context.Context, dir store.Key) error {
	if dir == "" {
		return nil
	}
	s.dirs.remove(dir)
	if c, _, err := s.readClaim(ctx, dir); err != nil || c.Phase == claimDir {
		return err
	}
	for d := dir; d != ""; d = d.Dir() {
		s.dirs.remove(d)
	}
	return s.makeDirs(ctx, dir)
}

// outlive waits a little for a removal, or ends it.
func (s *Store) outlive(ctx context.Context, key store.Key, c claim, etag string) error {
	err := s.settle(ctx, key, c, etag)
	if errors.Is(err, store.ErrBusy) || errors.Is(err, errConflict) || errors.Is(err, errNotEmpty) {
		return sleep(ctx, s.poll)
	}
	return err
}
