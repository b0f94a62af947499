package vfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"

	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// Meter are functions that are told what things take. They are called often, on
// the goroutine that does the work, and must be quick. A nil function is skipped.
type Meter struct {
	// Storage is called after each operation of the medium. op is its name in
	// small letters ("write", "seal", ...), result is one of the Results.
	Storage func(op, result string, took time.Duration)
	// Check is called for each piece of an upload with what the check took to
	// judge it and to add it to the digest: how far a verdict is behind the bytes.
	Check func(took time.Duration)
	// Visible is called when a bundle is durable and can be seen, with what
	// passed since its last byte came.
	Visible func(took time.Duration)
	// Continued is called when an upload begins under a name of which bytes
	// were kept, with one of the Continuations.
	Continued func(how string)
}

// Results of an operation of the medium. An answer such as "there is none" is ok:
// the medium did its part.
const (
	ResultOK    = "ok"
	ResultFull  = "full"
	ResultError = "error"
)

// Continuations say what became of kept bytes.
const (
	ContinuedBehind = "continued" // the upload goes on behind them
	StartedAnew     = "restarted" // the client sends all from the start
	KeptLost        = "lost"      // they were promised and are not there any more
)

// storageResult is the Result of an operation that gave err.
func storageResult(err error) string {
	switch {
	case errors.Is(err, store.ErrFull):
		return ResultFull
	case err == nil, errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrExist), errors.Is(err, store.ErrBusy),
		errors.Is(err, io.EOF), errors.Is(err, context.Canceled):
		return ResultOK
	}
	return ResultError
}

// Fault reports whether an upload that was suspended for this cause ended so
// through the server: its medium failed or is full. A client that has gone, a
// stream that ended too early and a tenant's quota are none.
func Fault(cause error) bool {
	var rejection *bundle.Rejection
	if cause == nil || errors.As(cause, &rejection) {
		return false
	}
	var e *Error
	if errors.As(cause, &e) && e.Kind == Full {
		return e.Err != nil // the reserve says how much is free; a quota has no cause
	}
	return true
}

// measured is a medium whose operations are told to the Meter. It is beside
// Config.Store, not in its place: that one has the optional capabilities. Writers
// are handed through as they are, for the same reason; see Tree.observe.
type measured struct{ tree *Tree }

// observe tells the Meter of an operation that began at start.
func (t *Tree) observe(op string, start time.Time, err error) {
	if t.cfg.Meter.Storage != nil {
		t.cfg.Meter.Storage(op, storageResult(err), t.cfg.Now().Sub(start))
	}
}

func (m *measured) Create(ctx context.Context, id store.ID, name store.Key) (store.Writer, error) {
	start := m.tree.cfg.Now()
	w, err := m.tree.cfg.Store.Create(ctx, id, name)
	m.tree.observe("create", start, err)
	return w, err
}

func (m *measured) Open(ctx context.Context, key store.Key) (store.Object, error) {
	start := m.tree.cfg.Now()
	o, err := m.tree.cfg.Store.Open(ctx, key)
	m.tree.observe("open", start, err)
	return o, err
}

func (m *measured) Mkdir(ctx context.Context, dir store.Key) error {
	start := m.tree.cfg.Now()
	err := m.tree.cfg.Store.Mkdir(ctx, dir)
	m.tree.observe("mkdir", start, err)
	return err
}

func (m *measured) Resume(ctx context.Context, id store.ID) (store.Writer, []byte, int64, error) {
	start := m.tree.cfg.Now()
	w, state, off, err := m.tree.cfg.Store.Resume(ctx, id)
	m.tree.observe("resume", start, err)
	return w, state, off, err
}

func (m *measured) Recover(ctx context.Context, id store.ID) (store.Writer, io.ReadCloser, int64, error) {
	start := m.tree.cfg.Now()
	w, r, size, err := m.tree.cfg.Store.Recover(ctx, id)
	m.tree.observe("recover", start, err)
	return w, r, size, err
}

func (m *measured) PutRecord(ctx context.Context, key store.Key, name string, doc []byte) error {
	start := m.tree.cfg.Now()
	err := m.tree.cfg.Store.PutRecord(ctx, key, name, doc)
	m.tree.observe("put_record", start, err)
	return err
}

func (m *measured) Record(ctx context.Context, key store.Key, name string) ([]byte, error) {
	start := m.tree.cfg.Now()
	doc, err := m.tree.cfg.Store.Record(ctx, key, name)
	m.tree.observe("record", start, err)
	return doc, err
}

func (m *measured) RemoveRecord(ctx context.Context, key store.Key, name string) error {
	start := m.tree.cfg.Now()
	err := m.tree.cfg.Store.RemoveRecord(ctx, key, name)
	m.tree.observe("remove_record", start, err)
	return err
}

func (m *measured) OpenRecord(ctx context.Context, key store.Key, name string) (store.Object, error) {
	start := m.tree.cfg.Now()
	o, err := m.tree.cfg.Store.OpenRecord(ctx, key, name)
	m.tree.observe("open_record", start, err)
	return o, err
}

func (m *measured) StreamRecord(ctx context.Context, key store.Key, name string, write func(io.Writer) error) error {
	start := m.tree.cfg.Now()
	err := m.tree.cfg.Store.StreamRecord(ctx, key, name, write)
	m.tree.observe("stream_record", start, err)
	return err
}

func (m *measured) List(ctx context.Context, dir store.Key) iter.Seq2[store.Info, error] {
	return measuredSeq(m.tree, "list", m.tree.cfg.Store.List(ctx, dir))
}

func (m *measured) Records(ctx context.Context, dir store.Key) iter.Seq2[store.RecordInfo, error] {
	return measuredSeq(m.tree, "records", m.tree.cfg.Store.Records(ctx, dir))
}

func (m *measured) Suspended(ctx context.Context) iter.Seq2[store.Suspended, error] {
	return measuredSeq(m.tree, "suspended", m.tree.cfg.Store.Suspended(ctx))
}

// measuredSeq tells what a whole walk took, without the time of who walks.
func measuredSeq[T any](t *Tree, op string, seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var failure error
		var outside time.Duration
		start := t.cfg.Now()
		for v, err := range seq {
			if err != nil {
				failure = err
			}
			left := t.cfg.Now()
			more := yield(v, err)
			outside += t.cfg.Now().Sub(left)
			if !more {
				break
			}
		}
		t.observe(op, start.Add(outside), failure)
	}
}

// checked tells the Meter what the check of a piece took.
func (t *Tree) checked(start time.Time) {
	if t.cfg.Meter.Check != nil {
		t.cfg.Meter.Check(t.cfg.Now().Sub(start))
	}
}

// visible tells the Meter of a bundle whose last byte came at last.
func (t *Tree) visible(last time.Time) {
	if t.cfg.Meter.Visible != nil && !last.IsZero() {
		t.cfg.Meter.Visible(t.cfg.Now().Sub(last))
	}
}

// continued tells the Meter what became of kept bytes.
func (t *Tree) continued(how string) {
	if t.cfg.Meter.Continued != nil {
		t.cfg.Meter.Continued(how)
	}
}
