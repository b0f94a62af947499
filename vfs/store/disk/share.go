package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"bundleup/vfs/store"
)

// Two processes of one daemon have a root open while the newer one takes over: the
// older one ends what it has begun, and both seal, resume and look things up.
//
//   - The root's lock is one open file that is inherited: nobody else gets in, and
//     the lock is gone when the last of them is.
//   - An upload belongs to the process that has its data open and locked. The lock
//     goes with the process, however it ends, and the upload can then be resumed.
//   - What is being sealed is told by the intents in uploads, which are durable
//     before the link and gone after the last document has its place. The link
//     decides who owns a key, as within one process.
//   - What could be litter, or be somebody's, is left alone until Alone.

const (
	// patience covers what an old process takes to notice that a client, which now
	// comes to the new one, has left it.
	patience = 10 * time.Second
	// lookAgainAfter is between two looks at what another process has.
	lookAgainAfter = 20 * time.Millisecond
)

// Share lets other processes of the daemon open the root from now on, with the lock
// that it returns: it is to be inherited, and stays this Store's. It is nil for a
// store that is not on a disk.
func (s *Store) Share() *os.File {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	s.shared.Store(true)
	return s.lock
}

// Shared implements store.Finder.
func (s *Store) Shared() bool { return s.shared.Load() }

// Alone says that every other process that had the root open has ended. What they
// left is taken up as by Open, and told. Then known is called, which may list what is
// suspended, and when it succeeds the store is shared no more. It is called by one
// goroutine, and may be called again after an error.
func (s *Store) Alone(known func() error) (Report, error) {
	s.dropIdle()
	found, err := s.repair()
	if err == nil {
		err = known()
	}
	if err != nil {
		return found, fmt.Errorf("take over store: %w", mark(err))
	}
	s.shared.Store(false)
	return found, nil
}

// dropIdle forgets the uploads that are nobody's: the disk tells what has become of
// them.
func (s *Store) dropIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, u := range s.uploads {
		if !u.open && !u.half {
			delete(s.uploads, id)
		}
	}
}

// Find implements store.Finder.
func (s *Store) Find(ctx context.Context, dir store.Key, base string) iter.Seq2[store.Suspended, error] {
	return func(yield func(store.Suspended, error) bool) {
		found := map[store.ID]string{}
		err := s.uploadsOf(tenantOf(dir), found)
		for id, tenant := range found {
			if err = errors.Join(err, ctx.Err()); err != nil {
				break
			}
			u, err := s.suspended(id, uploadDir(tenant, id))
			if errors.Is(err, fs.ErrNotExist) || err == nil && (u.Name.Dir() != dir || base != "" && u.Name.Base() != base) {
				continue
			}
			if err != nil {
				err = fmt.Errorf("find upload %s: %w", id, err)
			}
			if !yield(u, err) || err != nil {
				return
			}
		}
		if err != nil {
			yield(store.Suspended{}, fmt.Errorf("find uploads: %w", err))
		}
	}
}

// everywhere is the uploads of all tenants that no Writer of this process has.
func (s *Store) everywhere(ctx context.Context) (map[store.ID]string, error) {
	found := map[store.ID]string{}
	tenants, err := s.files.ReadDir(uploadsDir)
	for _, t := range tenants {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
		if t.IsDir() {
			err = s.uploadsOf(t.Name(), found)
		}
	}
	return found, err
}

// uploadsOf adds the uploads of one tenant.
func (s *Store) uploadsOf(tenant string, found map[store.ID]string) error {
	entries, err := s.files.ReadDir(uploadsDir + "/" + tenant)
	if err != nil {
		return removed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		id := store.ID(e.Name())
		if u := s.uploads[id]; id.Check() == nil && e.IsDir() && (u == nil || !u.open && !u.half) {
			found[id] = tenant
		}
	}
	return nil
}

// takeElsewhere takes an upload that another process made.
func (s *Store) takeElsewhere(id store.ID) (*upload, error) {
	tenants, err := s.files.ReadDir(uploadsDir)
	if err != nil {
		return nil, err
	}
	for _, t := range tenants {
		if _, err := s.files.Lstat(uploadDir(t.Name(), id)); err != nil {
			continue
		}
		u := &upload{tenant: t.Name(), open: true}
		if !s.register(id, u) {
			return nil, store.ErrBusy
		}
		return u, nil
	}
	return nil, fs.ErrNotExist
}

// awaitData waits until the process that has the data lets go of it.
func (w *writer) awaitData(ctx context.Context) error {
	if !w.s.Shared() {
		return store.ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, w.s.patience)
	defer cancel()
	for {
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%w: another process has it", store.ErrBusy)
		}
		if err := removed(w.openData(0)); !errors.Is(err, ErrLocked) {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(lookAgainAfter)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookAgain finds what another process did to the upload before its data was
// locked: it may have ended it, or have left a seal half done.
func (w *writer) lookAgain(ctx context.Context) error {
	if err := w.stillThere(); err != nil {
		w.s.release(w.up, w.up.key)
		w.s.forget(w.id)
		return err
	}
	if w.up.half {
		return nil
	}
	in, err := w.s.readIntent(w.dir, w.id)
	if err != nil {
		return removed(err)
	}
	if err := w.s.claim(ctx, in.Key); err != nil {
		return fmt.Errorf("%w: %w", store.ErrBusy, err)
	}
	w.s.setHalf(w.up, in.Key)
	return nil
}

// stillThere is fs.ErrNotExist where the upload has ended. Without a state only an
// intent tells that it has not.
func (w *writer) stillThere() error {
	if w.f != nil {
		have, err := w.f.Stat()
		if err != nil {
			return err
		}
		now, err := w.s.files.Lstat(w.dir + "/" + dataName)
		if err == nil && !w.s.files.SameFile(have, now) {
			err = fs.ErrNotExist
		}
		if err != nil {
			return err
		}
	}
	_, err := w.s.files.Lstat(w.dir + "/" + stateName)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = w.s.files.Lstat(w.dir + "/" + intentName)
	}
	return err
}

// sealing yields the seals of a tenant's uploads that are under way or half done, with
// the data that is to be the object.
func (s *Store) sealing(tenant string) iter.Seq2[*intent, fs.FileInfo] {
	return func(yield func(*intent, fs.FileInfo) bool) {
		entries, err := s.files.ReadDir(uploadsDir + "/" + tenant)
		if err != nil {
			return // nobody of this tenant sends
		}
		for _, e := range entries {
			id := store.ID(e.Name())
			if id.Check() != nil {
				continue
			}
			in, err := s.readIntent(uploadDir(tenant, id), id)
			if err != nil {
				continue
			}
			if data, err := s.files.Lstat(in.data()); err == nil && !yield(in, data) {
				return
			}
		}
	}
}

// sealingIn is sealing by key, for a listing. The names were read before: what was
// linked then is told here or is done.
func (s *Store) sealingIn(dir store.Key) map[store.Key]fs.FileInfo {
	if !s.Shared() || dir == "" {
		return nil
	}
	found := map[store.Key]fs.FileInfo{}
	for in, data := range s.sealing(tenantOf(dir)) {
		found[in.Key] = data
	}
	return found
}

// isSealing says that the file at key is there before its time.
func (s *Store) isSealing(key store.Key, fi fs.FileInfo) bool {
	return s.Shared() && s.sealer(key, fi) != nil
}

// sealer is the seal that has linked the file at key and is not done.
func (s *Store) sealer(key store.Key, fi fs.FileInfo) *intent {
	for in, data := range s.sealing(tenantOf(key)) {
		if in.Key == key && s.files.SameFile(fi, data) {
			return in
		}
	}
	return nil
}

// awaitSeal waits for the end of the seal by which another process took key, so that
// whoever lost can look at what has it. One that is stuck is not waited for.
func (s *Store) awaitSeal(ctx context.Context, key store.Key) error {
	for s.Shared() {
		fi, err := s.files.Lstat(bundlePath(key))
		if err != nil {
			return nil
		}
		in := s.sealer(key, fi)
		if in == nil || s.has(in.id) || !s.isHeld(in.data()) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// has says that the upload is in this process's table.
func (s *Store) has(id store.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads[id] != nil
}

// isHeld says that a process has the data of an upload.
func (s *Store) isHeld(data string) bool {
	f, err := s.files.OpenFile(data, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(f.Lock(), ErrLocked)
}
