package storetest

import (
	"errors"
	"io"
	"io/fs"
	"testing"

	"bundleup/vfs/store"
)

func testErase(t *testing.T, m *medium) {
	e := capability[store.Eraser](m)
	m.seal("acme/case/X.tgz", []byte("one"), map[string][]byte{"r": []byte("1"), "s": []byte("2")})
	m.seal("acme/case/Y.tgz", []byte("two"), map[string][]byte{"r": []byte("3")})
	open, err := m.Open(t.Context(), "acme/case/X.tgz")
	m.ok(err)
	defer open.Close()
	m.ok(e.Erase(t.Context(), "acme/case/X.tgz"))
	for range 2 {
		m.wantMissing("acme/case/X.tgz")
		m.wantNoDocs("acme/case/X.tgz", "r", "s")
		m.wantObject("acme/case/Y.tgz", []byte("two"))
		m.wantDoc("acme/case/Y.tgz", "r", "3")
		m.wantList("acme/case", "Y.tgz")
		m.crash()
	}
	got, err := io.ReadAll(io.NewSectionReader(open, 0, 3))
	if !errors.Is(err, fs.ErrNotExist) && (err != nil || string(got) != "one") {
		t.Errorf("an object that was open reads %q, %v", got, err)
	}
	m.seal("acme/case/X.tgz", []byte("new"), map[string][]byte{"r": []byte("4")})
	m.wantObject("acme/case/X.tgz", []byte("new"))
	m.wantDoc("acme/case/X.tgz", "r", "4")
}

func testEraseMissing(t *testing.T, m *medium) {
	e := capability[store.Eraser](m)
	m.seal("acme/X.tgz", []byte("one"), nil)
	for _, key := range []store.Key{"acme/Y.tgz", "globex/Y.tgz", "acme/X.tgz/Y.tgz", "globex"} {
		m.fails(e.Erase(t.Context(), key), fs.ErrNotExist)
	}
	for _, key := range []store.Key{"", "../x", ".hidden", "acme/.tmp"} {
		if err := e.Erase(t.Context(), key); err == nil {
			t.Errorf("erase %q succeeded", key)
		}
	}
	m.wantObject("acme/X.tgz", []byte("one"))
}

// testEraseDocuments: a refusal leaves documents without an object.
func testEraseDocuments(t *testing.T, m *medium) {
	e := capability[store.Eraser](m)
	r := capability[store.Recorder](m)
	m.ok(r.PutRecord(t.Context(), "acme/case/Z.tgz", "refused", []byte("no")))
	m.ok(e.Erase(t.Context(), "acme/case/Z.tgz"))
	m.crash()
	m.wantNoDocs("acme/case/Z.tgz", "refused")
	m.fails(m.erase("acme/case/Z.tgz"), fs.ErrNotExist)
}

func testEraseDirectory(t *testing.T, m *medium) {
	capability[store.Eraser](m)
	m.seal("acme/case/X.tgz", []byte("one"), map[string][]byte{"r": []byte("1")})
	if err := m.erase("acme/case"); err == nil {
		t.Fatal("a directory that is not empty was erased")
	}
	m.wantObject("acme/case/X.tgz", []byte("one"))
	m.wantDoc("acme/case/X.tgz", "r", "1")
	m.ok(m.erase("acme/case/X.tgz"))
	m.ok(m.erase("acme/case"))
	m.ok(m.erase("acme"))
	for range 2 {
		m.wantList("")
		m.crash()
	}
	m.seal("acme/case/X.tgz", []byte("again"), map[string][]byte{"r": []byte("1")})
	m.crash()
	m.wantObject("acme/case/X.tgz", []byte("again"))
}

func (m *medium) erase(key store.Key) error {
	m.Helper()
	return capability[store.Eraser](m).Erase(m.Context(), key)
}

func (m *medium) wantNoDocs(key store.Key, names ...string) {
	m.Helper()
	r, ok := m.Store.(store.Recorder)
	if !ok {
		return
	}
	for _, name := range names {
		_, err := r.Record(m.Context(), key, name)
		m.fails(err, fs.ErrNotExist)
	}
}
