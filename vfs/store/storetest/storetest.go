// Package storetest proves the promises of package store on any medium: one
// suite that memory, disk and S3 run. A capability that a medium does not have
// (Resumer, Recorder, LargeRecorder, AsideWriter, Toucher, Eraser) is not tested;
// everything else must hold.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// Reopen opens one medium anew, as after a crash of the process: whatever
// Store it returned before is dead, Writers and all. The first call opens the
// medium empty.
type Reopen func() store.Store

// Run runs the suite. open makes a new, empty medium for every test.
func Run(t *testing.T, open func(t *testing.T) Reopen) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, *medium)
	}{
		{"VisibleOnlyAfterSeal", testVisible},
		{"SealIsDurable", testDurable},
		{"NothingIsOverwritten", testExist},
		{"DirectoryInTheWay", testDirectoryInTheWay},
		{"RacingSealers", testRace},
		{"RacingSealersOneKeyEach", testManyKeys},
		{"EndedWriter", testEnded},
		{"Empty", testEmpty},
		{"Resume", testResume},
		{"ResumeBusy", testBusy},
		{"Recover", testRecover},
		{"CloseWithoutSave", testCloseUnsaved},
		{"CrashWithoutSave", testCrashUnsaved},
		{"Discard", testDiscard},
		{"DiscardSuspended", testDiscardSuspended},
		{"SuspendedThenSealed", testSuspendedThenSealed},
		{"List", testList},
		{"ListMissing", testListMissing},
		{"Mkdir", testMkdir},
		{"Records", testRecords},
		{"RecordsSurviveLostSeal", testRecordsOfLoser},
		{"Aside", testAside},
		{"AsideNotAskedFor", testAsideUnnamed},
		{"AsideRecovered", testAsideRecovered},
		{"AsideDiscarded", testAsideDiscarded},
		{"LargeRecords", testLargeRecords},
		{"LargeRecordReplaced", testLargeReplaced},
		{"Touch", testTouch},
		{"Erase", testErase},
		{"EraseMissing", testEraseMissing},
		{"EraseDocuments", testEraseDocuments},
		{"EraseDirectory", testEraseDirectory},
		{"ReadAt", testReadAt},
		{"ConcurrentReaders", testReaders},
		{"BadKeys", testBadKeys},
		{"Cancelled", testCancelled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &medium{T: t, reopen: open(t)}
			m.crash()
			tc.test(t, m)
		})
	}
}

// medium is the medium under test, with what the tests do over and over.
type medium struct {
	*testing.T
	store.Store
	reopen Reopen
	made   int64
}

func (m *medium) crash() { m.Store = m.reopen() }

func (m *medium) id() store.ID {
	m.made++
	return store.NewID(time.UnixMilli(1_700_000_000_000 + m.made))
}

func (m *medium) create(name store.Key, data []byte) (store.ID, store.Writer) {
	m.Helper()
	id := m.id()
	w, err := m.Create(m.Context(), id, name)
	m.ok(err)
	m.write(w, data)
	return id, w
}

func (m *medium) write(w store.Writer, data []byte) {
	m.Helper()
	n, err := w.Write(data)
	m.ok(err)
	if n != len(data) {
		m.Fatalf("Write = %d, want %d", n, len(data))
	}
}

// seal makes a sealed object.
func (m *medium) seal(key store.Key, data []byte, docs map[string][]byte) {
	m.Helper()
	_, w := m.create(key, data)
	m.ok(w.Seal(m.Context(), key, store.Meta{Docs: docs}))
	m.ok(w.Close())
}

func (m *medium) ok(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *medium) fails(err, want error) {
	m.Helper()
	if !errors.Is(err, want) {
		m.Fatalf("error = %v, want %v", err, want)
	}
}

func (m *medium) wantObject(key store.Key, want []byte) {
	m.Helper()
	got, err := m.read(key)
	m.ok(err)
	if !bytes.Equal(got, want) {
		m.Fatalf("%s holds %d bytes %.40q, want %d bytes %.40q", key, len(got), got, len(want), want)
	}
}

func (m *medium) read(key store.Key) ([]byte, error) {
	o, err := m.Open(m.Context(), key)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(io.NewSectionReader(o, 0, o.Info().Size))
}

func (m *medium) wantMissing(key store.Key) {
	m.Helper()
	o, err := m.Open(m.Context(), key)
	if err == nil {
		o.Close()
	}
	m.fails(err, fs.ErrNotExist)
	for info, err := range m.List(m.Context(), key.Dir()) {
		if err == nil && info.Key == key {
			m.Fatalf("%s is listed", key)
		}
	}
}

func (m *medium) wantDoc(key store.Key, name, want string) {
	m.Helper()
	r, ok := m.Store.(store.Recorder)
	if !ok {
		return
	}
	got, err := r.Record(m.Context(), key, name)
	m.ok(err)
	if string(got) != want {
		m.Fatalf("document %s of %s = %q, want %q", name, key, got, want)
	}
}

// wantList checks a directory's children; a directory's name ends in a slash.
func (m *medium) wantList(dir store.Key, want ...string) {
	m.Helper()
	var got []string
	for info, err := range m.List(m.Context(), dir) {
		m.ok(err)
		if info.Key.Dir() != dir {
			m.Fatalf("list of %q yields %q", dir, info.Key)
		}
		name := info.Key.Base()
		if info.Dir {
			name += "/"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		m.Fatalf("list of %q = %q, want %q", dir, got, want)
	}
}

// resumer returns the capability, or skips the test on a medium without it.
func (m *medium) resumer() store.Resumer {
	m.Helper()
	return capability[store.Resumer](m)
}

func capability[C any](m *medium) C {
	m.Helper()
	c, ok := m.Store.(C)
	if !ok {
		m.Skipf("the medium is no %T", new(C))
	}
	return c
}

func (m *medium) wantSuspended(want ...store.Suspended) {
	m.Helper()
	var got []store.Suspended
	for s, err := range m.resumer().Suspended(m.Context()) {
		m.ok(err)
		if s.Saved.IsZero() {
			m.Errorf("%s: the time of its Save is zero", s.ID)
		}
		s.Saved = time.Time{}
		got = append(got, s)
	}
	slices.SortFunc(got, func(a, b store.Suspended) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	if !slices.Equal(got, want) {
		m.Fatalf("suspended = %+v, want %+v", got, want)
	}
}

func (m *medium) resume(id store.ID, wantState string, wantOff int64) store.Writer {
	m.Helper()
	w, state, off, err := m.resumer().Resume(m.Context(), id)
	m.ok(err)
	if string(state) != wantState || off != wantOff {
		m.Fatalf("resume = %q at %d, want %q at %d", state, off, wantState, wantOff)
	}
	return w
}

// cancelled is a context that has ended.
func (m *medium) cancelled() context.Context {
	ctx, cancel := context.WithCancel(m.Context())
	cancel()
	return ctx
}
