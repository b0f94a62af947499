package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"bundleup/vfs/store"
)

var errNotEmpty = errors.New("the directory is not empty")

// Erase removes what is at key for good: a sealed object with all its documents,
// documents without an object, or a directory with nothing in it. When it returns
// nil all of it is gone; after an error Erase can be called again. Where nothing
// is, the error wraps fs.ErrNotExist.
func (s *Store) Erase(ctx context.Context, key store.Key) error {
	err := cmp.Or(ctx.Err(), key.CheckObject())
	if err == nil {
		err = s.erase(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("erase %s: %w", key, err)
	}
	return nil
}

func (s *Store) erase(ctx context.Context, key store.Key) error {
	c, etag, err := s.readClaim(ctx, key)
	if err != nil {
		return err
	}
	removing := claim{Phase: claimRemoving, ID: c.ID, Owner: s.owner, Until: s.lease(), Dir: c.Phase == claimDir}
	switch c.Phase {
	case claimSealed, claimDir:
	case claimRemoving:
		removing.Dir = c.Dir
	case claimSealing:
		if err := s.settle(ctx, key, c, etag); err != nil {
			return err
		}
		return s.erase(ctx, key)
	default:
		n, err := s.deleteRecords(ctx, key)
		if err == nil && n == 0 {
			err = fs.ErrNotExist
		}
		return err
	}
	if etag, err = s.swapClaim(ctx, key, removing, etag); err != nil {
		return err
	}
	return s.finishRemoval(ctx, key, removing, etag)
}

// finishRemoval removes what a claim says is being removed. A directory that has
// got something in it meanwhile stays.
func (s *Store) finishRemoval(ctx context.Context, key store.Key, c claim, etag string) error {
	if c.Dir {
		s.dirs.remove(key)
		empty, err := s.isEmpty(ctx, key)
		if err != nil {
			return err
		}
		if !empty {
			_, err := s.swapClaim(ctx, key, claim{Phase: claimDir}, etag)
			return cmp.Or(err, errNotEmpty)
		}
	} else if err := s.delete(ctx, bundleKey(key)); err != nil {
		return err
	}
	if _, err := s.deleteRecords(ctx, key); err != nil {
		return err
	}
	_, err := s.swapClaim(ctx, key, claim{Phase: claimFree}, etag)
	return err
}

func (s *Store) isEmpty(ctx context.Context, dir store.Key) (bool, error) {
	for o, err := range s.walk(ctx, namesDir+string(dir)+"/") {
		if err != nil {
			return false, err
		}
		if o.size != int64(len(freeBody)) {
			return false, nil
		}
	}
	return true, nil
}

// deleteRecords removes the documents of one key.
func (s *Store) deleteRecords(ctx context.Context, key store.Key) (n int, err error) {
	prefix := recordKey(key, "") + "/"
	for o, err := range s.walk(ctx, prefix) {
		if err != nil {
			return n, err
		}
		if strings.Contains(strings.TrimPrefix(o.key, prefix), "/") {
			continue
		}
		if err := s.delete(ctx, o.key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
