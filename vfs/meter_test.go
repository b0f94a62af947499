package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"bundleup/auth"
	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// noted is what a Meter was told.
type noted struct {
	mu      sync.Mutex
	storage map[string]int
	pieces  int
	visible []time.Duration
	how     []string
}

func (n *noted) meter() Meter {
	return Meter{
		Storage: func(op, result string, took time.Duration) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if took < 0 {
				result = "negative"
			}
			n.storage[op+" "+result]++
		},
		Check:     func(time.Duration) { n.pieces++ },
		Visible:   func(took time.Duration) { n.visible = append(n.visible, took) },
		Continued: func(how string) { n.how = append(n.how, how) },
	}
}

// TestMeter: each operation is told once, whether the medium is asked by the tree or
// through a Writer.
func TestMeter(t *testing.T) {
	n := &noted{storage: map[string]int{}}
	tree, err := NewTree(t.Context(), Config{
		Store: store.NewMemory(), Tenants: func() []auth.Tenant { return []auth.Tenant{"acme"} }, Meter: n.meter(),
	})
	if err != nil {
		t.Fatal(err)
	}
	acme, err := tree.View(&auth.Account{Name: "acme", Role: auth.Customer, Tenant: "acme"}, Peer{})
	if err != nil {
		t.Fatal(err)
	}
	data := tgz(t, 5000, 1)
	half := len(data) / 2
	send(t, acme, 0, data[:half], false)
	send(t, acme, 0, data[:half], false)
	send(t, acme, int64(half), data[half:], true)
	for op, want := range map[string]int{"create ok": 2, "write ok": 3, "save ok": 3, "seal ok": 1} {
		if n.storage[op] != want {
			t.Errorf("%s: got %d, want %d of %v", op, n.storage[op], want, n.storage)
		}
	}
	if n.pieces != 3 || len(n.visible) != 1 || fmt.Sprint(n.how) != "[restarted continued]" {
		t.Errorf("%d pieces, visible %v, continued %v", n.pieces, n.visible, n.how)
	}
	if _, _, ok := tree.Space(t.Context()); ok {
		t.Error("the medium in memory tells of its space")
	}
}

// send opens diag.tgz and writes data at off; without whole it is left there.
func send(t *testing.T, v View, off int64, data []byte, whole bool) {
	t.Helper()
	u, err := v.Create(t.Context(), "/diag.tgz", Flags{Create: true})
	if err == nil {
		err = u.Begin(off)
	}
	if err == nil {
		_, err = u.Write(data)
	}
	if err == nil && whole {
		_, err = u.Commit(t.Context())
	} else if err == nil {
		err = u.Suspend(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOrphans are unfinished uploads of a tenant that is gone.
func TestOrphans(t *testing.T) {
	tenants := []auth.Tenant{"acme"}
	tree, err := NewTree(t.Context(), Config{Store: store.NewMemory(), Tenants: func() []auth.Tenant { return tenants }})
	if err != nil {
		t.Fatal(err)
	}
	acme, err := tree.View(&auth.Account{Name: "acme", Role: auth.Customer, Tenant: "acme"}, Peer{})
	if err != nil {
		t.Fatal(err)
	}
	send(t, acme, 0, tgz(t, 5000, 1)[:1000], false)
	if s := tree.Stats(); s.Suspended != 1 || s.Orphans != 0 {
		t.Errorf("got %+v", s)
	}
	tenants = nil
	if s := tree.Stats(); s.Suspended != 1 || s.Orphans != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestStorageResult(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ResultOK}, {fs.ErrNotExist, ResultOK}, {store.ErrExist, ResultOK}, {store.ErrBusy, ResultOK}, {context.Canceled, ResultOK},
		{fmt.Errorf("write: %w", store.ErrFull), ResultFull}, {store.ErrState, ResultError}, {errors.New("input/output error"), ResultError},
	} {
		if got := storageResult(c.err); got != c.want {
			t.Errorf("%v: got %s, want %s", c.err, got, c.want)
		}
	}
}

func TestFault(t *testing.T) {
	for _, c := range []struct {
		what  string
		cause error
		want  bool
	}{
		{"the client has gone", nil, false},
		{"an incomplete stream", &bundle.Rejection{Rule: bundle.RuleTruncated}, false},
		{"a quota", &Error{Kind: Full, Text: "used up"}, false},
		{"the reserve", &Error{Kind: Full, Err: errors.New("1 byte is free")}, true},
		{"a full disk", fmt.Errorf("write: %w", store.ErrFull), true},
		{"a broken disk", errors.New("input/output error"), true},
	} {
		if got := Fault(c.cause); got != c.want {
			t.Errorf("%s: got %v", c.what, got)
		}
	}
}
