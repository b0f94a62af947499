package disk

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"bundleup/vfs/store"
)

// fill fails every write and every new file while the reserve is there to be given
// up, as a disk without a block or an inode does.
func (m *must) fill(dir string) {
	m.f.fault = func(_ int, op, name string) (error, error) {
		if op == "write" && strings.HasSuffix(name, "/data") {
			return syscall.ENOSPC, nil
		}
		if name == dir+"/state.tmp" && slices.Contains(m.dir(dir), reserveName) {
			return syscall.ENOSPC, nil
		}
		return nil, nil
	}
}

// TestFullDiskSavesWithTheReserve: what a full disk took is saved in the room that
// was kept for the state, and nothing is written after it.
func TestFullDiskSavesWithTheReserve(t *testing.T) {
	m := newMust(t)
	id, w := m.create("acme/X.tgz", "")
	_, err := w.Write(make([]byte, window+1))
	m.ok(err)
	if got, want := m.dir(w.dir), []string{"data", "reserve"}; !slices.Equal(got, want) {
		t.Errorf("behind a window the upload holds %q, want %q", got, want)
	}
	m.fill(w.dir)
	n, err := w.Write([]byte("12345678"))
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("write: %v, want %v", err, store.ErrFull)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, store.ErrFull) {
		t.Errorf("write again: %v, want %v", err, store.ErrFull)
	}
	if err := w.Seal(ctx, "acme/X.tgz", docs()); !errors.Is(err, store.ErrFull) {
		t.Errorf("seal: %v, want %v", err, store.ErrFull)
	}
	m.ok(w.Save(ctx, []byte("state")))
	m.ok(w.Close())
	if got, want := m.dir(w.dir), []string{"data", "name", "state"}; !slices.Equal(got, want) {
		t.Errorf("the upload holds %q, want %q", got, want)
	}
	m.f.fault = nil
	_, state, off, err := m.Resume(ctx, id)
	if string(state) != "state" || off != int64(window+1+n) || err != nil {
		t.Errorf("resume = %q at %d, %v; want everything up to %d", state, off, err, window+1+n)
	}
}

// TestNoRoomForTheReserve: without one an upload goes on as ever.
func TestNoRoomForTheReserve(t *testing.T) {
	m := newMust(t)
	_, w := m.create("acme/X.tgz", "")
	m.failOn("open", reserveName, 1, syscall.ENOSPC)
	_, err := w.Write(make([]byte, 2*window))
	m.ok(err)
	m.ok(w.Seal(ctx, "acme/X.tgz", docs("receipt.json")))
	if got := m.dir("uploads/acme"); len(got) > 0 {
		t.Errorf("uploads hold %q, want nothing", got)
	}
}

// TestSealRemovesTheReserve: it goes with the upload, however that ends.
func TestSealRemovesTheReserve(t *testing.T) {
	m := newMust(t)
	id, w := m.create("acme/X.tgz", "")
	_, err := w.Write(make([]byte, window))
	m.ok(err)
	m.ok(w.Save(ctx, nil))
	m.ok(w.Close())
	s, err := open(m.f, Options{})
	m.ok(err)
	if got := s.Report(); got.Removed != 0 || got.Suspended != 1 {
		t.Errorf("the next process reports %+v, want a suspended upload and no litter", got)
	}
	again, _, _, err := s.Resume(ctx, id)
	m.ok(err)
	_, err = again.Write(make([]byte, window))
	m.ok(err)
	m.ok(again.Seal(ctx, "acme/X.tgz", docs("receipt.json")))
	if got := m.dir("uploads/acme"); len(got) > 0 {
		t.Errorf("uploads hold %q, want nothing", got)
	}
}

// countingFiles counts the bytes that are read.
type countingFiles struct {
	files
	read *atomic.Int64
}

func (c countingFiles) OpenFile(name string, flag int) (file, error) {
	f, err := c.files.OpenFile(name, flag)
	if err != nil {
		return nil, err
	}
	return countingFile{f, c.read}, nil
}

type countingFile struct {
	file
	read *atomic.Int64
}

func (c countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.file.ReadAt(p, off)
	c.read.Add(int64(n))
	return n, err
}

// TestResumeReadsTheStateAlone: neither the next process nor Resume reads of the
// data, whatever its size, not even of a rest that was not saved.
func TestResumeReadsTheStateAlone(t *testing.T) {
	for _, size := range []int{1 << 10, 24 << 20} {
		m := newMust(t)
		id, w := m.create("acme/X.tgz", "")
		_, err := w.Write(make([]byte, size))
		m.ok(err)
		m.ok(w.Save(ctx, make([]byte, 34<<10)))
		_, err = w.Write(make([]byte, 512))
		m.ok(err)
		counted := countingFiles{m.f, new(atomic.Int64)}
		s, err := open(counted, Options{})
		m.ok(err)
		for _, err := range s.Suspended(ctx) {
			m.ok(err)
		}
		again, _, off, err := s.Resume(ctx, id)
		m.ok(err)
		if off != int64(size) {
			t.Errorf("resume at %d, want %d", off, size)
		}
		_, err = again.Write([]byte("on"))
		m.ok(err)
		// The state and the name, twice: for Suspended and for Resume.
		if got := counted.read.Load(); got > 100<<10 {
			t.Errorf("%d bytes were read to resume at %d, want the state alone", got, size)
		}
	}
}
