package httpd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"bundleup/auth"
	"bundleup/vfs"
	"bundleup/vfs/store"
)

const secret = "correct horse"

type fakeAuth map[string]*auth.Account

func (f fakeAuth) Password(_ context.Context, user string, password []byte) (*auth.Account, error) {
	if a := f[user]; a != nil && string(password) == secret {
		return a, nil
	}
	return nil, errors.New("denied")
}

func (f fakeAuth) Account(name string) *auth.Account { return f[name] }

// world is a server over a tree over a store in memory.
type world struct {
	testing.TB
	url     string
	store   *store.Memory
	tree    *vfs.Tree
	handler http.Handler
	auth    fakeAuth
}

func newWorld(t testing.TB) *world { return newWorldWith(t, func(*Config) {}) }

// newWorldWith changes the server's Config first.
func newWorldWith(t testing.TB, change func(*Config)) *world {
	w := &world{TB: t, store: store.NewMemory()}
	arrivals := NewArrivals()
	tree, err := vfs.NewTree(t.Context(), vfs.Config{
		Store:   w.store,
		Tenants: func() []auth.Tenant { return []auth.Tenant{"acme", "globex"} },
		Events:  arrivals.Events(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.tree = tree
	w.auth = fakeAuth{
		"acme":   {Name: "acme", Role: auth.Customer, Tenant: "acme"},
		"globex": {Name: "globex", Role: auth.Customer, Tenant: "globex"},
		"desk":   {Name: "desk", Role: auth.Support},
		"none":   {Name: "none"},
	}
	cfg := Config{View: tree.View, Auth: w.auth, Arrivals: arrivals, SSHPort: 2222}
	change(&cfg)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.handler = s.Handler()
	h := httptest.NewServer(w.handler)
	t.Cleanup(h.Close)
	w.url = h.URL
	return w
}

// answer is a response that was read whole.
type answer struct {
	*http.Response
	text string
}

// do sends a request as the account; header holds pairs.
func (w *world) do(account, method, path string, body io.Reader, header ...string) answer {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, body)
	if err != nil {
		w.Fatal(err)
	}
	if account != "" {
		r.SetBasicAuth(account, secret)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatalf("%s %s: read: %v", method, path, err)
	}
	return answer{resp, string(text)}
}

// want holds the status, and that the text has all parts.
func (w *world) want(what string, a answer, status int, parts ...string) {
	w.Helper()
	if a.StatusCode != status {
		w.Errorf("%s: got %s, want %d: %s", what, a.Status, status, a.text)
	}
	for _, p := range parts {
		if !strings.Contains(a.text, p) {
			w.Errorf("%s: got %s, want %q in it", what, a.text, p)
		}
	}
}

func (w *world) equal(what string, got, want any) {
	w.Helper()
	if got != want {
		w.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func decode[T any](w *world, text string) (v T) {
	w.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		w.Fatalf("%v in %s", err, text)
	}
	return v
}

// tgz is a sound bundle of about n incompressible bytes.
func tgz(t testing.TB, n int, seed uint64) []byte {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	err := w.WriteHeader(&tar.Header{Name: "var/log/messages", Mode: 0o644, Size: int64(n), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.CopyN(w, mrand.NewChaCha8([32]byte{byte(seed)}), int64(n))
	}
	if err = errors.Join(err, w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// endless is a body that never ends and says how much of it was taken.
type endless struct {
	head []byte
	n    atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	if n == 0 {
		n, _ = rand.Read(p)
	}
	e.n.Add(int64(n))
	return n, nil
}
