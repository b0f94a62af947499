package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"bundleup/vfs/store"
)

// makeLayout makes the top of the layout.
func (s *Store) makeLayout() error {
	for _, dir := range []string{bundlesDir, recordsDir, uploadsDir, tempDir} {
		if err := s.makeDirs(dir); err != nil {
			return err
		}
	}
	return nil
}

// repair takes up what earlier processes left. It may be cut short and run again at
// any point. What this process has in its table is left alone.
func (s *Store) repair() (Report, error) {
	r := &repair{Store: s}
	err := r.all()
	return r.found, err
}

// repair is one run.
type repair struct {
	*Store
	found Report
}

func (r *repair) all() error {
	if err := r.emptyTemp(); err != nil {
		return err
	}
	tenants, err := r.files.ReadDir(uploadsDir)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := r.tenant(t); err != nil {
			return err
		}
	}
	return nil
}

func (r *repair) emptyTemp() error {
	entries, err := r.files.ReadDir(tempDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), r.mine) {
			continue
		}
		if err := r.files.Remove(tempDir + "/" + e.Name()); err != nil {
			return err
		}
		r.found.Removed++
	}
	return nil
}

// tenant goes through a directory of uploads. What does not bear an ID as its name
// is not ours.
func (r *repair) tenant(tenant fs.DirEntry) error {
	if !tenant.IsDir() {
		return nil
	}
	entries, err := r.files.ReadDir(uploadsDir + "/" + tenant.Name())
	if err != nil {
		return err
	}
	for _, e := range entries {
		id := store.ID(e.Name())
		u := &upload{tenant: tenant.Name(), open: true}
		if !e.IsDir() || id.Check() != nil || !r.register(id, u) {
			continue
		}
		keep, err := r.upload(id, u)
		if err != nil || !keep {
			r.forget(id)
		}
		if err != nil {
			return err
		}
		r.giveBack(u)
	}
	return nil
}

// upload completes the upload's seal if there is an intent, keeps it if there is a
// saved state, and else removes it.
func (r *repair) upload(id store.ID, u *upload) (keep bool, err error) {
	dir := uploadDir(u.tenant, id)
	sealed, err := r.seal(id, u)
	if sealed || err != nil {
		return false, err
	}
	if u.half {
		return true, nil
	}
	_, err = r.files.Lstat(dir + "/" + stateName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.found.Removed++
		return false, r.removeLitter(dir)
	case err != nil:
		return false, err
	}
	if _, err := r.readName(dir); err != nil {
		r.stick(id, u, "", err)
		return true, nil
	}
	r.found.Suspended++
	return true, r.tidy(dir)
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

// seal says whether the upload is sealed now. Its seal may be stuck instead, which
// does not keep the store from opening: support can read while the operator makes
// room.
func (r *repair) seal(id store.ID, u *upload) (done bool, err error) {
	in, err := r.readIntent(uploadDir(u.tenant, id), id)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		r.stick(id, u, "", err)
		return false, nil
	}
	// Of two seals that were cut short under one key the second goes on although
	// the first is stuck: one of them has the key, or none.
	claimed := r.claim(context.Background(), in.Key) == nil
	err = r.conclude(in)
	if errors.Is(err, errHalf) {
		r.stick(id, u, in.Key, err)
		return false, nil
	}
	if claimed {
		r.release(u, in.Key)
	}
	if err == nil {
		r.found.Sealed++
		return true, nil
	}
	r.found.RolledBack++
	return false, nil
}

// stick keeps an upload aside whose seal cannot be completed now.
func (r *repair) stick(id store.ID, u *upload, key store.Key, err error) {
	r.found.Stuck++
	r.found.Err = errors.Join(r.found.Err, fmt.Errorf("upload %s: %w", id, mark(err)))
	r.setHalf(u, key)
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
func (r *repair) tidy(dir string) error {
	entries, err := r.files.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case dataName, nameName, stateName, asideName, reserveName:
			continue
		}
		if err := r.files.Remove(dir + "/" + e.Name()); err != nil {
			return err
		}
		r.found.Removed++
	}
	return nil
}
