package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"bundleup/vfs/store"
)

// maxDurable bounds the memory of directories known to be durable.
const maxDurable = 1 << 14

// makeDirs makes dir and its parents and their names durable. A directory that
// is there already may have been made a moment ago, by another upload or by a
// process that was killed before it synced; so the directory above is synced
// once in this process all the same. Something else in its place is ErrExist.
func (s *Store) makeDirs(dir string) error {
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		if err := s.makeDir(dir[:i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) makeDir(dir string) error {
	err := s.files.Mkdir(dir)
	switch {
	case errors.Is(err, fs.ErrExist):
		if err := s.wantDir(dir); err != nil || s.isDurable(dir) {
			return err
		}
	case err != nil:
		return err
	}
	if err := s.files.SyncDir(parent(dir)); err != nil {
		return err
	}
	s.setDurable(dir)
	return nil
}

func (s *Store) wantDir(dir string) error {
	fi, err := s.files.Lstat(dir)
	if err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is not a directory: %w", dir, store.ErrExist)
	}
	return err
}

func (s *Store) isDurable(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.durable[dir]
	return ok
}

func (s *Store) setDurable(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) >= maxDurable {
		clear(s.durable)
	}
	s.durable[dir] = struct{}{}
}

// parent is the directory that holds name; "." for the top.
func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}

// isMissing says that err means an absent name, be it that a file stands
// where a directory would have to be.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) || isNotDir(err) }

// removed makes the removal of what is not there a success.
func removed(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
