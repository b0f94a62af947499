package disk

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"

	"bundleup/vfs/store"
)

// TestFailedSyncIsSticky: the kernel reports a failed write-back once. A
// second sync that succeeds proves nothing.
func TestFailedSyncIsSticky(t *testing.T) {
	for _, op := range []string{"syncdata", "write"} {
		t.Run(op, func(t *testing.T) {
			m := newMust(t)
			id, w := m.create("acme/X.tgz", "saved")
			m.ok(w.Save(ctx, []byte("state")))
			m.failOn(op, "/data", 1, syscall.EIO)
			w.Write([]byte(", lost"))
			w.Save(ctx, []byte("too far"))
			_, writeErr := w.Write([]byte("more"))
			for what, err := range map[string]error{
				"write": writeErr,
				"save":  w.Save(ctx, []byte("too far")),
				"seal":  w.Seal(ctx, "acme/X.tgz", docs()),
			} {
				if !errors.Is(err, syscall.EIO) {
					t.Errorf("%s: %v, want %v", what, err, syscall.EIO)
				}
			}
			m.ok(w.Close())
			_, state, off, err := m.Resume(ctx, id)
			if string(state) != "state" || off != 5 || err != nil {
				t.Errorf("resume = %q at %d, %v", state, off, err)
			}
		})
	}
}

func TestFullDiskAtWrite(t *testing.T) {
	m := newMust(t)
	_, w := m.create("acme/X.tgz", "")
	m.failOn("write", "/data", 1, syscall.ENOSPC)
	n, err := w.Write([]byte("12345678"))
	if n != 4 || !errors.Is(err, store.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write = %d, %v", n, err)
	}
}

// TestBytesArePushedOut: write-back starts with every window and waits only
// for one that lies behind.
func TestBytesArePushedOut(t *testing.T) {
	m := newMust(t)
	_, w := m.create("acme/X.tgz", "")
	var got []string
	m.f.trace = func(_ int, op, _ string) {
		if op == "flush" || op == "flush and wait" {
			got = append(got, fmt.Sprintf("%s at %d", op, w.off/window))
		}
	}
	p := make([]byte, window/2)
	for range 2 * 6 {
		_, err := w.Write(p)
		m.ok(err)
	}
	want := []string{"flush at 1", "flush at 2", "flush at 3", "flush at 4", "flush at 5", "flush and wait at 5", "flush at 6", "flush and wait at 6"}
	if !slices.Equal(got, want) {
		t.Errorf("flushes %q, want %q", got, want)
	}
	m.failOn("flush", "data", 1, syscall.EIO)
	w.Write(p)
	w.Write(p)
	if err := w.Save(ctx, nil); !errors.Is(err, syscall.EIO) {
		t.Errorf("save after a failed write-back: %v, want %v", err, syscall.EIO)
	}
}

// TestDamagedState: a state that is torn, missing or speaks of more data than
// there is gives ErrState, and every byte is still there for Recover.
func TestDamagedState(t *testing.T) {
	good := encodeFrame(stateMagic, 5, []byte("state"))
	flip := func(i int) []byte {
		b := slices.Clone(good)
		b[i] ^= 1
		return b
	}
	for name, state := range map[string][]byte{
		"empty":       nil,
		"short":       good[:frameHeader-1],
		"cut":         good[:len(good)-1],
		"longer":      append(slices.Clone(good), 0),
		"magic":       flip(0),
		"version":     flip(8),
		"checksum":    flip(12),
		"offset":      flip(16),
		"length":      flip(24),
		"payload":     flip(frameHeader),
		"intent":      encodeFrame(intentMagic, 5, nil),
		"beyond data": encodeFrame(stateMagic, 100, nil),
		"negative":    encodeFrame(stateMagic, -1, nil),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMust(t)
			id, w := m.create("acme/X.tgz", "saved, beyond")
			m.ok(w.Save(ctx, nil))
			m.ok(w.Close())
			m.ok(m.writeFile(w.dir+"/"+stateName, state))
			m.reopen()
			if _, _, _, err := m.Resume(ctx, id); !errors.Is(err, store.ErrState) {
				t.Fatalf("resume: %v, want %v", err, store.ErrState)
			}
			again, r, size, err := m.Recover(ctx, id)
			m.ok(err)
			got, err := io.ReadAll(r)
			m.ok(err)
			if string(got) != "saved, beyond" || size != 13 {
				t.Errorf("recover = %q, %d bytes", got, size)
			}
			m.ok(again.Discard(ctx))
		})
	}
}

func TestMissingDataCanBeDiscarded(t *testing.T) {
	m := newMust(t)
	id, w := m.create("acme/X.tgz", "bytes")
	m.ok(w.Save(ctx, nil))
	m.ok(w.Close())
	m.ok(m.f.Remove(w.dir + "/" + dataName))
	if _, _, _, err := m.Resume(ctx, id); !errors.Is(err, store.ErrState) {
		t.Fatalf("resume: %v, want %v", err, store.ErrState)
	}
	again, r, size, err := m.Recover(ctx, id)
	m.ok(err)
	m.ok(r.Close())
	if size != 0 {
		t.Errorf("recover = %d bytes, want 0", size)
	}
	m.ok(again.Discard(ctx))
	m.reopen()
	if got := m.Report(); got != (Report{}) {
		t.Errorf("report = %+v, want nothing", got)
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(encodeFrame(stateMagic, 5, []byte("state")))
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		off, payload, err := decodeFrame(stateMagic, b)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Errorf("error %v is not %v", err, errFrame)
			}
			return
		}
		if got := encodeFrame(stateMagic, off, payload); !slices.Equal(got, b) {
			t.Errorf("encoded again: %q, want %q", got, b)
		}
	})
}
