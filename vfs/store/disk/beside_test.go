package disk

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// TestSaveBeside: what comes while a save runs is not a part of it.
func TestSaveBeside(t *testing.T) {
	m := newMust(t)
	m.f.lock = new(sync.Mutex)
	id, w := m.create("acme/X.tgz", "saved")
	m.ok(w.WriteAside([]byte("aside")))
	running, goOn := make(chan struct{}), make(chan struct{})
	m.f.fault = func(_ int, op, name string) (error, error) {
		if op == "syncdata" {
			close(running)
			<-goOn
			m.f.fault = nil
		}
		return nil, nil
	}
	m.ok(w.SaveBeside([]byte("state")))
	<-running
	if got := w.Kept(); got != 0 {
		t.Errorf("%d bytes are kept while the save runs", got)
	}
	close(goOn)
	for w.Kept() == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := w.Write([]byte(", not saved"))
	m.ok(err)
	m.ok(w.WriteAside([]byte(", not saved")))
	if got := w.Kept(); got != 5 {
		t.Errorf("%d bytes are kept, want 5", got)
	}
	m.f = m.f.crash(func() bool { return false }, nil)
	m.reopen()
	r, state, off, err := m.Resume(ctx, id)
	if string(state) != "state" || off != 5 || err != nil {
		t.Fatalf("resume = %q at %d, %v", state, off, err)
	}
	if got := r.(store.AsideWriter).AsideSize(); got != 5 {
		t.Errorf("the aside has %d bytes, want 5", got)
	}
}

// TestFailedSaveBeside: a later write tells of it, once where the bytes are sound and
// for ever where they may not be.
func TestFailedSaveBeside(t *testing.T) {
	for _, test := range []struct {
		op, part string
		cause    error
		again    bool // it can be saved after all
	}{
		{"write", "/state", syscall.EDQUOT, true},
		{"syncdata", "/data", syscall.EIO, false},
	} {
		t.Run(test.op, func(t *testing.T) {
			m := newMust(t)
			m.f.lock = new(sync.Mutex)
			_, w := m.create("acme/X.tgz", "bytes")
			m.failOn(test.op, test.part, 9, test.cause)
			m.ok(w.SaveBeside([]byte("state")))
			<-w.beside.done
			m.f.fault = nil
			if n, err := w.Write([]byte("more")); n != 0 || !errors.Is(err, test.cause) {
				t.Errorf("write = %d, %v; want 0, %v", n, err, test.cause)
			}
			err := w.Save(ctx, []byte("state"))
			if test.again && err != nil || !test.again && !errors.Is(err, test.cause) {
				t.Errorf("save = %v", err)
			}
			if got := w.Kept(); got != 0 {
				t.Errorf("%d bytes are kept", got)
			}
		})
	}
}
