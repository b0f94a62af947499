package disk

import (
	"context"
	"fmt"

	"bundleup/vfs/store"
)

// A claim makes other seals of a key wait for the outcome of one. As soon as
// that one knows that the key is free it hides it, until its last step: nobody
// is to see an object that is not yet durable or lacks its documents.
type claim struct {
	done  chan struct{} // closed when the claim is given up or stuck
	hides bool          // guarded by Store.mu, as is stuck
	stuck bool          // the seal failed halfway
}

// claim takes key, waiting for a seal that is under way. A key whose seal is
// stuck counts as taken.
func (s *Store) claim(ctx context.Context, key store.Key) error {
	for {
		c := s.tryClaim(key)
		if c == nil {
			return nil
		}
		if s.isStuck(c) {
			return fmt.Errorf("%s waits for its seal to be completed: %w", key, store.ErrExist)
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryClaim takes key and returns nil, or returns who has it.
func (s *Store) tryClaim(key store.Key) *claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.claims[key]; c != nil {
		return c
	}
	s.claims[key] = &claim{done: make(chan struct{})}
	return nil
}

func (s *Store) isStuck(c *claim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.stuck
}

// release gives up the claim of key that u's seal has, stuck or not: from now
// on the key shows what is on the disk.
func (s *Store) release(u *upload, key store.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.half, u.key = false, ""
	if c := s.claims[key]; c != nil && !c.stuck {
		close(c.done)
	}
	delete(s.claims, key)
}

// setHalf keeps the claim of key for u until its seal is completed. Those who
// wait are let go, to find it stuck.
func (s *Store) setHalf(u *upload, key store.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.half, u.key = true, key
	c := s.claims[key]
	switch {
	case c == nil:
		s.claims[key] = &claim{stuck: true}
	case !c.stuck:
		c.stuck = true
		close(c.done)
	}
}

// hide hides a claimed key that is free.
func (s *Store) hide(key store.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims[key].hides = true
}

// hidden says that what is at key, if anything, is not sealed yet.
func (s *Store) hidden(key store.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.claims[key]
	return c != nil && (c.hides || c.stuck)
}
