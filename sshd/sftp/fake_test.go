package sftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"bundleup/vfs"
)

// fakeView is a view in memory: files to read, and uploads made by newUpload.
type fakeView struct {
	vfs.View // panics where a test did not expect a call

	mu        sync.Mutex // guards all below
	files     fstest.MapFS
	uploads   map[string]*fakeUpload
	calls     []string
	err       error                         // what every call fails with, if set
	readErr   error                         // what reading a file fails with, if set
	newUpload func(name string) *fakeUpload // nil: an upload that takes everything
	listed    []fs.FileInfo                 // what List yields instead of files, if set
}

func newFakeView() *fakeView {
	return &fakeView{files: fstest.MapFS{}, uploads: map[string]*fakeUpload{}}
}

func (v *fakeView) call(s ...string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls = append(v.calls, strings.Join(s, " "))
	return v.err
}

func (v *fakeView) called() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calls)
}

func (v *fakeView) upload(name string) *fakeUpload {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.uploads[name]
}

func rel(name string) string {
	if name == "/" {
		return "."
	}
	return strings.TrimPrefix(name, "/")
}

func missing(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &vfs.Error{Kind: vfs.NotExist, Op: op, Name: name, Text: name + " does not exist", Err: err}
}

func (v *fakeView) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	if err := v.call("stat", name); err != nil {
		return nil, err
	}
	i, err := v.files.Stat(rel(name))
	return i, missing("stat", name, err)
}

func (v *fakeView) List(_ context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		for _, i := range v.listed {
			if !yield(i, nil) {
				return
			}
		}
		entries, err := v.files.ReadDir(rel(dir))
		if err != nil {
			yield(nil, missing("list", dir, err))
			return
		}
		for _, e := range entries {
			i, _ := e.Info()
			if !yield(i, nil) {
				return
			}
		}
	}
}

func (v *fakeView) Open(_ context.Context, name string) (vfs.File, error) {
	if err := v.call("open", name); err != nil {
		return nil, err
	}
	f := v.files[rel(name)]
	if f == nil {
		return nil, missing("open", name, fs.ErrNotExist)
	}
	return fakeFile{bytes.NewReader(f.Data), v.readErr}, nil
}

type fakeFile struct {
	*bytes.Reader
	err error // what reads fail with, if set
}

func (f fakeFile) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Reader.ReadAt(p, off)
}

func (f fakeFile) Close() error               { return nil }
func (f fakeFile) Stat() (fs.FileInfo, error) { return nil, errors.New("not used") }

func (v *fakeView) Rename(_ context.Context, from, to string) error {
	return v.call("rename", from, to)
}
func (v *fakeView) Remove(_ context.Context, name string) error { return v.call("remove", name) }
func (v *fakeView) Mkdir(_ context.Context, name string) error  { return v.call("mkdir", name) }

func (v *fakeView) Touch(_ context.Context, name string, mtime time.Time) error {
	return v.call("touch", name, mtime.UTC().Format(time.DateOnly))
}

// create stands in for View.Create, whose result cannot be faked.
func (v *fakeView) create(_ context.Context, name string, _ vfs.Flags) (upload, error) {
	if err := v.call("create", name); err != nil {
		return nil, err
	}
	u := &fakeUpload{}
	if v.newUpload != nil {
		u = v.newUpload(path.Base(name))
	}
	u.off = u.kept
	v.mu.Lock()
	defer v.mu.Unlock()
	v.uploads[name] = u
	return u, nil
}

// fakeUpload takes bytes in memory.
type fakeUpload struct {
	mu     sync.Mutex // guards all below
	kept   int64
	begun  bool
	off    int64
	got    []byte
	mtime  time.Time
	end    string // "commit" or "suspend"
	writes int

	discard   bool                  // do not keep the bytes
	writeErr  func(off int64) error // what a write that ends beyond off fails with
	commitErr error
	receipt   vfs.Receipt
}

func refusal(text string) error {
	return &vfs.Error{Kind: vfs.Refused, Op: "write", Name: "x.tgz", Text: text, Err: errors.New("secret cause")}
}

func (u *fakeUpload) Begin(off int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if off != 0 && off != u.kept {
		return refusal("nothing is kept there")
	}
	u.begun, u.off = true, off
	return nil
}

func (u *fakeUpload) Kept() int64 { return u.kept }

func (u *fakeUpload) Offset() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.off
}

func (u *fakeUpload) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.begun {
		return 0, errors.New("write before begin")
	}
	u.writes++
	if !u.discard {
		u.got = append(u.got, p...)
	}
	u.off += int64(len(p))
	if u.writeErr != nil {
		if err := u.writeErr(u.off); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (u *fakeUpload) Touch(mtime time.Time) { u.mtime = mtime }
func (u *fakeUpload) Info() *vfs.Info       { return &vfs.Info{} } // a *vfs.Info is made by a View only

func (u *fakeUpload) Commit(context.Context) (*vfs.Receipt, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.end += "commit"
	return &u.receipt, u.commitErr
}

func (u *fakeUpload) Suspend(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.end += "suspend"
	return nil
}

func (u *fakeUpload) ended() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.end
}

// peer is a client that sends whatever the test makes up.
type peer struct {
	t      *testing.T
	conn   net.Conn
	view   *fakeView
	stderr *lockedBuffer
	done   chan error // Serve's result
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// loopback is a pair of connected TCP sockets: unlike net.Pipe it has room, as
// an SSH channel's window does.
func loopback(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// start serves view to a peer that has not sent INIT.
func start(t *testing.T, view *fakeView, opts Options) *peer {
	t.Helper()
	client, server := loopback(t)
	p := &peer{t: t, conn: client, view: view, stderr: &lockedBuffer{}, done: make(chan error, 1)}
	if opts.MaxHandles == 0 {
		opts.MaxHandles = defaultMaxHandles
	}
	s := newSession(t.Context(), view, p.stderr, slog.New(slog.DiscardHandler))
	s.create = view.create
	go func() { p.done <- s.serve(server, opts) }()
	client.SetDeadline(time.Now().Add(20 * time.Second))
	return p
}

// dial is start with the INIT done.
func dial(t *testing.T, view *fakeView, opts Options) *peer {
	t.Helper()
	p := start(t, view, opts)
	p.send(newFrame(typeInit, 3))
	if r := p.receive(); r.kind != typeVersion {
		t.Fatalf("reply to INIT: got type %d, want VERSION", r.kind)
	}
	return p
}

func (p *peer) send(f frame) {
	p.t.Helper()
	if _, err := p.conn.Write(f.done()); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// reply is a packet from the server.
type reply struct {
	kind byte
	id   uint32
	body cursor
}

func (p *peer) receive() reply {
	p.t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(p.conn, head); err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head))
	if _, err := io.ReadFull(p.conn, b); err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	c := cursor{b: b}
	return reply{c.byte(), c.uint32(), c}
}

// status sends f and returns the code and the text of the answer.
func (p *peer) status(f frame) (code, string) {
	p.t.Helper()
	p.send(f)
	return p.receiveStatus(binary.BigEndian.Uint32(f[5:]))
}

func (p *peer) receiveStatus(id uint32) (code, string) {
	p.t.Helper()
	r := p.receive()
	if r.kind != typeStatus || r.id != id {
		p.t.Fatalf("got reply of type %d to request %d, want STATUS to %d", r.kind, r.id, id)
	}
	return code(r.body.uint32()), r.body.string()
}

func (p *peer) wantStatus(what string, f frame, want code, text string) {
	p.t.Helper()
	got, said := p.status(f)
	if got != want || !strings.Contains(said, text) {
		p.t.Errorf("%s: got status %d %q, want %d with %q", what, got, said, want, text)
	}
}

// open opens name and returns the handle.
func (p *peer) open(name string, flags uint32) string {
	p.t.Helper()
	p.send(openFrame(1, name, flags))
	r := p.receive()
	if r.kind != typeHandle {
		p.t.Fatalf("open %s: got type %d %d %q, want HANDLE", name, r.kind, r.body.uint32(), r.body.string())
	}
	return r.body.string()
}

// finish ends the client's side and returns what Serve did.
func (p *peer) finish() error {
	p.t.Helper()
	p.conn.(*net.TCPConn).CloseWrite()
	return p.wait()
}

func (p *peer) wait() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(20 * time.Second):
		p.t.Fatal("Serve does not return")
		return nil
	}
}

const (
	flagsPut    = 0x02 | 0x08 | 0x10 // WRITE, CREAT, TRUNC
	flagsScp    = 0x02 | 0x08
	flagsAppend = 0x02 | 0x04 | 0x08
)

func openFrame(id uint32, name string, flags uint32) frame {
	return newFrame(typeOpen, id).string(name).uint32(flags).uint32(0)
}

func pathFrame(kind byte, id uint32, name string) frame { return newFrame(kind, id).string(name) }

func writeFrame(id uint32, handle string, off uint64, data string) frame {
	return newFrame(typeWrite, id).string(handle).uint64(off).string(data)
}

func readFrame(id uint32, handle string, off uint64, size uint32) frame {
	return newFrame(typeRead, id).string(handle).uint64(off).uint32(size)
}
