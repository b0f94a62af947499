package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"bundleup/vfs/store"
)

// repair makes the layout and takes up what earlier processes left. It may be
// cut short and run again at any point.
func (s *Store) repair() error {
	for _, dir := range []string{bundlesDir, recordsDir, uploadsDir, tempDir} {
		if err := s.makeDirs(dir); err != nil {
			return err
		}
	}
	if err := s.emptyTemp(); err != nil {
		return err
	}
	tenants, err := s.files.ReadDir(uploadsDir)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := s.repairTenant(t); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) emptyTemp() error {
	entries, err := s.files.ReadDir(tempDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.files.Remove(tempDir + "/" + e.Name()); err != nil {
			return err
		}
		s.report.Removed++
	}
	return nil
}

// repairTenant goes through a directory of uploads. What does not bear an ID
// as its name is not ours.
func (s *Store) repairTenant(tenant fs.DirEntry) error {
	if !tenant.IsDir() {
		return nil
	}
	entries, err := s.files.ReadDir(uploadsDir + "/" + tenant.Name())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id := store.ID(e.Name())
		if !e.IsDir() || id.Check() != nil {
			continue
		}
		if err := s.repairUpload(id, &upload{tenant: tenant.Name()}); err != nil {
			return err
		}
	}
	return nil
}

// repairUpload completes the upload's seal if there is an intent, keeps it if
// there is a saved state, and else removes it.
func (s *Store) repairUpload(id store.ID, u *upload) error {
	dir := uploadDir(u.tenant, id)
	sealed, err := s.repairSeal(id, u)
	if sealed || err != nil {
		return err
	}
	_, err = s.files.Lstat(dir + "/" + stateName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.report.Removed++
		return s.removeLitter(dir)
	case err != nil:
		return err
	}
	if _, err := s.readName(dir); err != nil {
		s.stick(id, u, "", err)
		return nil
	}
	s.report.Suspended++
	s.register(id, u)
	return s.tidy(dir)
}

// removeLitter removes an upload that has no state. That it has none must be
// durable first: a process that was killed may just have removed it, and after
// a crash it would be back without its data.
func (s *Store) removeLitter(dir string) error {
	if err := s.files.SyncDir(dir); err != nil {
		return err
	}
	return s.removeDir(dir)
}

// repairSeal says whether the upload is not to be looked at any more: it is
// sealed now, or its seal is stuck. A stuck one does not keep the store from
// opening: support can read while the operator makes room.
func (s *Store) repairSeal(id store.ID, u *upload) (done bool, err error) {
	in, err := s.readIntent(uploadDir(u.tenant, id), id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		s.stick(id, u, "", err)
		return true, nil
	}
	err = s.conclude(in)
	switch {
	case err == nil:
		s.report.Sealed++
		return true, nil
	case errors.Is(err, errHalf):
		s.stick(id, u, in.Key, err)
		return true, nil
	}
	s.report.RolledBack++
	return false, nil
}

// stick keeps an upload aside whose seal cannot be completed now.
func (s *Store) stick(id store.ID, u *upload, key store.Key, err error) {
	s.report.Stuck++
	s.report.Err = errors.Join(s.report.Err, fmt.Errorf("upload %s: %w", id, mark(err)))
	s.register(id, u)
	s.setHalf(u, key)
}

func (s *Store) readIntent(dir string, id store.ID) (*intent, error) {
	b, err := s.readFile(dir + "/" + intentName)
	if err != nil {
		return nil, err
	}
	_, payload, err := decodeFrame(intentMagic, b)
	if err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	in := &intent{dir: dir, id: id}
	if err := json.Unmarshal(payload, in); err != nil {
		return nil, fmt.Errorf("intent: %w", err)
	}
	return in, in.check()
}

// check keeps a doctored intent from naming files elsewhere.
func (in *intent) check() error {
	if err := in.Key.CheckObject(); err != nil {
		return fmt.Errorf("intent: %w", err)
	}
	for _, doc := range in.Docs {
		if err := store.CheckDoc(doc); err != nil {
			return fmt.Errorf("intent: %w", err)
		}
	}
	return nil
}

// tidy removes what is not part of a suspended upload.
func (s *Store) tidy(dir string) error {
	entries, err := s.files.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case dataName, nameName, stateName, reserveName, asideName:
			continue
		}
		if err := s.files.Remove(dir + "/" + e.Name()); err != nil {
			return err
		}
		s.report.Removed++
	}
	return nil
}
