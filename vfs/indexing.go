package vfs

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// indexDoc is the index of a bundle, beside it; see docs/index-format.md.
const indexDoc = "index"

// Scratch is temporary room that is gone when it is closed.
type Scratch interface {
	bundle.Scratch
	io.Closer
}

// makeIndex makes the bundle's index of the journal that its check recorded or, where
// that is missing or damaged, of the bundle.
func (rs *readers) makeIndex(r *reader) error {
	err := rs.compile(rs.ctx, r.key)
	var damaged *bundle.IndexError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damaged) {
		err = rs.build(r)
	}
	if err != nil {
		return err
	}
	if err := rs.cfg.Store.RemoveRecord(rs.ctx, r.key, journalDoc); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// compile makes the index of the journal.
func (rs *readers) compile(ctx context.Context, key store.Key) error {
	journal, err := rs.cfg.Store.OpenRecord(ctx, key, journalDoc)
	if err != nil {
		return err
	}
	defer journal.Close()
	o, done := rs.options(ctx, key)
	defer done()
	return rs.cfg.Store.StreamRecord(ctx, key, indexDoc, func(w io.Writer) error {
		return bundle.Compile(ctx, w, journal, journal.Info().Size, o)
	})
}

// build reads the bundle again.
func (rs *readers) build(r *reader) error {
	select {
	case rs.indexing <- struct{}{}:
		defer func() { <-rs.indexing }()
	case <-rs.ctx.Done():
		return rs.ctx.Err()
	}
	size := r.object.Info().Size
	r.total.Store(max(size, 1))
	compile, done := rs.options(rs.ctx, r.key)
	defer done()
	o := bundle.BuildOptions{
		CompileOptions: compile,
		Progress:       func(p bundle.Progress) { r.indexed.Store(p.Size) },
	}
	archive := &untilDone{rs.ctx, io.NewSectionReader(r.object, 0, size)}
	return rs.cfg.Store.StreamRecord(rs.ctx, r.key, indexDoc, func(w io.Writer) error {
		_, err := bundle.BuildIndex(rs.ctx, w, archive, rs.cfg.Check, o)
		return err
	})
}

// options are those of one index; done gives its temporary room back.
func (rs *readers) options(ctx context.Context, key store.Key) (o bundle.CompileOptions, done func()) {
	var rooms []Scratch
	o.Digest = rs.digest(ctx, key)
	if rs.cfg.Scratch != nil {
		o.Scratch = func() (bundle.Scratch, error) {
			s, err := rs.cfg.Scratch()
			if err != nil {
				return nil, err
			}
			rooms = append(rooms, s)
			return s, nil
		}
	}
	return o, func() {
		for _, s := range rooms {
			s.Close()
		}
	}
}

// digest is the bundle's SHA-256 as its receipt has it, or nil.
func (rs *readers) digest(ctx context.Context, key store.Key) []byte {
	doc, err := rs.cfg.Store.Record(ctx, key, acceptedDoc)
	var r Receipt
	if err != nil || json.Unmarshal(doc, &r) != nil {
		return nil
	}
	sum, err := hex.DecodeString(r.SHA256)
	if err != nil || len(sum) != 32 {
		return nil
	}
	return sum
}

// prepare has Index make the bundle's index soon.
func (rs *readers) prepare(key store.Key) {
	select {
	case rs.pending <- key:
	default:
	}
}

// Index makes the indexes of bundles that are accepted, one at a time, until ctx is
// done. Without it each is made when it is first asked for. failed is told of those
// that could not be made.
func (t *Tree) Index(ctx context.Context, failed func(name string, err error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-t.readers.pending:
			if err := t.readers.indexOne(ctx, key); err != nil && ctx.Err() == nil {
				failed(string(key), err)
			}
		}
	}
}

// indexOne opens a bundle inside, which makes its index.
func (rs *readers) indexOne(ctx context.Context, key store.Key) error {
	r, err := rs.acquire(ctx, key, func(string) {})
	if err == nil {
		rs.release(r)
	}
	return err
}

// IndexAll makes the index of every bundle that has none which is whole, and tells of
// each whose index was looked at. progress gets a line now and then while one takes
// long. It goes on behind one that fails.
func (t *Tree) IndexAll(ctx context.Context, told func(name string, err error), progress func(line string)) error {
	return t.indexBelow(ctx, "", told, progress)
}

func (t *Tree) indexBelow(ctx context.Context, dir store.Key, told func(string, error), progress func(string)) error {
	for i, err := range t.store.List(ctx, dir) {
		if err != nil {
			return fmt.Errorf("index %q: %w", dir, err)
		}
		if i.Dir {
			err = t.indexBelow(ctx, i.Key, told, progress)
		} else {
			told(string(i.Key), t.IndexOne(ctx, string(i.Key), progress))
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// IndexOne makes the index of the bundle TENANT/NAME if it has none, and makes it anew
// if what is there is damaged. progress gets a line now and then while that takes long.
func (t *Tree) IndexOne(ctx context.Context, name string, progress func(line string)) error {
	key := store.Key(name)
	r, err := t.readers.acquire(ctx, key, progress)
	if err != nil {
		return err
	}
	err = r.Verify(ctx)
	if damaged := (*bundle.IndexError)(nil); errors.As(err, &damaged) {
		t.readers.renew(r)
		t.readers.release(r)
		if r, err = t.readers.acquire(ctx, key, progress); err != nil {
			return err
		}
	}
	t.readers.release(r)
	return err
}
