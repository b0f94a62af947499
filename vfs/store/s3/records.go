package s3

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"bundleup/vfs/store"
)

func (s *Store) checkRecord(ctx context.Context, key store.Key, name string) error {
	return cmp.Or(ctx.Err(), store.CheckRecord(key, name), s.checkKey(recordKey(key, name)))
}

func wrapRecord(op string, key store.Key, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s record %s of %s: %w", op, name, key, err)
}

// PutRecord implements store.Recorder.
func (s *Store) PutRecord(ctx context.Context, key store.Key, name string, doc []byte) error {
	err := s.checkRecord(ctx, key, name)
	if err == nil && len(doc) > maxSmall {
		err = fmt.Errorf("more than %d bytes", int64(maxSmall))
	}
	if err == nil {
		_, err = s.put(ctx, recordKey(key, name), bytesBody(doc), always, nil)
	}
	return wrapRecord("put", key, name, err)
}

// Record implements store.Recorder.
func (s *Store) Record(ctx context.Context, key store.Key, name string) ([]byte, error) {
	err := s.checkRecord(ctx, key, name)
	var doc []byte
	if err == nil {
		doc, _, err = s.get(ctx, recordKey(key, name))
	}
	return doc, wrapRecord("read", key, name, err)
}

// RemoveRecord implements store.Recorder.
func (s *Store) RemoveRecord(ctx context.Context, key store.Key, name string) error {
	err := s.checkRecord(ctx, key, name)
	if err == nil {
		_, err = s.head(ctx, recordKey(key, name))
	}
	if err == nil {
		err = s.delete(ctx, recordKey(key, name))
	}
	return wrapRecord("remove", key, name, err)
}

// OpenRecord implements store.LargeRecorder.
func (s *Store) OpenRecord(ctx context.Context, key store.Key, name string) (store.Object, error) {
	err := s.checkRecord(ctx, key, name)
	var h head
	if err == nil {
		h, err = s.head(ctx, recordKey(key, name))
	}
	if err != nil {
		return nil, wrapRecord("open", key, name, err)
	}
	return s.newObject(recordKey(key, name), h.etag, store.Info{Key: key, Size: h.size, ModTime: h.time}), nil
}

// StreamRecord implements store.LargeRecorder.
func (s *Store) StreamRecord(ctx context.Context, key store.Key, name string, write func(io.Writer) error) error {
	err := s.checkRecord(ctx, key, name)
	if err == nil {
		err = s.stream(ctx, recordKey(key, name), write)
	}
	return wrapRecord("stream", key, name, err)
}

// Records implements store.Recorder. What lies below a child's children is not
// read: the listing goes on behind it.
func (s *Store) Records(ctx context.Context, dir store.Key) iter.Seq2[store.RecordInfo, error] {
	return func(yield func(store.RecordInfo, error) bool) {
		err := cmp.Or(ctx.Err(), dir.Check())
		r := recordScan{dir: dir, prefix: recordsDir, yield: yield}
		if dir != "" {
			r.prefix += string(dir) + "/"
		}
		if err == nil {
			err = r.run(ctx, s)
		}
		if err != nil && !r.stopped {
			yield(store.RecordInfo{}, fmt.Errorf("list records of %s: %w", dir, err))
		}
	}
}

// recordScan puts the children of a directory together from the keys below it,
// which come sorted: those of one child are next to each other.
type recordScan struct {
	dir     store.Key
	prefix  string
	yield   func(store.RecordInfo, error) bool
	info    store.RecordInfo // the child at hand, if it has a key
	stopped bool
}

func (r *recordScan) run(ctx context.Context, s *Store) error {
	after, token := "", ""
	for {
		p, err := s.list(ctx, r.prefix, "", after, token)
		if err != nil {
			return err
		}
		skip := ""
		for _, o := range p.objects {
			if skip != "" && strings.HasPrefix(o.key, skip) {
				continue
			}
			if skip = r.take(o); r.stopped {
				return nil
			}
		}
		switch {
		case p.next == "":
			r.flush()
			return nil
		case skip != "":
			after, token = skip+lastRune, ""
		default:
			token = p.next
		}
	}
}

// lastRune sorts behind everything that a key can hold.
const lastRune = "\U0010ffff"

// take looks at one key. It returns the prefix of what need not be looked at, if
// the key lies deeper than a child's documents.
func (r *recordScan) take(o listed) (skip string) {
	child, rest, ok := strings.Cut(strings.TrimPrefix(o.key, r.prefix), "/")
	if !ok {
		return "" // a document of dir itself
	}
	key := r.dir.Join(child)
	if key != r.info.Key {
		r.flush()
		r.info = store.RecordInfo{Key: key, Docs: map[string]time.Time{}}
	}
	deep, _, deeper := strings.Cut(rest, "/")
	if !deeper {
		r.info.Docs[rest] = o.time
		return ""
	}
	r.info.Dir = true
	return r.prefix + child + "/" + deep + "/"
}

func (r *recordScan) flush() {
	if r.info.Key != "" && !r.stopped {
		r.stopped = !r.yield(r.info, nil)
	}
	r.info = store.RecordInfo{}
}
