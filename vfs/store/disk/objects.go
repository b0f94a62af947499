package disk

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	"bundleup/vfs/store"
)

// object implements store.Object.
type object struct {
	f    file
	info store.Info
}

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

// Close implements io.Closer.
func (o *object) Close() error { return o.f.Close() }

// Info implements store.Object: as it was when the object was opened.
func (o *object) Info() store.Info { return o.info }

func bundlePath(key store.Key) string { return pathIn(bundlesDir, key) }

// pathIn is key below top; the empty key is top itself.
func pathIn(top string, key store.Key) string {
	if key == "" {
		return top
	}
	return top + "/" + string(key)
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, key store.Key) (store.Object, error) {
	o, err := s.openObject(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return o, nil
}

func (s *Store) openObject(ctx context.Context, key store.Key) (*object, error) {
	if err := cmp.Or(ctx.Err(), key.Check()); err != nil {
		return nil, err
	}
	if key.CheckObject() != nil {
		return nil, fs.ErrNotExist
	}
	f, fi, err := s.openRegular(bundlePath(key))
	if err != nil {
		return nil, err
	}
	// Asked after the file was found: a seal hides the key before it links.
	if s.hidden(key) || s.isSealing(key, fi) {
		f.Close()
		return nil, fs.ErrNotExist
	}
	return &object{f, infoOf(key, fi)}, nil
}

func infoOf(key store.Key, fi fs.FileInfo) store.Info {
	if fi.IsDir() {
		return store.Info{Key: key, ModTime: fi.ModTime(), Dir: true}
	}
	return store.Info{Key: key, Size: fi.Size(), ModTime: fi.ModTime()}
}

// List implements store.Store. It skips what is not ours: hidden names, names
// that are no keys, links and devices.
func (s *Store) List(ctx context.Context, dir store.Key) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		names, err := s.names(ctx, bundlesDir, dir)
		if err != nil {
			yield(store.Info{}, fmt.Errorf("list %s: %w", dir, err))
			return
		}
		sealing := s.sealingIn(dir)
		for _, name := range names {
			info, ok, err := s.infoAt(ctx, dir.Join(name), sealing)
			if err != nil {
				yield(store.Info{}, fmt.Errorf("list %s: %w", dir, err))
				return
			}
			if ok && !yield(info, nil) {
				return
			}
		}
	}
}

// infoAt describes a child; ok is false if it is gone or not to be seen.
func (s *Store) infoAt(ctx context.Context, key store.Key, sealing map[store.Key]fs.FileInfo) (info store.Info, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return store.Info{}, false, err
	}
	fi, err := s.files.Lstat(bundlePath(key))
	switch {
	case isMissing(err):
		return store.Info{}, false, nil
	case err != nil:
		return store.Info{}, false, err
	}
	data := sealing[key]
	ok = (fi.IsDir() || fi.Mode().IsRegular()) && !s.hidden(key) && (data == nil || !s.files.SameFile(fi, data))
	return infoOf(key, fi), ok, nil
}

// names are the plausible children of dir below top, sorted.
func (s *Store) names(ctx context.Context, top string, dir store.Key) ([]string, error) {
	if err := cmp.Or(ctx.Err(), dir.Check()); err != nil {
		return nil, err
	}
	if dir != "" && dir.CheckObject() != nil {
		return nil, fs.ErrNotExist
	}
	entries, err := s.files.ReadDir(pathIn(top, dir))
	if isMissing(err) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if dir.Join(e.Name()).CheckObject() == nil {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names, nil
}

// Mkdir implements store.Store.
func (s *Store) Mkdir(ctx context.Context, dir store.Key) error {
	err := cmp.Or(ctx.Err(), dir.CheckObject())
	if err == nil {
		err = s.makeDirs(bundlePath(dir))
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", dir, mark(err))
	}
	return nil
}

// Touch implements store.Toucher.
func (s *Store) Touch(ctx context.Context, key store.Key, mtime time.Time) error {
	o, err := s.openObject(ctx, key)
	if err != nil {
		return fmt.Errorf("touch %s: %w", key, err)
	}
	defer o.Close()
	err = s.files.Chtimes(bundlePath(key), mtime)
	if err == nil {
		err = o.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("touch %s: %w", key, mark(err))
	}
	return nil
}
