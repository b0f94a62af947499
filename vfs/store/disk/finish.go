package disk

import (
	"errors"
	"io/fs"
)

// finish is the third stage of a seal. Its order matters: the object's name,
// its documents, and only then the end of what they could be made from again.
func (s *Store) finish(in *intent) error {
	if err := s.files.SyncDir(parent(in.bundle())); err != nil {
		return err
	}
	if err := s.placeAll(in); err != nil {
		return err
	}
	return s.clear(in)
}

func (s *Store) placeAll(in *intent) error {
	if len(in.Docs) == 0 {
		return nil
	}
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	for _, doc := range in.Docs {
		if err := s.place(in, doc); err != nil {
			return err
		}
	}
	return s.files.SyncDir(in.records())
}

// place gives a staged document its name. A document that is no longer staged
// has been placed and may have been replaced since.
func (s *Store) place(in *intent, doc string) error {
	staged, err := s.files.Lstat(in.staged(doc))
	if err != nil {
		return removed(err)
	}
	name := in.records() + "/" + doc
	if fi, err := s.files.Lstat(name); err == nil && s.files.SameFile(fi, staged) {
		return nil // rename(2) does nothing between two names of one file
	}
	if err := s.files.Link(in.staged(doc), in.waiting(doc)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.files.Rename(in.waiting(doc), name)
}

// clear removes the upload's directory, the intent last: until everything else
// is durably gone, a crash must find it, or a saved state would come back to
// life. When only the intent is left the seal has succeeded, whatever becomes
// of that.
func (s *Store) clear(in *intent) error {
	entries, err := s.files.ReadDir(in.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == intentName {
			continue
		}
		if err := removed(s.files.Remove(in.dir + "/" + e.Name())); err != nil {
			return err
		}
	}
	if err := s.files.SyncDir(in.dir); err != nil {
		return err
	}
	s.removeDir(in.dir)
	return nil
}

// makeRoom links the staged documents into their directory under hidden names:
// what can run out of space does so before the point of no return.
func (s *Store) makeRoom(in *intent) error {
	if len(in.Docs) == 0 {
		return nil
	}
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	if err := s.makeDirs(in.records()); err != nil {
		return err
	}
	for _, doc := range in.Docs {
		if err := s.files.Link(in.staged(doc), in.waiting(doc)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// leaveRoom undoes makeRoom.
func (s *Store) leaveRoom(in *intent) error {
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	for _, doc := range in.Docs {
		if err := s.files.Remove(in.waiting(doc)); err != nil && !isMissing(err) {
			return err
		}
	}
	if err := s.files.SyncDir(in.records()); err != nil && !isMissing(err) {
		return err
	}
	return nil
}
