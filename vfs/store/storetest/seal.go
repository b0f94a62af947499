package storetest

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"bundleup/vfs/store"
)

func testVisible(t *testing.T, m *medium) {
	const key = "acme/case-1/X.tgz"
	_, w := m.create(key, []byte("half"))
	m.wantMissing(key)
	m.ok(w.Save(t.Context(), nil))
	m.wantMissing(key)
	m.write(w, []byte(" whole"))
	mtime := time.Unix(1_600_000_000, 0)
	m.ok(w.Seal(t.Context(), key, store.Meta{ModTime: mtime, Docs: map[string][]byte{"r.json": []byte("{}")}}))
	m.wantObject(key, []byte("half whole"))
	m.wantDoc(key, "r.json", "{}")
	m.wantList("acme/case-1", "X.tgz")
	o, err := m.Open(t.Context(), key)
	m.ok(err)
	defer o.Close()
	if got := o.Info(); got.Key != key || got.Size != 10 || got.Dir || !got.ModTime.Equal(mtime) {
		t.Errorf("Info = %+v", got)
	}
}

func testDurable(t *testing.T, m *medium) {
	m.seal("acme/a/b/c/X.tgz", []byte("bytes"), map[string][]byte{"one": []byte("1"), "two": []byte("2")})
	m.crash()
	m.wantObject("acme/a/b/c/X.tgz", []byte("bytes"))
	m.wantDoc("acme/a/b/c/X.tgz", "one", "1")
	m.wantDoc("acme/a/b/c/X.tgz", "two", "2")
	if _, ok := m.Store.(store.Resumer); ok {
		m.wantSuspended()
	}
}

func testExist(t *testing.T, m *medium) {
	const key = "acme/X.tgz"
	m.seal(key, []byte("first"), map[string][]byte{"r": []byte("first")})
	_, w := m.create(key, []byte("second"))
	for range 2 {
		m.fails(w.Seal(t.Context(), key, store.Meta{Docs: map[string][]byte{"r": []byte("second"), "s": nil}}), store.ErrExist)
		m.wantObject(key, []byte("first"))
		m.wantDoc(key, "r", "first")
	}
	m.write(w, []byte(" and more"))
	m.ok(w.Seal(t.Context(), "acme/X~2.tgz", store.Meta{Docs: map[string][]byte{"r": []byte("second")}}))
	m.crash()
	m.wantObject(key, []byte("first"))
	m.wantDoc(key, "r", "first")
	m.wantObject("acme/X~2.tgz", []byte("second and more"))
	m.wantDoc("acme/X~2.tgz", "r", "second")
	m.wantList("acme", "X.tgz", "X~2.tgz")
}

func testDirectoryInTheWay(t *testing.T, m *medium) {
	m.ok(m.Mkdir(t.Context(), "acme/D.tgz"))
	m.seal("acme/X.tgz", []byte("object"), nil)
	_, w := m.create("acme/D.tgz", []byte("bytes"))
	m.fails(w.Seal(t.Context(), "acme/D.tgz", store.Meta{}), store.ErrExist)
	m.fails(w.Seal(t.Context(), "acme/X.tgz/deeper/Y.tgz", store.Meta{}), store.ErrExist)
	m.ok(w.Discard(t.Context()))
	m.wantList("acme", "D.tgz/", "X.tgz")
}

// testRace lets eight uploads claim one key: exactly one gets it, with its own
// bytes and documents, and the others can go elsewhere. A loser learns of it
// when the object is there to be compared, not before, unless the medium promises
// keys early.
func testRace(t *testing.T, m *medium) {
	const n, key = 8, "acme/race/X.tgz"
	writers := make([]store.Writer, n)
	for i := range writers {
		_, writers[i] = m.create(key, fmt.Appendf(nil, "bytes of %d", i))
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() {
			doc := fmt.Appendf(nil, "receipt of %d", i)
			errs[i] = w.Seal(t.Context(), key, store.Meta{Docs: map[string][]byte{"r": doc, "s": doc}})
			if _, err := m.read(key); err != nil && !promised(w, errs[i]) {
				t.Errorf("after seal %d (%v) the object is not there: %v", i, errs[i], err)
			}
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("%d and %d both won", winner, i)
		case !errors.Is(err, store.ErrExist):
			t.Fatal(err)
		default:
			m.ok(writers[i].Discard(t.Context()))
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	m.crash()
	m.wantObject(key, fmt.Appendf(nil, "bytes of %d", winner))
	m.wantDoc(key, "r", fmt.Sprintf("receipt of %d", winner))
	m.wantDoc(key, "s", fmt.Sprintf("receipt of %d", winner))
}

// promised says that a seal may have failed because the key is promised to an
// upload that is still under way.
func promised(w store.Writer, err error) bool {
	_, ok := w.(store.Aimer)
	return ok && errors.Is(err, store.ErrExist)
}

func testManyKeys(t *testing.T, m *medium) {
	const n = 16
	var wg sync.WaitGroup
	for i := range n {
		key := store.Key(fmt.Sprintf("acme/new/%d/X%d.tgz", i/4, i%4))
		_, w := m.create(key, []byte(key))
		wg.Go(func() {
			if err := w.Seal(t.Context(), key, store.Meta{Docs: map[string][]byte{"r": []byte(key)}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m.crash()
	m.wantList("acme/new", "0/", "1/", "2/", "3/")
	for i := range n {
		key := store.Key(fmt.Sprintf("acme/new/%d/X%d.tgz", i/4, i%4))
		m.wantObject(key, []byte(key))
		m.wantDoc(key, "r", string(key))
	}
}

func testEnded(t *testing.T, m *medium) {
	ends := map[string]func(store.Writer) error{
		"seal":    func(w store.Writer) error { return w.Seal(t.Context(), "acme/X.tgz", store.Meta{}) },
		"discard": func(w store.Writer) error { return w.Discard(t.Context()) },
		"close":   func(w store.Writer) error { return w.Close() },
	}
	for name, end := range ends {
		_, w := m.create("acme/X.tgz", []byte("bytes"))
		m.ok(end(w))
		_, err := w.Write([]byte("more"))
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("write after %s: %v, want %v", name, err, fs.ErrClosed)
		}
		for what, err := range map[string]error{
			"save":    w.Save(t.Context(), nil),
			"seal":    w.Seal(t.Context(), "acme/Y.tgz", store.Meta{}),
			"discard": w.Discard(t.Context()),
		} {
			if !errors.Is(err, fs.ErrClosed) {
				t.Errorf("%s after %s: %v, want %v", what, name, err, fs.ErrClosed)
			}
		}
		if err := w.Close(); err != nil {
			t.Errorf("close after %s: %v", name, err)
		}
	}
	m.wantList("acme", "X.tgz")
}

func testEmpty(t *testing.T, m *medium) {
	m.seal("acme/empty.tgz", nil, map[string][]byte{"r": nil})
	m.crash()
	m.wantObject("acme/empty.tgz", nil)
	m.wantDoc("acme/empty.tgz", "r", "")
}
