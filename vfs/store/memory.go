package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Op names an operation of a Memory for its hooks.
type Op string

// The operations.
const (
	OpCreate       Op = "create"
	OpWrite        Op = "write"
	OpSave         Op = "save"
	OpSeal         Op = "seal"
	OpDiscard      Op = "discard"
	OpClose        Op = "close"
	OpOpen         Op = "open"
	OpList         Op = "list"
	OpMkdir        Op = "mkdir"
	OpSuspended    Op = "suspended"
	OpResume       Op = "resume"
	OpRecover      Op = "recover"
	OpPutRecord    Op = "put record"
	OpRecord       Op = "read record"
	OpRemoveRecord Op = "remove record"
	OpRecords      Op = "list records"
	OpTouch        Op = "touch"
	OpWriteAside   Op = "write aside"
	OpOpenRecord   Op = "open record"
	OpStreamRecord Op = "stream record"
	OpErase        Op = "erase"
)

// Memory is a Store, Resumer, Recorder, LargeRecorder, Toucher and Eraser in memory, for
// tests and demonstrations. It keeps every promise of the interfaces except
// that of outliving the process; Crash stands for that. Its fields may be set
// before first use and not after.
type Memory struct {
	// Before, if not nil, runs ahead of every operation, outside of all
	// locks; subject is the ID or key at hand. Its error is returned and the
	// operation does not take place.
	Before func(op Op, subject string) error
	// After, if not nil, runs when the operation's effect is in place. Its
	// error is returned although the effect stays: the nasty case of a
	// medium that persisted and then failed to say so.
	After func(op Op, subject string) error
	// Now is the clock.
	Now func() time.Time

	mu      sync.Mutex // guards everything below
	objects map[Key]*memObject
	dirs    map[Key]time.Time
	uploads map[ID]*memUpload
	records map[Key]map[string]memDoc
}

// memObject is sealed: data never changes.
type memObject struct {
	data  []byte
	mtime time.Time
}

type memDoc struct {
	data  []byte
	mtime time.Time
}

// memUpload is what a medium keeps of an upload: data may run ahead of off.
type memUpload struct {
	name  Key
	data  []byte
	saved bool
	off   int64
	state []byte
	when  time.Time
	owner *memWriter // nil while suspended

	aside      []byte // like data, it may run ahead of asideSaved
	asideLost  bool
	asideSaved int64 // -1 where it was lost at the Save
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{
		Now:     time.Now,
		objects: map[Key]*memObject{},
		dirs:    map[Key]time.Time{},
		uploads: map[ID]*memUpload{},
		records: map[Key]map[string]memDoc{},
	}
}

// Crash does what a power loss does to a medium: every Writer is lost, and of
// each upload only what was saved remains.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, u := range m.uploads {
		u.owner = nil
		if !u.saved {
			delete(m.uploads, id)
			continue
		}
		u.rewind()
	}
}

// do runs f under the lock, between the hooks.
func (m *Memory) do(ctx context.Context, op Op, subject string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, subject, err)
	}
	if m.Before != nil {
		if err := m.Before(op, subject); err != nil {
			return fmt.Errorf("%s %s: %w", op, subject, err)
		}
	}
	if err := m.locked(f); err != nil {
		return fmt.Errorf("%s %s: %w", op, subject, err)
	}
	if m.After != nil {
		if err := m.After(op, subject); err != nil {
			return fmt.Errorf("%s %s: %w", op, subject, err)
		}
	}
	return nil
}

func (m *Memory) locked(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

// Create implements Store.
func (m *Memory) Create(ctx context.Context, id ID, name Key) (Writer, error) {
	w := &memWriter{m: m, id: id}
	err := m.do(ctx, OpCreate, string(id), func() error {
		if err := checkUpload(id, name); err != nil {
			return err
		}
		if m.uploads[id] != nil {
			return fmt.Errorf("upload: %w", fs.ErrExist)
		}
		w.u = &memUpload{name: name, owner: w}
		m.uploads[id] = w.u
		return nil
	})
	if err != nil {
		return nil, m.abandon(w, err)
	}
	return w, nil
}

// abandon takes back what a failing After hook left behind, as a caller that
// got no Writer cannot.
func (m *Memory) abandon(w *memWriter, err error) error {
	if w.u != nil {
		w.Close()
	}
	return err
}

func checkUpload(id ID, name Key) error {
	if err := id.Check(); err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("name %q: the root", string(name))
	}
	return name.Check()
}

// Open implements Store.
func (m *Memory) Open(ctx context.Context, key Key) (Object, error) {
	var r *memReader
	err := m.do(ctx, OpOpen, string(key), func() error {
		if err := key.Check(); err != nil {
			return err
		}
		o := m.objects[key]
		if o == nil {
			return fs.ErrNotExist
		}
		info := Info{Key: key, Size: int64(len(o.data)), ModTime: o.mtime}
		r = &memReader{Reader: bytes.NewReader(o.data), info: info}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, dir Key) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		var infos []Info
		err := m.do(ctx, OpList, string(dir), func() (err error) {
			infos, err = m.children(dir)
			return err
		})
		yieldAll(ctx, infos, err, yield)
	}
}

func (m *Memory) children(dir Key) ([]Info, error) {
	if err := dir.Check(); err != nil {
		return nil, err
	}
	if _, ok := m.dirs[dir]; !ok && dir != "" {
		return nil, fs.ErrNotExist
	}
	var infos []Info
	for k, o := range m.objects {
		if k.Dir() == dir {
			infos = append(infos, Info{Key: k, Size: int64(len(o.data)), ModTime: o.mtime})
		}
	}
	for k, mtime := range m.dirs {
		if k.Dir() == dir {
			infos = append(infos, Info{Key: k, ModTime: mtime, Dir: true})
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return infos, nil
}

// yieldAll yields items until ctx ends or the loop does, then err.
func yieldAll[T any](ctx context.Context, items []T, err error, yield func(T, error) bool) {
	var zero T
	for _, it := range items {
		if ctx.Err() != nil {
			yield(zero, ctx.Err())
			return
		}
		if !yield(it, nil) {
			return
		}
	}
	if err != nil {
		yield(zero, err)
	}
}

// Mkdir implements Store.
func (m *Memory) Mkdir(ctx context.Context, dir Key) error {
	return m.do(ctx, OpMkdir, string(dir), func() error {
		if err := dir.CheckObject(); err != nil {
			return err
		}
		return m.mkdirAll(dir)
	})
}

func (m *Memory) mkdirAll(dir Key) error {
	for d := dir; d != ""; d = d.Dir() {
		if m.objects[d] != nil {
			return fmt.Errorf("object %s: %w", d, ErrExist)
		}
	}
	for d := dir; d != ""; d = d.Dir() {
		if _, ok := m.dirs[d]; !ok {
			m.dirs[d] = m.Now()
		}
	}
	return nil
}

// Touch implements Toucher.
func (m *Memory) Touch(ctx context.Context, key Key, mtime time.Time) error {
	return m.do(ctx, OpTouch, string(key), func() error {
		if err := key.Check(); err != nil {
			return err
		}
		o := m.objects[key]
		if o == nil {
			return fs.ErrNotExist
		}
		o.mtime = mtime
		return nil
	})
}

// Erase implements Eraser.
func (m *Memory) Erase(ctx context.Context, key Key) error {
	return m.do(ctx, OpErase, string(key), func() error {
		if err := key.CheckObject(); err != nil {
			return err
		}
		_, isDir := m.dirs[key]
		if m.objects[key] == nil && m.records[key] == nil && !isDir {
			return fs.ErrNotExist
		}
		children, _ := m.children(key) // none where key is no directory
		if len(children) > 0 {
			return errors.New("the directory is not empty")
		}
		delete(m.objects, key)
		delete(m.records, key)
		delete(m.dirs, key)
		return nil
	})
}

// memReader is one open sealed object.
type memReader struct {
	*bytes.Reader
	info Info
}

func (r *memReader) Info() Info   { return r.info }
func (r *memReader) Close() error { return nil }

// publish makes a sealed object of u, with meta beside it.
func (m *Memory) publish(u *memUpload, key Key, meta Meta) error {
	if _, isDir := m.dirs[key]; isDir || m.objects[key] != nil {
		return ErrExist
	}
	if err := m.mkdirAll(key.Dir()); err != nil {
		return err
	}
	now := m.Now()
	o := &memObject{data: u.data, mtime: meta.ModTime}
	if o.mtime.IsZero() {
		o.mtime = now
	}
	m.objects[key] = o
	for _, name := range slices.Sorted(maps.Keys(meta.Docs)) {
		m.putDoc(key, name, meta.Docs[name], now)
	}
	if meta.Aside != "" && !u.asideLost && len(u.aside) > 0 {
		m.putDoc(key, meta.Aside, u.aside, now)
	}
	return nil
}

func (m *Memory) putDoc(key Key, name string, doc []byte, now time.Time) {
	if m.records[key] == nil {
		m.records[key] = map[string]memDoc{}
	}
	m.records[key][name] = memDoc{data: slices.Clone(doc), mtime: now}
}

var (
	_ Store     = (*Memory)(nil)
	_ Resumer   = (*Memory)(nil)
	_ Recorder  = (*Memory)(nil)
	_ Toucher   = (*Memory)(nil)
	_ Eraser    = (*Memory)(nil)
	_ io.Reader = (*memReader)(nil)

	_ LargeRecorder = (*Memory)(nil)
)
