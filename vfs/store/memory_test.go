package store

import (
	"errors"
	"testing"
	"time"
)

func TestMemoryHooks(t *testing.T) {
	boom := errors.New("boom")
	seal := func(m *Memory) error {
		w, err := m.Create(t.Context(), NewID(time.Now()), "acme/X.tgz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("bytes")); err != nil {
			return err
		}
		return w.Seal(t.Context(), "acme/X.tgz", Meta{})
	}
	fail := func(op Op, _ string) error {
		if op == OpSeal {
			return boom
		}
		return nil
	}
	for _, tc := range []struct {
		name    string
		memory  func(*Memory)
		visible bool
	}{
		{"before", func(m *Memory) { m.Before = fail }, false},
		{"after it persisted", func(m *Memory) { m.After = fail }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := NewMemory()
			tc.memory(m)
			if err := seal(m); !errors.Is(err, boom) {
				t.Errorf("seal: %v, want %v", err, boom)
			}
			_, err := m.Open(t.Context(), "acme/X.tgz")
			if got := err == nil; got != tc.visible {
				t.Errorf("visible = %v (%v), want %v", got, err, tc.visible)
			}
		})
	}
}

func TestMemoryWriteFailureIsSticky(t *testing.T) {
	m := NewMemory()
	boom := errors.New("boom")
	m.Before = func(op Op, _ string) error {
		if op == OpWrite {
			return boom
		}
		return nil
	}
	w, err := m.Create(t.Context(), NewID(time.Now()), "acme/X.tgz")
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("lost"))
	if err := w.Save(t.Context(), nil); !errors.Is(err, boom) {
		t.Errorf("save after a failed write: %v, want %v", err, boom)
	}
	if err := w.Seal(t.Context(), "acme/X.tgz", Meta{}); !errors.Is(err, boom) {
		t.Errorf("seal after a failed write: %v, want %v", err, boom)
	}
}

func TestIDsSortByAge(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	prev := NewID(time.Time{})
	for i := range 100 {
		id := NewID(at.Add(time.Duration(i) * 37 * time.Millisecond))
		if err := id.Check(); err != nil {
			t.Fatal(err)
		}
		if id <= prev {
			t.Fatalf("%s is not above %s", id, prev)
		}
		prev = id
	}
}

func TestIDCheckRefuses(t *testing.T) {
	for _, id := range []ID{"", "short", "../../../../../../etc/passw", "0000000000000000000000000u", "0000000000000000000000000A", "000000000000000000000000000"} {
		if id.Check() == nil {
			t.Errorf("ID(%q).Check() = nil, want an error", string(id))
		}
	}
}
