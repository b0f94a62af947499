package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"bundleup/vfs/store"
)

// seenClaim is a claim as it was under an ETag.
type seenClaim struct {
	etag  string
	claim claim
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, key store.Key) (store.Object, error) {
	err := cmp.Or(ctx.Err(), key.CheckObject())
	var c claim
	if err == nil {
		c, err = s.sealed(ctx, key)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return s.newObject(bundleKey(key), c.Object, infoOf(key, c)), nil
}

func infoOf(key store.Key, c claim) store.Info {
	return store.Info{Key: key, Size: c.Size, ModTime: c.Time}
}

// sealed reads the claim of a sealed object; anything else is fs.ErrNotExist. A
// seal whose owner is gone is brought to its end first.
func (s *Store) sealed(ctx context.Context, key store.Key) (claim, error) {
	for range claimTries {
		c, etag, err := s.readClaim(ctx, key)
		switch {
		case err != nil:
			return c, err
		case c.Phase == claimSealed:
			return c, nil
		case c.Phase != claimSealing && c.Phase != claimRemoving:
			return c, fs.ErrNotExist
		}
		err = s.settle(ctx, key, c, etag)
		if errors.Is(err, store.ErrBusy) {
			return c, fs.ErrNotExist
		}
		if err != nil {
			return c, err
		}
	}
	return claim{}, fs.ErrNotExist
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, dir store.Key) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := s.listDir(ctx, dir, yield); err != nil {
			yield(store.Info{}, fmt.Errorf("list %s: %w", dir, err))
		}
	}
}

// listDir yields a directory page by page; it returns no error after yield said no.
func (s *Store) listDir(ctx context.Context, dir store.Key, yield func(store.Info, error) bool) error {
	if err := cmp.Or(ctx.Err(), dir.Check()); err != nil {
		return err
	}
	if err := s.isDir(ctx, dir); err != nil {
		return err
	}
	token := ""
	for {
		p, err := s.list(ctx, namesIn(dir), "/", "", token)
		if err != nil {
			return err
		}
		infos, err := s.infos(ctx, dir, p.objects)
		for _, i := range infos {
			if i.Key != "" && !yield(i, nil) {
				return nil
			}
		}
		if token = p.next; token == "" || err != nil {
			return err
		}
	}
}

// isDir is nil if there is such a directory.
func (s *Store) isDir(ctx context.Context, dir store.Key) error {
	if dir == "" || s.dirs.has(dir) {
		return nil
	}
	if dir.CheckObject() != nil {
		return fs.ErrNotExist
	}
	c, _, err := s.readClaim(ctx, dir)
	if err == nil && c.Phase != claimDir {
		return fs.ErrNotExist
	}
	if err == nil {
		s.dirs.add(dir)
	}
	return err
}

// readsAtOnce bounds the claims that a listing reads at the same time.
const readsAtOnce = 16

// infos describes what one page of claims says is visible; a hidden one has no
// key.
func (s *Store) infos(ctx context.Context, dir store.Key, page []listed) ([]store.Info, error) {
	infos, errs := make([]store.Info, len(page)), make([]error, len(page))
	inParallel(len(page), readsAtOnce, func(i int) {
		key := dir.Join(strings.TrimPrefix(page[i].key, namesIn(dir)))
		infos[i], errs[i] = s.info(ctx, key, page[i])
	})
	return infos, errors.Join(errs...)
}

func (s *Store) info(ctx context.Context, key store.Key, o listed) (store.Info, error) {
	switch o.size {
	case 0:
		return store.Info{Key: key, ModTime: o.time, Dir: true}, nil
	case int64(len(freeBody)):
		return store.Info{}, nil
	}
	if seen, ok := s.claims.get(key); ok && seen.etag == o.etag {
		return infoOf(key, seen.claim), nil
	}
	c, err := s.sealed(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return store.Info{}, nil
	}
	if err != nil {
		return store.Info{}, err
	}
	s.claims.set(key, seenClaim{o.etag, c})
	return infoOf(key, c), nil
}

// Mkdir implements store.Store.
func (s *Store) Mkdir(ctx context.Context, dir store.Key) error {
	err := cmp.Or(ctx.Err(), dir.CheckObject())
	if err == nil {
		err = s.checkKey(nameKey(dir))
	}
	if err == nil {
		err = s.makeDirs(ctx, dir)
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	return nil
}

// Touch implements store.Toucher.
func (s *Store) Touch(ctx context.Context, key store.Key, mtime time.Time) error {
	err := cmp.Or(ctx.Err(), key.CheckObject())
	for range claimTries {
		if err != nil && !errors.Is(err, errConflict) {
			break
		}
		var c claim
		var etag string
		if c, etag, err = s.readClaim(ctx, key); err == nil && c.Phase != claimSealed {
			err = fs.ErrNotExist
		}
		if err != nil {
			break
		}
		c.Time = mtime.UTC()
		if _, err = s.swapClaim(ctx, key, c, etag); err == nil {
			return nil
		}
	}
	return fmt.Errorf("touch %s: %w", key, err)
}
