package sshd

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/vfs"
)

// secret is the password of every account that the tests have.
const secret = "correct horse"

// fakeAuth knows accounts by name, by secret or by one key.
type fakeAuth struct{ key ssh.PublicKey }

func (f fakeAuth) account(user string) *auth.Account {
	return &auth.Account{Name: user, Role: auth.Customer, Tenant: "acme"}
}

func (f fakeAuth) PublicKey(user string, key ssh.PublicKey) (*auth.Account, error) {
	if string(key.Marshal()) != string(f.key.Marshal()) {
		return nil, errors.New("unknown key")
	}
	return f.account(user), nil
}

func (f fakeAuth) Password(_ context.Context, user string, password []byte) (*auth.Account, error) {
	if string(password) != secret {
		return nil, errors.New("wrong")
	}
	return f.account(user), nil
}

// emptyView has nothing and takes nothing.
type emptyView struct{}

func (emptyView) Stat(context.Context, string) (fs.FileInfo, error) { return nil, fs.ErrNotExist }
func (emptyView) List(context.Context, string) iter.Seq2[fs.FileInfo, error] {
	return func(func(fs.FileInfo, error) bool) {}
}
func (emptyView) Open(context.Context, string) (vfs.File, error) { return nil, fs.ErrNotExist }
func (emptyView) Create(context.Context, string, vfs.Flags) (*vfs.Upload, error) {
	return nil, fs.ErrPermission
}
func (emptyView) Rename(context.Context, string, string) error { return fs.ErrPermission }
func (emptyView) Remove(context.Context, string) error         { return fs.ErrPermission }
func (emptyView) Mkdir(context.Context, string) error          { return fs.ErrPermission }

// world is a server on the loopback, with a log that can be read.
type world struct {
	t      *testing.T
	server *Server
	addr   string
	user   ssh.Signer // the key that fakeAuth knows
	log    *logBuffer
	served chan error
}

// logBuffer is a log in memory.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// config is a complete Config; newWorld starts a server with one.
func config(t *testing.T, user ssh.Signer) Config {
	t.Helper()
	return Config{
		HostKeys: []ssh.Signer{newSigner(t)},
		Auth:     fakeAuth{user.PublicKey()},
		View:     func(*auth.Account, vfs.Peer) (vfs.View, error) { return emptyView{}, nil },
	}
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, user: newSigner(t), log: new(logBuffer), served: make(chan error, 1)}
	cfg := config(t, w.user)
	cfg.Log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	go func() { w.served <- w.server.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = w.server.Shutdown(ended)
	})
	return w
}

// dial logs in as user and fails the test where that fails.
func (w *world) dial(user string, with ...ssh.AuthMethod) *ssh.Client {
	w.t.Helper()
	c, err := w.tryDial(user, with...)
	if err != nil {
		w.t.Fatalf("dial as %s: %v", user, err)
	}
	return c
}

func (w *world) tryDial(user string, with ...ssh.AuthMethod) (*ssh.Client, error) {
	if len(with) == 0 {
		with = []ssh.AuthMethod{ssh.PublicKeys(w.user)}
	}
	c, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{
		User: user, Auth: with, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	})
	if err == nil {
		w.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// run runs a command line and returns both outputs and the exit status.
func run(t *testing.T, c *ssh.Client, line string) (stdout, stderr string, status int) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out, errs strings.Builder
	s.Stdout, s.Stderr = &out, &errs
	return finish(t, s.Run(line), &out, &errs)
}

func finish(t *testing.T, err error, out, errs *strings.Builder) (string, string, int) {
	t.Helper()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return out.String(), errs.String(), 0
	case errors.As(err, &exit):
		return out.String(), errs.String(), exit.ExitStatus()
	}
	t.Fatalf("run: %v", err)
	return "", "", -1
}
