package vfs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// world is a Tree over a store in memory with four accounts and a clock that
// stands still.
type world struct {
	*testing.T
	store  *store.Memory
	tree   *Tree
	now    time.Time
	mu     sync.Mutex // guards events: uploads may race
	events []string
	terms  auth.TenantInfo // of acme
	free   uint64          // what the medium says it has left
	medium Storage         // in the place of the store, if not nil
}

// spacious makes the world's store one that can be nearly full.
type spacious struct {
	*store.Memory
	w *world
}

func (s spacious) Free(context.Context) (uint64, error) { return s.w.free, nil }

var accounts = map[string]*auth.Account{
	"acme":    {Name: "acme", Role: auth.Customer, Tenant: "acme"},
	"acme-ci": {Name: "acme-ci", Role: auth.Customer, Tenant: "acme"},
	"globex":  {Name: "globex", Role: auth.Customer, Tenant: "globex"},
	"desk":    {Name: "desk", Role: auth.Support},
	"desk-a":  {Name: "desk-a", Role: auth.Support, Tenants: []auth.Tenant{"acme"}},
	"nobody":  {Name: "nobody"},
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, store: store.NewMemory(), free: 1 << 30, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.store.Now = func() time.Time { return w.now }
	w.restart()
	return w
}

// restart is a new process over the same store.
func (w *world) restart() {
	w.Helper()
	note := func(what string) func(Peer, *Receipt) {
		return func(_ Peer, r *Receipt) { w.note(what + " " + r.Name + " " + r.StoredAs) }
	}
	medium := w.medium
	if medium == nil {
		medium = spacious{w.store, w}
	}
	tree, err := NewTree(context.Background(), Config{
		Store:      medium,
		Terms:      w.termsOf,
		Reserve:    1 << 20,
		Tenants:    func() []auth.Tenant { return []auth.Tenant{"globex", "acme"} },
		Now:        func() time.Time { return w.now },
		Checkpoint: 1 << 20,
		Events: Events{
			Accepted: note("accepted"),
			Refused:  note("refused"),
			Suspended: func(_ Peer, u UploadID, n int64, _ error) {
				w.note(fmt.Sprintf("suspended %s %d", u.Name, n))
			},
			Resumed: func(_ Peer, u UploadID, n int64) {
				w.note(fmt.Sprintf("resumed %s %d", u.Name, n))
			},
			Removed: func(_ Peer, u UploadID) { w.note("removed " + u.Name) },
			Retired: func(u UploadID) { w.note("retired " + u.Name) },
			Expired: func(u UploadID) { w.note("expired " + u.Name) },
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.tree = tree
}

func (w *world) termsOf(t auth.Tenant) auth.TenantInfo {
	if t == "acme" {
		return w.terms
	}
	return auth.TenantInfo{}
}

// note keeps an event.
func (w *world) note(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

// as is a new connection of the account.
func (w *world) as(account string) *conn {
	w.Helper()
	v, err := w.tree.View(accounts[account], Peer{Session: "s", Client: "SSH-2.0-test", Protocol: "sftp"})
	if err != nil {
		w.Fatal(err)
	}
	return &conn{world: w, View: v}
}

// conn is one connection with the moves that the scenarios are made of.
type conn struct {
	*world
	View
}

func (c *conn) create(name string, f Flags) *Upload {
	c.Helper()
	u, err := c.Create(context.Background(), name, f)
	if err != nil {
		c.Fatalf("create %s: %v", name, err)
	}
	return u
}

var fresh = Flags{Create: true, Trunc: true}

// put sends content whole and closes.
func (c *conn) put(name string, content []byte) (*Receipt, error) {
	c.Helper()
	u := c.create(name, fresh)
	if _, err := u.Write(content); err != nil {
		if _, cerr := u.Commit(context.Background()); cerr == nil || cerr.Error() != err.Error() {
			c.Errorf("put %s: close after a refused write says %v, the write said %v", name, cerr, err)
		}
		return nil, err
	}
	return u.Commit(context.Background())
}

func (c *conn) mustPut(name string, content []byte) *Receipt {
	c.Helper()
	r, err := c.put(name, content)
	if err != nil {
		c.Fatalf("put %s: %v", name, err)
	}
	return r
}

// get reads a file whole.
func (c *conn) get(name string) ([]byte, error) {
	c.Helper()
	f, err := c.Open(context.Background(), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, i.Size()))
}

func (c *conn) receipt(name string) *Receipt {
	c.Helper()
	doc, err := c.get(name)
	if err != nil {
		c.Fatalf("get %s: %v", name, err)
	}
	r := &Receipt{}
	if err := json.Unmarshal(doc, r); err != nil {
		c.Fatalf("receipt %s: %v", name, err)
	}
	return r
}

// ls is what a directory shows: names, "/" behind directories.
func (c *conn) ls(dir string) string {
	c.Helper()
	var names []string
	for i, err := range c.List(context.Background(), dir) {
		if err != nil {
			return "error: " + explain(err)
		}
		name := i.Name()
		if i.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	if !slices.IsSorted(names) && !slices.IsSortedFunc(names, func(a, b string) int {
		return strings.Compare(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/"))
	}) {
		c.Errorf("ls %s: not sorted: %v", dir, names)
	}
	return strings.Join(names, " ")
}

// size is what Stat says of a name: its size, or the kind of the error.
func (c *conn) size(name string) string {
	c.Helper()
	i, err := c.Stat(context.Background(), name)
	if err != nil {
		return kind(err)
	}
	return fmt.Sprint(i.Size())
}

func (c *conn) equal(what string, got, want any) {
	c.Helper()
	if got != want {
		c.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (w *world) contains(what, got string, parts ...string) {
	w.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			w.Errorf("%s: got %q, want %q in it", what, got, p)
		}
	}
}

func explain(err error) string {
	_, text := Explain(err)
	return text
}

// kind names the kind of an error, for tables.
func kind(err error) string {
	if err == nil {
		return "ok"
	}
	k, _ := Explain(err)
	return map[Kind]string{Internal: "internal", NotExist: "missing", Denied: "denied", Refused: "refused",
		Exists: "exists", Full: "full", Canceled: "canceled"}[k]
}

// tgz makes a sound bundle with incompressible content of about n bytes.
func tgz(t testing.TB, n int, seed uint64) []byte {
	t.Helper()
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	err := errors.Join(
		w.WriteHeader(&tar.Header{Name: "var/log/messages", Mode: 0o644, Size: int64(n), ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg}),
		func() error { _, err := w.Write(data); return err }(),
		w.Close(), zip.Close())
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
