package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strconv"
	"time"

	"bundleup/vfs/store"
)

func recordPath(key store.Key) string { return pathIn(recordsDir, key) }

// PutRecord implements store.Recorder.
func (s *Store) PutRecord(ctx context.Context, key store.Key, name string, doc []byte) error {
	err := checkRecord(ctx, key, name)
	if err == nil {
		err = s.putRecord(recordPath(key), name, doc)
	}
	return wrapRecord("put", key, name, err)
}

func checkRecord(ctx context.Context, key store.Key, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return store.CheckRecord(key, name)
}

func wrapRecord(op string, key store.Key, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s record %s of %s: %w", op, name, key, mark(err))
}

func (s *Store) putRecord(dir, name string, doc []byte) error {
	if len(doc) > maxFile {
		return errLarge
	}
	return s.streamRecord(dir, name, func(w io.Writer) error {
		_, err := w.Write(doc)
		return err
	})
}

// StreamRecord implements store.LargeRecorder.
func (s *Store) StreamRecord(ctx context.Context, key store.Key, name string, write func(io.Writer) error) error {
	err := checkRecord(ctx, key, name)
	if err == nil {
		err = s.streamRecord(recordPath(key), name, write)
	}
	return wrapRecord("stream", key, name, err)
}

func (s *Store) streamRecord(dir, name string, write func(io.Writer) error) error {
	temp := tempDir + "/" + s.mine + strconv.FormatUint(s.temps.Add(1), 10)
	err := s.streamFile(temp, write)
	if err == nil {
		err = s.moveRecord(temp, dir, name)
	}
	if err != nil {
		s.files.Remove(temp)
	}
	return err
}

// OpenRecord implements store.LargeRecorder.
func (s *Store) OpenRecord(ctx context.Context, key store.Key, name string) (store.Object, error) {
	err := checkRecord(ctx, key, name)
	var o *object
	if err == nil {
		o, err = s.openRecord(key, name)
	}
	if err != nil {
		return nil, wrapRecord("open", key, name, err)
	}
	return o, nil
}

func (s *Store) openRecord(key store.Key, name string) (*object, error) {
	f, fi, err := s.openRegular(recordPath(key) + "/" + name)
	if err != nil {
		return nil, err
	}
	return &object{f, infoOf(key, fi)}, nil
}

// moveRecord moves a file, durably, into a record directory that it makes.
func (s *Store) moveRecord(temp, dir, name string) error {
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	if err := s.makeDirs(dir); err != nil {
		return err
	}
	if fi, err := s.files.Lstat(dir + "/" + name); err == nil && fi.IsDir() {
		return fmt.Errorf("a directory: %w", store.ErrExist)
	}
	if err := s.files.Rename(temp, dir+"/"+name); err != nil {
		return err
	}
	return s.files.SyncDir(dir)
}

// Record implements store.Recorder.
func (s *Store) Record(ctx context.Context, key store.Key, name string) ([]byte, error) {
	err := checkRecord(ctx, key, name)
	var doc []byte
	if err == nil {
		doc, err = s.readFile(recordPath(key) + "/" + name)
	}
	return doc, wrapRecord("read", key, name, err)
}

// RemoveRecord implements store.Recorder.
func (s *Store) RemoveRecord(ctx context.Context, key store.Key, name string) error {
	err := checkRecord(ctx, key, name)
	if err == nil {
		err = s.removeRecord(recordPath(key), name)
	}
	return wrapRecord("remove", key, name, err)
}

func (s *Store) removeRecord(dir, name string) error {
	if err := s.unlinkRecord(dir, name); err != nil {
		return err
	}
	s.prune(dir)
	return nil
}

func (s *Store) unlinkRecord(dir, name string) error {
	s.pruning.RLock()
	defer s.pruning.RUnlock()
	fi, err := s.files.Lstat(dir + "/" + name)
	if isMissing(err) || err == nil && fi.IsDir() {
		return fs.ErrNotExist
	}
	if err != nil {
		return err
	}
	if err := s.files.Remove(dir + "/" + name); err != nil {
		return err
	}
	return s.files.SyncDir(dir)
}

// prune removes a record directory that has become empty. That it fails on one
// that has not, or that its removal is undone by a crash, is fine. Another process
// may be about to fill the directory: then it stays.
func (s *Store) prune(dir string) {
	s.pruning.Lock()
	defer s.pruning.Unlock()
	if !s.Shared() {
		s.files.Remove(dir)
	}
}

// Records implements store.Recorder.
func (s *Store) Records(ctx context.Context, dir store.Key) iter.Seq2[store.RecordInfo, error] {
	return func(yield func(store.RecordInfo, error) bool) {
		names, err := s.names(ctx, recordsDir, dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		for _, name := range names {
			var info store.RecordInfo
			info, err = s.recordInfo(ctx, dir.Join(name))
			if err != nil {
				break
			}
			if (info.Dir || len(info.Docs) > 0) && !yield(info, nil) {
				return
			}
		}
		if err != nil {
			yield(store.RecordInfo{}, fmt.Errorf("list records of %s: %w", dir, err))
		}
	}
}

// recordInfo reads a record directory; a document, or one that is gone, gives
// an empty description.
func (s *Store) recordInfo(ctx context.Context, key store.Key) (store.RecordInfo, error) {
	info := store.RecordInfo{Key: key, Docs: map[string]time.Time{}}
	names, err := s.names(ctx, recordsDir, key)
	if err != nil {
		return info, removed(err)
	}
	for _, name := range names {
		fi, err := s.files.Lstat(recordPath(key) + "/" + name)
		switch {
		case isMissing(err):
		case err != nil:
			return info, err
		case fi.IsDir():
			info.Dir = true
		case fi.Mode().IsRegular():
			info.Docs[name] = fi.ModTime()
		}
	}
	return info, nil
}
