package storetest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"bundleup/vfs/store"
)

// aside returns the capability of a Writer, or skips the test on a medium whose
// Writers do not have it.
func (m *medium) aside(w store.Writer) store.AsideWriter {
	m.Helper()
	a, ok := w.(store.AsideWriter)
	if !ok {
		m.Skip("the medium takes no aside")
	}
	return a
}

func (m *medium) writeAside(w store.Writer, text string) {
	m.Helper()
	m.ok(m.aside(w).WriteAside([]byte(text)))
}

func (m *medium) wantAside(w store.Writer, want int64) {
	m.Helper()
	if got := m.aside(w).AsideSize(); got != want {
		m.Fatalf("AsideSize = %d, want %d", got, want)
	}
}

func (m *medium) wantNoDoc(key store.Key, name string) {
	m.Helper()
	_, err := m.Store.(store.Recorder).Record(m.Context(), key, name)
	m.fails(err, fs.ErrNotExist)
}

// testAside resumes an upload twice: its aside is what belongs to the saved state,
// private until it is published with the object, under every key that is tried.
func testAside(t *testing.T, m *medium) {
	const key = "acme/X.tgz"
	m.seal(key, []byte("in the way"), nil)
	id, w := m.create(key, []byte("one"))
	m.wantAside(w, 0)
	m.writeAside(w, "first, ")
	m.writeAside(w, "second")
	m.ok(w.Save(t.Context(), []byte("state")))
	m.writeAside(w, ", not kept")
	m.wantNoDoc(key, "index")
	m.crash()
	w = m.resume(id, "state", 3)
	m.wantAside(w, 13)
	m.writeAside(w, ", third")
	m.write(w, []byte(" two"))
	m.ok(w.Save(t.Context(), []byte("state")))
	m.writeAside(w, ", not kept either")
	m.ok(w.Close())
	w = m.resume(id, "state", 7)
	m.wantAside(w, 20)
	m.writeAside(w, ", last")
	meta := store.Meta{Docs: map[string][]byte{"r": []byte("receipt")}, Aside: "index"}
	m.fails(w.Seal(t.Context(), key, meta), store.ErrExist)
	m.wantNoDoc(key, "index")
	m.ok(w.Seal(t.Context(), "acme/X~2.tgz", meta))
	for range 2 {
		m.wantObject("acme/X~2.tgz", []byte("one two"))
		m.wantDoc("acme/X~2.tgz", "r", "receipt")
		m.wantLarge("acme/X~2.tgz", "index", "first, second, third, last")
		m.crash()
	}
}

// testAsideUnnamed: an aside that Seal is not asked for, and one that is empty, give
// no document.
func testAsideUnnamed(t *testing.T, m *medium) {
	_, w := m.create("acme/X.tgz", []byte("bytes"))
	m.writeAside(w, "forgotten")
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
	_, w = m.create("acme/Y.tgz", []byte("bytes"))
	m.ok(w.Seal(t.Context(), "acme/Y.tgz", store.Meta{Aside: "index"}))
	m.crash()
	m.wantObject("acme/X.tgz", []byte("bytes"))
	m.wantObject("acme/Y.tgz", []byte("bytes"))
	m.wantNoDoc("acme/X.tgz", "index")
	m.wantNoDoc("acme/Y.tgz", "index")
}

// testAsideRecovered: where the state is of no use the aside is begun anew.
func testAsideRecovered(t *testing.T, m *medium) {
	id, w := m.create("acme/X.tgz", []byte("bytes"))
	m.writeAside(w, "old")
	m.ok(w.Save(t.Context(), nil))
	m.ok(w.Close())
	w, r, _ := m.recover(id)
	m.ok(r.Close())
	m.wantAside(w, 0)
	m.ok(w.Close())
	w = m.resume(id, "", 5) // who recovers only to look takes nothing away
	m.wantAside(w, 3)
	m.ok(w.Close())
	w, r, _ = m.recover(id)
	m.ok(r.Close())
	m.writeAside(w, "new")
	m.ok(w.Save(t.Context(), []byte("state")))
	m.crash()
	w = m.resume(id, "state", 5)
	m.wantAside(w, 3)
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{Aside: "index"}))
	m.wantLarge("acme/X.tgz", "index", "new")
}

func testAsideDiscarded(t *testing.T, m *medium) {
	_, w := m.create("acme/X.tgz", []byte("bytes"))
	m.writeAside(w, "old")
	m.ok(w.Save(t.Context(), nil))
	m.ok(w.Discard(t.Context()))
	if err := m.aside(w).WriteAside([]byte("more")); err == nil {
		t.Error("WriteAside after Discard succeeds")
	}
	m.crash()
	m.wantSuspended()
	m.wantNoDoc("acme/X.tgz", "index")
}

// wantLarge checks a document through OpenRecord.
func (m *medium) wantLarge(key store.Key, name, want string) {
	m.Helper()
	o, err := capability[store.LargeRecorder](m).OpenRecord(m.Context(), key, name)
	m.ok(err)
	defer o.Close()
	got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Info().Size))
	m.ok(err)
	if string(got) != want || o.Info().Key != key || o.Info().ModTime.IsZero() {
		m.Fatalf("document %s of %s (%+v) = %.60q, want %.60q", name, key, o.Info(), got, want)
	}
}

func testLargeRecords(t *testing.T, m *medium) {
	large := capability[store.LargeRecorder](m)
	const key = "acme/X.tgz"
	_, err := large.OpenRecord(t.Context(), key, "index")
	m.fails(err, fs.ErrNotExist)
	for n := range 3 {
		whole := strings.Repeat(fmt.Sprint("version ", n, "\n"), 20_000)
		m.ok(large.StreamRecord(t.Context(), key, "index", inPieces(whole, nil)))
		m.wantLarge(key, "index", whole)
		m.wantDoc(key, "index", whole)
		m.crash()
		large = capability[store.LargeRecorder](m)
		m.wantLarge(key, "index", whole)
	}
	_, err = large.OpenRecord(t.Context(), "acme/.hidden", "index")
	if err == nil {
		t.Error("OpenRecord of a hidden key succeeds")
	}
	m.fails(large.StreamRecord(m.cancelled(), key, "index", inPieces("x", nil)), m.cancelled().Err())
}

// testLargeReplaced: who has a document open reads it to its end or is told, and a failing
// replacement changes nothing.
func testLargeReplaced(t *testing.T, m *medium) {
	large := capability[store.LargeRecorder](m)
	const key = "acme/X.tgz"
	old := strings.Repeat("old", 50_000)
	m.ok(large.StreamRecord(t.Context(), key, "index", inPieces(old, nil)))
	o, err := large.OpenRecord(t.Context(), key, "index")
	m.ok(err)
	defer o.Close()
	boom := errors.New("boom")
	m.fails(large.StreamRecord(t.Context(), key, "index", inPieces("new", boom)), boom)
	m.wantLarge(key, "index", old)
	m.ok(large.StreamRecord(t.Context(), key, "index", inPieces("new", nil)))
	m.wantLarge(key, "index", "new")
	got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Info().Size))
	if !errors.Is(err, store.ErrReplaced) && (err != nil || string(got) != old) {
		t.Errorf("the old document reads as %d bytes, %v, want %d", len(got), err, len(old))
	}
}

// inPieces writes text in pieces and then fails with err.
func inPieces(text string, err error) func(io.Writer) error {
	return func(w io.Writer) error {
		for len(text) > 0 {
			n := min(len(text), 5000)
			if _, err := io.WriteString(w, text[:n]); err != nil {
				return err
			}
			text = text[n:]
		}
		return err
	}
}
