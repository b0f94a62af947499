package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"bundleup/vfs/store"
)

// check compares the disk, as a clean Open found it, with the notes.
func (c *script) check(s *Store) error {
	if r := s.Report(); r.Err != nil || r.Stuck > 0 || r.RolledBack > 0 {
		return fmt.Errorf("report: %+v", r)
	}
	objects, err := c.checkSeals(s)
	if err != nil {
		return err
	}
	if err := c.checkUploads(s, objects); err != nil {
		return err
	}
	if err := c.checkRecords(s, objects); err != nil {
		return err
	}
	for _, dir := range c.dirs {
		for _, err := range s.List(ctx, dir) {
			return fmt.Errorf("acknowledged directory: %w", err)
		}
	}
	return nil
}

// checkSeals: an acknowledged object is there, another may be, and each has
// all of its bytes and documents. It returns those that are there.
func (c *script) checkSeals(s *Store) (map[store.Key]*sealed, error) {
	objects := map[store.Key]*sealed{}
	for _, o := range c.seals {
		got, mtime, err := readObject(s, o.key)
		if errors.Is(err, fs.ErrNotExist) && !o.acked {
			continue
		}
		if err == nil {
			err = o.whole(s, got, mtime)
		}
		if err == nil {
			objects[o.key] = o
		} else if o.acked {
			return nil, err
		}
	}
	return objects, c.checkNames(s, "", objects)
}

// whole says what is wrong with an object that holds got.
func (o *sealed) whole(s *Store, got string, mtime time.Time) error {
	if !slices.ContainsFunc(o.times, mtime.Equal) {
		return fmt.Errorf("%s is from %v, want one of %v", o.key, mtime, o.times)
	}
	if got != o.data {
		return fmt.Errorf("%s holds %q, want %q", o.key, got, o.data)
	}
	for name, want := range o.docs {
		doc, err := s.Record(ctx, o.key, name)
		if name == asideDoc && o.lost && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || string(doc) != want {
			return fmt.Errorf("document %s of %s = %q, %v, want %q", name, o.key, doc, err, want)
		}
	}
	return nil
}

// checkNames: nothing is listed that should not be.
func (c *script) checkNames(s *Store, dir store.Key, objects map[store.Key]*sealed) error {
	for info, err := range s.List(ctx, dir) {
		switch {
		case err != nil:
			return err
		case info.Dir:
			if err := c.checkNames(s, info.Key, objects); err != nil {
				return err
			}
		case objects[info.Key] == nil:
			return fmt.Errorf("%s is there, but not as anybody asked for it", info.Key)
		}
	}
	return nil
}

func readObject(s *Store, key store.Key) (string, time.Time, error) {
	o, err := s.Open(ctx, key)
	if err != nil {
		return "", time.Time{}, err
	}
	defer o.Close()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Info().Size))
	return string(b), o.Info().ModTime, err
}

// checkUploads: an acknowledged Save can be resumed, or a later one, unless
// the upload has ended; what has ended does not come back.
func (c *script) checkUploads(s *Store, objects map[store.Key]*sealed) error {
	there := map[store.ID]bool{}
	for u, err := range s.Suspended(ctx) {
		if err != nil {
			return err
		}
		there[u.ID] = true
	}
	for _, o := range objects {
		if there[o.id] {
			return fmt.Errorf("%s is sealed and its upload suspended", o.key)
		}
	}
	for id, k := range c.uploads {
		switch {
		case there[id] && k.ended:
			return fmt.Errorf("upload %s (%q) came back", id, k.data)
		case there[id]:
			if err := c.checkResume(s, id, k); err != nil {
				return err
			}
		case k.acked && !k.may:
			return fmt.Errorf("upload %s (%q) is lost", id, k.data)
		}
	}
	return nil
}

func (c *script) checkResume(s *Store, id store.ID, k *kept) error {
	w, got, off, err := s.Resume(ctx, id)
	if err != nil {
		return err
	}
	defer w.Close()
	if !slices.Contains(k.saves, off) || string(got) != string(state(off)) {
		return fmt.Errorf("upload %s resumes at %d with %q, want one of %d", id, off, got, k.saves)
	}
	b := make([]byte, off)
	if _, err := w.(*writer).f.ReadAt(b, 0); err != nil && err != io.EOF {
		return err
	}
	if !strings.HasPrefix(k.data, string(b)) {
		return fmt.Errorf("upload %s holds %q, want a prefix of %q", id, b, k.data)
	}
	return k.checkAside(w.(*writer), string(b))
}

// checkAside: it is as long as it was at the save that the upload resumes from,
// unless it was lost.
func (k *kept) checkAside(w *writer, data string) error {
	size := w.AsideSize()
	data = data[min(k.late, int64(len(data))):]
	if size < 0 && k.lost || size == 0 && data == "" {
		return nil
	}
	b := make([]byte, max(0, size))
	if w.aside.f != nil {
		if _, err := w.aside.f.ReadAt(b, 0); err != nil && err != io.EOF {
			return err
		}
	}
	if fi, err := w.s.files.Lstat(w.dir + "/" + asideName); err != nil || fi.Size() != size {
		return fmt.Errorf("the aside of upload %s is not cut to %d: %v", w.id, size, err)
	}
	if string(b) != asideOf(data) {
		return fmt.Errorf("the aside of upload %s holds %q at %d, want %q", w.id, b, size, asideOf(data))
	}
	return nil
}

// checkRecords: documents that no object brought are what they may be.
func (c *script) checkRecords(s *Store, objects map[store.Key]*sealed) error {
	for at, r := range c.records {
		key, name, _ := strings.Cut(at, " ")
		if o := objects[store.Key(key)]; o != nil && o.docs[name] != "" {
			continue
		}
		doc, err := s.Record(ctx, store.Key(key), name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !slices.Contains(r.may, string(doc)) {
			return fmt.Errorf("record %s = %q, want one of %q", at, doc, r.may)
		}
	}
	return nil
}

// checkLitter: the disk holds nothing that no one can name.
func (c *script) checkLitter(s *Store, f *crashFS, objects map[store.Key]*sealed) error {
	var litter []string
	walk(f.root, "", func(name string) {
		if !c.expected(s, name, objects) {
			litter = append(litter, name)
		}
	})
	if len(litter) > 0 {
		return fmt.Errorf("litter: %q", litter)
	}
	return nil
}

func (c *script) expected(s *Store, name string, objects map[store.Key]*sealed) bool {
	top, rest, _ := strings.Cut(name, "/")
	switch top {
	case bundlesDir:
		return objects[store.Key(rest)] != nil
	case recordsDir:
		key, doc := store.Key(rest).Dir(), store.Key(rest).Base()
		if o := objects[key]; o != nil && o.docs[doc] != "" {
			return true
		}
		return c.records[string(key)+" "+doc] != nil
	}
	_, rest, _ = strings.Cut(rest, "/")
	id, base, _ := strings.Cut(rest, "/")
	return s.uploads[store.ID(id)] != nil && (base == dataName || base == nameName || base == stateName || base == asideName)
}

// walk calls f with every file, and with directories of uploads as such.
func walk(n *inode, name string, f func(string)) {
	if !n.dir || strings.Count(name, "/") == 2 && strings.HasPrefix(name, uploadsDir) {
		if len(n.entries) > 0 || !n.dir {
			for base := range n.entries {
				f(name + "/" + base)
			}
		}
		if !n.dir || len(n.entries) == 0 {
			f(name)
		}
		return
	}
	for base, child := range n.entries {
		walk(child, strings.TrimPrefix(name+"/"+base, "/"), f)
	}
}

// verify opens the disk and checks all of it.
func (c *script) verify(f *crashFS) error {
	s, err := open(f, Options{})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := c.check(s); err != nil {
		return err
	}
	objects, err := c.checkSeals(s)
	if err != nil {
		return err
	}
	return c.checkLitter(s, f, objects)
}
