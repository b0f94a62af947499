package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pkg/sftp"

	"bundleup/vfs"
)

// client is pkg/sftp's client on a served view.
func client(t *testing.T, view *fakeView) (*sftp.Client, *peer) {
	t.Helper()
	p := start(t, view, Options{})
	c, err := sftp.NewClientPipe(p.conn, p.conn, sftp.UseConcurrentWrites(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, p
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	r.Read(b)
	return b
}

func TestUpload(t *testing.T) {
	view := newFakeView()
	c, p := client(t, view)
	want := randomBytes(3<<20 + 17)
	f, err := c.Create("case/x.tgz")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadFrom(bytes.NewReader(want)); err != nil || n != int64(len(want)) {
		t.Fatalf("upload: got %d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	u := view.upload("/case/x.tgz")
	if !bytes.Equal(u.got, want) || u.ended() != "commit" {
		t.Errorf("upload: got %d bytes and end %q, want %d and commit", len(u.got), u.ended(), len(want))
	}
	if p.stderr.String() != "" {
		t.Errorf("stderr: got %q, want nothing", p.stderr)
	}
}

func TestDownload(t *testing.T) {
	view := newFakeView()
	want := randomBytes(5<<20 + 3)
	view.files["acme/x.tgz"] = &fstest.MapFile{Data: want}
	c, _ := client(t, view)
	f, err := c.Open("/acme/x.tgz")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := f.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("download: got %d bytes that differ from the %d sent", got.Len(), len(want))
	}
	if n, err := f.ReadAt(make([]byte, 10), int64(len(want))); n != 0 || err != io.EOF {
		t.Errorf("read at the end: got %d, %v, want EOF", n, err)
	}
}

func TestList(t *testing.T) {
	view := newFakeView()
	var want []string
	for i := range 950 {
		name := fmt.Sprintf("%s%04d.tgz", strings.Repeat("n", i%200), i)
		view.files["acme/"+name] = &fstest.MapFile{Data: []byte("x")}
		want = append(want, name)
	}
	c, _ := client(t, view)
	list, err := c.ReadDir("/acme")
	if err != nil || len(list) != len(want) {
		t.Fatalf("list: got %d entries, %v, want %d", len(list), err, len(want))
	}
	if _, err := c.ReadDir("/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("list of a missing directory: got %v, want not exist", err)
	}
}

// TestListLongNames keeps replies below the size that clients accept.
func TestListLongNames(t *testing.T) {
	view := newFakeView()
	view.files["d/last"] = &fstest.MapFile{}
	last, _ := view.files.Stat("d/last")
	for range 500 {
		view.listed = append(view.listed, named{last, strings.Repeat("x", 4000)})
	}
	c, _ := client(t, view)
	list, err := c.ReadDir("/d")
	if err != nil || len(list) != 501 {
		t.Errorf("list: got %d entries, %v, want 501", len(list), err)
	}
}

type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

func TestCommands(t *testing.T) {
	view := newFakeView()
	c, p := client(t, view)
	for _, test := range []struct {
		want string
		do   func() error
	}{
		{"rename /a.tgz.part /a.tgz", func() error { return c.Rename("a.tgz.part", "a.tgz") }},
		{"rename /a.tgz.part /a.tgz", func() error { return c.PosixRename("a.tgz.part", "a.tgz") }},
		{"remove /a.tgz.part", func() error { return c.Remove("a.tgz.part") }},
		{"mkdir /case", func() error { return c.Mkdir("./x/../case/") }},
		{"touch /gone.tgz 1970-01-02", func() error { return c.Chtimes("/gone.tgz", at(86400), at(86400)) }},
	} {
		view.mu.Lock()
		view.calls = nil
		view.mu.Unlock()
		if err := test.do(); err != nil {
			t.Errorf("%s: %v", test.want, err)
		}
		if got := strings.Join(view.called(), ", "); got != test.want {
			t.Errorf("got call %q, want %q", got, test.want)
		}
	}
	if got, err := c.RealPath("a/../b/."); err != nil || got != "/b" {
		t.Errorf("realpath: got %q, %v, want /b", got, err)
	}
	for what, do := range map[string]func() error{
		"chmod": func() error { return c.Chmod("/x.tgz", 0o600) },
		"chown": func() error { return c.Chown("/x.tgz", 1, 1) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v, want success", what, err)
		}
	}
	if err := c.Symlink("a", "b"); err == nil {
		t.Error("symlink succeeds")
	}
	if err := c.RemoveDirectory("case"); err == nil {
		t.Error("rmdir succeeds")
	}
	if got, want := p.stderr.String(), "bundleup: directories stay: only unfinished uploads can be removed\r\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
}

func TestErrorsOfTheView(t *testing.T) {
	for _, test := range []struct {
		err   error
		want  code
		text  string
		shown bool
	}{
		{&vfs.Error{Kind: vfs.NotExist, Text: "no such bundle"}, codeNoSuchFile, "no such bundle", false},
		{&vfs.Error{Kind: vfs.Denied, Text: "only reading"}, codePermissionDenied, "only reading", true},
		{&vfs.Error{Kind: vfs.Refused, Text: "bundle names end in .tgz"}, codeFailure, "bundle names end in .tgz", true},
		{&vfs.Error{Kind: vfs.Exists, Text: "the name is taken"}, codeFailure, "the name is taken", false},
		{&vfs.Error{Kind: vfs.Full, Text: "no space"}, codeFailure, "no space", true},
		{fs.ErrPermission, codeFailure, "internal error", true},
		{fmt.Errorf("/srv/secret: %w", io.EOF), codeFailure, "internal error", true},
	} {
		view := newFakeView()
		view.err = test.err
		p := dial(t, view, Options{})
		for what, f := range map[string]frame{
			"open for writing": openFrame(7, "/x", flagsPut),
			"open for reading": openFrame(7, "/x", openRead),
			"remove":           pathFrame(typeRemove, 7, "/x"),
			"rename":           pathFrame(typeRename, 7, "/x").string("/y"),
			"mkdir":            pathFrame(typeMkdir, 7, "/x").uint32(0),
		} {
			before := p.stderr.String()
			p.wantStatus(what, f, test.want, test.text)
			line := strings.TrimPrefix(p.stderr.String(), before)
			shown := test.shown || test.want == codeNoSuchFile && what == "open for writing"
			if shown != (line != "") || shown && !strings.Contains(line, test.text) {
				t.Errorf("%s with %v: got stderr %q, want it shown: %v", what, test.err, line, shown)
			}
		}
		p.wantStatus("stat", pathFrame(typeStat, 7, "/x"), test.want, test.text)
		if s := p.stderr.String(); strings.Contains(s, "secret") {
			t.Errorf("stderr tells a cause: %q", s)
		}
		p.finish()
	}
}

// TestRejection is point 2 and 3 of the clients' notes: the reason is sticky,
// and on stderr once.
func TestRejection(t *testing.T) {
	view := newFakeView()
	view.newUpload = func(string) *fakeUpload {
		return &fakeUpload{writeErr: func(off int64) error {
			if off > 4 {
				return refusal("x.tgz refused at byte 4: not a gzip file")
			}
			return nil
		}}
	}
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsPut)
	const text = "x.tgz refused at byte 4: not a gzip file"
	p.wantStatus("sound write", writeFrame(2, h, 0, "abcd"), codeOK, "")
	p.wantStatus("bad write", writeFrame(3, h, 4, "e"), codeFailure, text)
	if got, want := p.stderr.String(), "bundleup: "+text+"\r\n"; got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
	p.wantStatus("later write", writeFrame(4, h, 5, "f"), codeFailure, text)
	p.wantStatus("stat", pathFrame(typeStat, 5, "/x.tgz"), codeNoSuchFile, text)
	p.wantStatus("fstat", pathFrame(typeFstat, 5, h), codeNoSuchFile, text)
	p.wantStatus("fsetstat", pathFrame(typeFsetstat, 5, h).uint32(attrSize).uint64(99), codeOK, "")
	p.wantStatus("close", pathFrame(typeClose, 6, h), codeFailure, text)
	if got := strings.Count(p.stderr.String(), "\r\n"); got != 1 {
		t.Errorf("stderr has %d lines, want 1: %q", got, p.stderr)
	}
	if err := p.finish(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

// TestRejectionAtClose tells PuTTY on stderr and hangs up, and answers others.
func TestRejectionAtClose(t *testing.T) {
	const text = "x.tgz is incomplete: 4 bytes are kept"
	for client, want := range map[string]error{
		"SSH-2.0-OpenSSH_9.2":        nil,
		"SSH-2.0-PuTTY_Release_0.78": ErrHungUp,
	} {
		view := newFakeView()
		view.newUpload = func(string) *fakeUpload { return &fakeUpload{commitErr: refusal(text)} }
		p := dial(t, view, Options{Client: client})
		h := p.open("/x.tgz", flagsPut)
		p.wantStatus("write", writeFrame(2, h, 0, "abcd"), codeOK, "")
		p.send(pathFrame(typeClose, 3, h))
		if want == nil {
			if c, said := p.receiveStatus(3); c != codeFailure || said != text {
				t.Errorf("close: got %d %q", c, said)
			}
			p.conn.(interface{ CloseWrite() error }).CloseWrite()
		} else if n, err := p.conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("close: PuTTY got an answer")
		}
		if err := p.wait(); err != want {
			t.Errorf("%s: serve returned %v, want %v", client, err, want)
		}
		if got := p.stderr.String(); got != "bundleup: "+text+"\r\n" {
			t.Errorf("%s: stderr %q", client, got)
		}
	}
}

// TestHoleAtClose is a client whose early writes never found their place.
func TestHoleAtClose(t *testing.T) {
	view := newFakeView()
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsPut)
	p.wantStatus("first write", writeFrame(2, h, 0, "ab"), codeOK, "")
	p.wantStatus("early write", writeFrame(3, h, 5, "f"), codeOK, "")
	p.send(pathFrame(typeFstat, 4, h))
	if r := p.receive(); r.kind != typeAttrs {
		t.Errorf("fstat: got type %d, want ATTRS", r.kind)
	}
	p.wantStatus("close", pathFrame(typeClose, 5, h), codeFailure, "incomplete: byte 2 never came")
	if u := view.upload("/x.tgz"); u.ended() != "suspend" || string(u.got) != "ab" {
		t.Errorf("upload has %q and end %q, want ab and suspend", u.got, u.ended())
	}
}

// TestFailedRead keeps a cause that wraps io.EOF from ending the file early.
func TestFailedRead(t *testing.T) {
	view := newFakeView()
	view.files["f"] = &fstest.MapFile{Data: []byte("data")}
	view.readErr = fmt.Errorf("inflate /srv/secret: %w", io.EOF)
	p := dial(t, view, Options{})
	h := p.open("/f", openRead)
	for range 2 {
		p.wantStatus("read", readFrame(2, h, 0, 4), codeFailure, "internal error")
	}
}

func TestNotice(t *testing.T) {
	view := newFakeView()
	view.newUpload = func(string) *fakeUpload {
		return &fakeUpload{receipt: vfs.Receipt{Name: "x.tgz", StoredAs: "x.tgz", Repeated: true}}
	}
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsPut)
	p.wantStatus("close", pathFrame(typeClose, 3, h), codeOK, "")
	want := (&vfs.Receipt{Name: "x.tgz", StoredAs: "x.tgz", Repeated: true}).Notice()
	if want != "" {
		want = "bundleup: " + want + "\r\n"
	}
	if got := p.stderr.String(); got != want {
		t.Errorf("stderr: got %q, want %q", got, want)
	}
}

func TestLostConnectionSuspends(t *testing.T) {
	view := newFakeView()
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsPut)
	p.wantStatus("write", writeFrame(2, h, 0, "abcd"), codeOK, "")
	p.conn.Write(writeFrame(3, h, 4, "efgh").done()[:20])
	p.conn.Close()
	if err := p.wait(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("serve: got %v, want unexpected EOF", err)
	}
	if got := view.upload("/x.tgz").ended(); got != "suspend" {
		t.Errorf("upload ended with %q, want suspend", got)
	}
}

func TestContextEnds(t *testing.T) {
	client, server := loopback(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, server, io.Discard, newFakeView(), Options{}) }()
	client.Write(newFrame(typeInit, 3).done())
	skip(client)
	want := errors.New("the daemon stops")
	cancel(want)
	if err := <-done; err != want {
		t.Errorf("serve: got %v, want %v", err, want)
	}
}

func TestEndWithOpenUploadSuspends(t *testing.T) {
	view := newFakeView()
	p := dial(t, view, Options{})
	p.open("/x.tgz", flagsPut)
	if err := p.finish(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if got := view.upload("/x.tgz").ended(); got != "suspend" {
		t.Errorf("upload ended with %q, want suspend", got)
	}
}

// TestSetstat is point 9 of the clients' notes.
func TestSetstat(t *testing.T) {
	view := newFakeView()
	view.files["done.tgz"] = &fstest.MapFile{Data: make([]byte, 9)}
	view.files["dir/x"] = &fstest.MapFile{}
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsScp)
	p.wantStatus("write", writeFrame(2, h, 0, "abcd"), codeOK, "")
	fset := func() frame { return pathFrame(typeFsetstat, 3, h) }
	set := func(name string) frame { return pathFrame(typeSetstat, 3, name) }
	p.wantStatus("permissions", fset().uint32(attrPermissions).uint32(0o600), codeOK, "")
	p.wantStatus("size and times", fset().uint32(attrSize|attrTimes).uint64(4).uint32(7).uint32(86400), codeOK, "")
	p.wantStatus("other size", fset().uint32(attrSize).uint64(5), codeFailure, "has 4 bytes so far")
	p.wantStatus("size by path", set("/x.tgz").uint32(attrSize).uint64(4), codeOK, "")
	p.wantStatus("finished, its size", set("/done.tgz").uint32(attrSize).uint64(9), codeOK, "")
	p.wantStatus("finished, other size", set("/done.tgz").uint32(attrSize).uint64(0), codeFailure, "never change")
	p.wantStatus("directory", set("/dir").uint32(attrPermissions|attrSize).uint64(0).uint32(0o755), codeOK, "")
	p.wantStatus("missing", set("/none").uint32(attrSize).uint64(0), codeOK, "")
	p.wantStatus("truncated attributes", set("/x.tgz").uint32(attrTimes).uint32(0), codeBadMessage, "malformed")
	p.wantStatus("close", pathFrame(typeClose, 4, h), codeOK, "")
	if got := view.upload("/x.tgz").mtime; !got.Equal(at(86400)) {
		t.Errorf("mtime: got %v", got)
	}
}

func TestResume(t *testing.T) {
	view := newFakeView()
	view.newUpload = func(string) *fakeUpload { return &fakeUpload{kept: 1000} }
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", 0x02)
	p.wantStatus("size before the first write", pathFrame(typeFsetstat, 2, h).uint32(attrSize).uint64(1000), codeOK, "")
	p.wantStatus("write", writeFrame(3, h, 1000, "abcd"), codeOK, "")
	p.wantStatus("close", pathFrame(typeClose, 4, h), codeOK, "")
	if u := view.upload("/x.tgz"); u.off != 1004 || u.ended() != "commit" {
		t.Errorf("upload is at %d with end %q", u.off, u.ended())
	}
}

// TestPanics lets everything behind the handlers panic: each costs one request.
func TestPanics(t *testing.T) {
	view := newFakeView()
	view.files["f"] = &fstest.MapFile{Data: []byte("x")}
	view.newUpload = func(string) *fakeUpload {
		return &fakeUpload{writeErr: func(int64) error { panic("write") }}
	}
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsPut)
	p.wantStatus("write", writeFrame(2, h, 0, "x"), codeFailure, "internal error")
	p.wantStatus("write again", writeFrame(2, h, 0, "x"), codeFailure, "internal error")
	p.wantStatus("close", pathFrame(typeClose, 2, h), codeFailure, "internal error")
	view.mu.Lock()
	view.files = nil
	view.uploads = nil
	view.mu.Unlock()
	p.wantStatus("open", openFrame(2, "/y.tgz", flagsPut), codeFailure, "internal error")
	view.listed = []fs.FileInfo{nil}
	p.send(pathFrame(typeOpendir, 3, "/"))
	p.receive()
	p.wantStatus("mkdir after all that", pathFrame(typeMkdir, 9, "/d").uint32(0), codeOK, "")
}

func TestStderrLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain ä 漢":          "plain ä 漢",
		"a\x1b[2Jb\r\nc":     `a\x1b[2Jb\r\nc`,
		"bad \xff utf-8":     `bad \xff utf-8`,
		"\u202etgz.x":        `\u202etgz.x`,
		`say "x" \n`:         `say "x" \n`,
		"sftp> password:":    `sftp\x3e password\x3a`,
		"100%.tgz Password:": `100\x25.tgz Password\x3a`,
	} {
		var b bytes.Buffer
		notes{&b}.line(text)
		if got := b.String(); got != "bundleup: "+want+"\r\n" {
			t.Errorf("line %q: got %q, want %q", text, got, want)
		}
	}
	var b bytes.Buffer
	notes{&b}.line(strings.Repeat(path.Join("a", "b"), vfs.MaxText))
	if b.Len() > vfs.MaxText+20 {
		t.Errorf("a long line has %d bytes", b.Len())
	}
}

func at(sec int64) time.Time { return time.Unix(sec, 0) }
