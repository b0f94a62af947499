package disk

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"strings"

	"bundleup/vfs/store"
)

// Erase implements store.Eraser. The object goes first: a crash leaves documents
// without an object, which the next call finds, never an object without them.
func (s *Store) Erase(ctx context.Context, key store.Key) error {
	err := cmp.Or(ctx.Err(), key.CheckObject())
	if err == nil {
		err = s.erase(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("erase %s: %w", key, mark(err))
	}
	return nil
}

// erase has the key claimed meanwhile, so that no seal makes it anew in between.
func (s *Store) erase(ctx context.Context, key store.Key) error {
	if err := s.claim(ctx, key); err != nil {
		return err
	}
	defer s.release(&upload{}, key)
	s.hide(key)
	object, err := s.eraseName(bundlePath(key))
	if err != nil {
		return err
	}
	records, err := s.eraseRecords(recordPath(key))
	if err != nil {
		return err
	}
	if !strings.Contains(string(key), "/") {
		if err := s.eraseUploads(uploadsDir + "/" + string(key)); err != nil {
			return err
		}
	}
	if !object && !records {
		return fs.ErrNotExist
	}
	return nil
}

// eraseName removes a file or an empty directory, durably, and tells whether it
// was there.
func (s *Store) eraseName(name string) (found bool, err error) {
	err = s.files.Remove(name)
	if err != nil && !isMissing(err) {
		return false, err
	}
	found = err == nil
	// Also where it was gone: an earlier call may have failed to sync.
	if err := s.files.SyncDir(parent(name)); err != nil && !isMissing(err) {
		return found, err
	}
	return found, nil
}

// eraseRecords removes the documents in a record directory, and the directory.
func (s *Store) eraseRecords(dir string) (found bool, err error) {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	entries, err := s.files.ReadDir(dir)
	if isMissing(err) {
		return s.eraseName(dir)
	}
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // documents of keys below: the directory is not empty
		}
		if err := removed(s.files.Remove(dir + "/" + e.Name())); err != nil {
			return true, err
		}
	}
	if err := s.files.SyncDir(dir); err != nil {
		return true, err
	}
	return s.eraseName(dir)
}

// eraseUploads removes a tenant's directory of unfinished uploads if there are
// none. That there are some is not an error of the key's.
func (s *Store) eraseUploads(dir string) error {
	entries, err := s.files.ReadDir(dir)
	if isMissing(err) {
		return nil
	}
	if err != nil || len(entries) > 0 {
		return err
	}
	_, err = s.eraseName(dir)
	return err
}
