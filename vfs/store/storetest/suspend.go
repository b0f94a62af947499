package storetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"bundleup/vfs/store"
)

func testResume(t *testing.T, m *medium) {
	m.resumer()
	id, w := m.create("acme/X.tgz", []byte("kept"))
	m.ok(w.Save(t.Context(), []byte("first state")))
	m.write(w, []byte(" kept too"))
	m.ok(w.Save(t.Context(), []byte("second state")))
	m.write(w, []byte(" not kept"))
	m.crash()
	m.wantSuspended(store.Suspended{ID: id, Name: "acme/X.tgz", Size: 13})
	w = m.resume(id, "second state", 13)
	m.wantSuspended()
	m.write(w, []byte(", new"))
	m.ok(w.Close())
	w = m.resume(id, "second state", 13)
	m.write(w, []byte(", newer"))
	m.ok(w.Save(t.Context(), nil))
	m.ok(w.Close())
	w = m.resume(id, "", 20)
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
	m.wantObject("acme/X.tgz", []byte("kept kept too, newer"))
	m.crash()
	m.wantSuspended()
	m.wantObject("acme/X.tgz", []byte("kept kept too, newer"))
}

func testBusy(t *testing.T, m *medium) {
	r := m.resumer()
	id, w := m.create("acme/X.tgz", []byte("bytes"))
	m.ok(w.Save(t.Context(), nil))
	_, _, _, err := r.Resume(t.Context(), id)
	m.fails(err, store.ErrBusy)
	_, _, _, err = r.Recover(t.Context(), id)
	m.fails(err, store.ErrBusy)
	m.ok(w.Close())
	m.ok(m.resume(id, "", 5).Close())
	_, _, _, err = r.Resume(t.Context(), m.id())
	m.fails(err, fs.ErrNotExist)
}

func testRecover(t *testing.T, m *medium) {
	id, w := m.create("acme/X.tgz", []byte("saved"))
	m.ok(w.Save(t.Context(), nil))
	m.ok(w.Close())
	w, r, size := m.recover(id)
	m.write(w, []byte(" and more"))
	got, err := io.ReadAll(r)
	m.ok(err)
	m.ok(r.Close())
	if !bytes.Equal(got, []byte("saved")) || size != 5 {
		t.Fatalf("recover = %q, %d bytes, want %q", got, size, "saved")
	}
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
	m.wantObject("acme/X.tgz", []byte("saved and more"))
}

// recover ends the test on a medium that reads nothing back, if the upload is as it
// was.
func (m *medium) recover(id store.ID) (store.Writer, io.ReadCloser, int64) {
	m.Helper()
	w, r, size, err := m.resumer().Recover(m.Context(), id)
	if errors.Is(err, store.ErrState) {
		w, _, _, err := m.resumer().Resume(m.Context(), id)
		m.ok(err)
		m.ok(w.Close())
		m.Skip("the medium reads nothing back that is not sealed")
	}
	m.ok(err)
	return w, r, size
}

func testCloseUnsaved(t *testing.T, m *medium) {
	id, w := m.create("acme/X.tgz", []byte("bytes"))
	m.ok(w.Close())
	m.wantMissing("acme/X.tgz")
	m.wantSuspended()
	_, _, _, err := m.resumer().Resume(t.Context(), id)
	m.fails(err, fs.ErrNotExist)
}

func testCrashUnsaved(t *testing.T, m *medium) {
	id, _ := m.create("acme/X.tgz", []byte("bytes"))
	m.crash()
	m.wantMissing("acme/X.tgz")
	m.wantSuspended()
	_, _, _, err := m.resumer().Resume(t.Context(), id)
	m.fails(err, fs.ErrNotExist)
}

func testDiscard(t *testing.T, m *medium) {
	_, w := m.create("acme/X.tgz", []byte("bytes"))
	m.ok(w.Save(t.Context(), []byte("state")))
	m.ok(w.Discard(t.Context()))
	m.ok(w.Close())
	for range 2 {
		m.wantSuspended()
		m.wantMissing("acme/X.tgz")
		m.crash()
	}
}

func testDiscardSuspended(t *testing.T, m *medium) {
	id, w := m.create("acme/X.tgz", []byte("bytes"))
	m.ok(w.Save(t.Context(), []byte("state")))
	m.crash()
	w = m.resume(id, "state", 5)
	m.ok(w.Discard(t.Context()))
	m.crash()
	m.wantSuspended()
}

func testSuspendedThenSealed(t *testing.T, m *medium) {
	id, w := m.create("acme/.in.X.tgz.", []byte("bytes"))
	m.ok(w.Save(t.Context(), []byte("state")))
	m.ok(w.Close())
	m.crash()
	m.wantSuspended(store.Suspended{ID: id, Name: "acme/.in.X.tgz.", Size: 5})
	w = m.resume(id, "state", 5)
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
	_, _, _, err := m.resumer().Resume(t.Context(), id)
	m.fails(err, fs.ErrNotExist)
	m.wantObject("acme/X.tgz", []byte("bytes"))
}
