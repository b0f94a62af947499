package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"bundleup/vfs/store"
)

// Suspended implements store.Resumer. An upload whose state is unusable is
// told with the size of its data.
func (s *Store) Suspended(ctx context.Context) iter.Seq2[store.Suspended, error] {
	return func(yield func(store.Suspended, error) bool) {
		list, err := s.idle(), error(nil)
		if s.Shared() {
			list, err = s.everywhere(ctx)
		}
		if err != nil {
			yield(store.Suspended{}, fmt.Errorf("list uploads: %w", err))
			return
		}
		for id, tenant := range list {
			if err := ctx.Err(); err != nil {
				yield(store.Suspended{}, fmt.Errorf("list uploads: %w", err))
				return
			}
			u, err := s.suspended(id, uploadDir(tenant, id))
			if errors.Is(err, fs.ErrNotExist) {
				continue // it has ended meanwhile
			}
			if err != nil {
				yield(store.Suspended{}, fmt.Errorf("list upload %s: %w", id, err))
				return
			}
			if !yield(u, nil) {
				return
			}
		}
	}
}

// idle is the uploads that no Writer has, with their tenants.
func (s *Store) idle() map[store.ID]string {
	found := map[store.ID]string{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, u := range s.uploads {
		if !u.open && !u.half {
			found[id] = u.tenant
		}
	}
	return found
}

func (s *Store) suspended(id store.ID, dir string) (store.Suspended, error) {
	// The state first: with it the name is whole.
	fi, err := s.files.Lstat(dir + "/" + stateName)
	if err != nil {
		return store.Suspended{}, err
	}
	name, err := s.readName(dir)
	if err != nil {
		return store.Suspended{}, err
	}
	u := store.Suspended{ID: id, Name: name, Saved: fi.ModTime()}
	u.Size, _, _, err = s.readState(dir)
	if errors.Is(err, store.ErrState) {
		fi, err = s.files.Lstat(dir + "/" + dataName)
		if err == nil {
			u.Size = fi.Size()
		}
	}
	return u, err
}

func (s *Store) readName(dir string) (store.Key, error) {
	b, err := s.readFile(dir + "/" + nameName)
	if err != nil {
		return "", err
	}
	return store.ParseKey(string(b))
}

// Resume implements store.Resumer. An upload whose seal failed halfway is
// sealed by it, and then not there any more.
func (s *Store) Resume(ctx context.Context, id store.ID) (store.Writer, []byte, int64, error) {
	w, state, err := s.resume(ctx, id)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("resume upload %s: %w", id, mark(err))
	}
	return w, state, w.off, nil
}

func (s *Store) resume(ctx context.Context, id store.ID) (*writer, []byte, error) {
	w, err := s.take(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	off, aside, state, err := s.readState(w.dir)
	if err == nil {
		err = w.open(off)
	}
	if err != nil {
		w.closeData()
		s.giveBack(w.up)
		return nil, nil, err
	}
	w.openAside(aside)
	return w, state, nil
}

// open goes on with the data, cut off behind off.
func (w *writer) open(off int64) error {
	if w.f == nil {
		return fmt.Errorf("%w: data is missing", store.ErrState)
	}
	size, err := w.dataSize()
	if err == nil && size < off {
		err = fmt.Errorf("%w: %d bytes of data, state at %d", store.ErrState, size, off)
	}
	if err == nil && size > off {
		err = w.f.Truncate(off)
	}
	if err == nil {
		w.off, w.pushed = off, off
	}
	return err
}

// openData opens the data and makes it this process's.
func (w *writer) openData(flag int) error {
	f, err := w.s.files.OpenFile(w.dir+"/"+dataName, os.O_RDWR|os.O_APPEND|flag)
	if err != nil {
		return err
	}
	if err := f.Lock(); err != nil {
		return errors.Join(err, f.Close())
	}
	w.setData(f)
	return nil
}

func (w *writer) dataSize() (int64, error) {
	fi, err := w.f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (w *writer) closeData() {
	if w.f != nil {
		w.f.Close()
		w.setData(nil)
	}
}

// take makes a Writer of a suspended upload. Data that is missing is not opened.
func (s *Store) take(ctx context.Context, id store.ID) (*writer, error) {
	if err := cmp.Or(ctx.Err(), id.Check()); err != nil {
		return nil, err
	}
	u, err := s.takeUpload(id)
	if errors.Is(err, fs.ErrNotExist) && s.Shared() {
		u, err = s.takeElsewhere(id)
	}
	if err != nil {
		return nil, err
	}
	w := &writer{s: s, id: id, up: u, dir: uploadDir(u.tenant, id), saved: true, anchored: true}
	err = removed(w.openData(0))
	if errors.Is(err, ErrLocked) {
		err = w.awaitData(ctx)
	}
	if err == nil && s.Shared() {
		err = w.lookAgain(ctx)
	}
	if err == nil && u.half {
		err = s.completeHalf(w)
	}
	if err == nil {
		w.name, err = s.readName(w.dir)
	}
	if err != nil {
		w.closeData()
		s.giveBack(u)
		return nil, err
	}
	return w, nil
}

func (s *Store) takeUpload(id store.ID) (*upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uploads[id]
	switch {
	case u == nil:
		return nil, fs.ErrNotExist
	case u.open:
		return nil, store.ErrBusy
	}
	u.open = true
	return u, nil
}

func (s *Store) giveBack(u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.open = false
}

// completeHalf concludes the seal of an upload that nobody has. If it is
// sealed now that is fs.ErrNotExist, for the upload is no more; nil says that
// the seal was rolled back.
func (s *Store) completeHalf(w *writer) error {
	in, err := s.halfIntent(w.dir, w.id)
	if err != nil {
		return err
	}
	sealed := false
	if in != nil {
		err = s.conclude(in)
		sealed = err == nil
	}
	if errors.Is(err, errHalf) {
		return err
	}
	s.release(w.up, w.up.key)
	if sealed {
		s.forget(w.id)
		return fs.ErrNotExist
	}
	return nil
}

// Recover implements store.Resumer. Data that is missing counts as empty.
func (s *Store) Recover(ctx context.Context, id store.ID) (store.Writer, io.ReadCloser, int64, error) {
	w, err := s.take(ctx, id)
	if err == nil {
		if err = w.openWhole(); err != nil {
			w.closeData()
			s.giveBack(w.up)
		}
	}
	if err != nil {
		return nil, nil, 0, fmt.Errorf("recover upload %s: %w", id, mark(err))
	}
	w.aside.anew = true
	r, err := s.files.OpenFile(w.dir+"/"+dataName, os.O_RDONLY)
	if err != nil {
		return nil, nil, 0, errors.Join(fmt.Errorf("recover upload %s: %w", id, err), w.Close())
	}
	return w, &dataReader{io.NewSectionReader(r, 0, w.off), r}, w.off, nil
}

// openWhole goes on behind all of the data.
func (w *writer) openWhole() (err error) {
	if w.f == nil {
		err = w.openData(os.O_CREATE)
	}
	if err == nil {
		w.off, err = w.dataSize()
		w.pushed = w.off
	}
	return err
}

// dataReader reads the bytes that were there when it was opened.
type dataReader struct {
	*io.SectionReader
	io.Closer
}
