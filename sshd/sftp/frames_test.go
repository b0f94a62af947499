package sftp

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestVersion(t *testing.T) {
	p := start(t, newFakeView(), Options{})
	p.send(newFrame(typeInit, 6).string("newline@vandyke.com").string("\n"))
	r := p.receive()
	if r.kind != typeVersion || r.id != 3 {
		t.Fatalf("got type %d with version %d, want VERSION 3", r.kind, r.id)
	}
	got := map[string]string{}
	for len(r.body.b) > 0 && !r.body.bad {
		name := r.body.string()
		got[name] = r.body.string()
	}
	want := fmt.Sprint(map[string]string{extRename: "1", extLimits: "1", extFsync: "1"})
	if fmt.Sprint(got) != want {
		t.Errorf("extensions: got %v, want %v", got, want)
	}
}

func TestLimits(t *testing.T) {
	for handles, want := range map[int]uint64{0: 64, 10: 0, 200: 200} {
		p := dial(t, newFakeView(), Options{MaxHandles: handles})
		p.send(newFrame(typeExtended, 5).string(extLimits))
		r := p.receive()
		got := fmt.Sprint(r.kind, r.id, r.body.uint64(), r.body.uint64(), r.body.uint64(), r.body.uint64())
		if want := fmt.Sprint(typeExtendedReply, 5, 262144, 261120, 261120, want); got != want {
			t.Errorf("limits with %d handles: got %s, want %s", handles, got, want)
		}
	}
}

// TestHostilePackets sends what the server must not see, and then works on.
func TestHostilePackets(t *testing.T) {
	view := newFakeView()
	view.files["f"] = &fstest.MapFile{Data: []byte("data")}
	p := dial(t, view, Options{})
	w, r := p.open("/x.tgz", flagsPut), p.open("/f", openRead)
	p.send(pathFrame(typeOpendir, 1, "/"))
	dir := p.receive()
	d := dir.body.string()
	for _, test := range []struct {
		what string
		send frame
		want code
	}{
		{"READ on a write handle", readFrame(2, w, 0, 10), codeFailure},
		{"READDIR on a write handle", pathFrame(typeReaddir, 2, w), codeFailure},
		{"WRITE on a read handle", writeFrame(2, r, 0, "x"), codeFailure},
		{"WRITE on a directory", writeFrame(2, d, 0, "x"), codeFailure},
		{"READ on a directory", readFrame(2, d, 0, 1), codeFailure},
		{"WRITE on no handle", writeFrame(2, "99", 0, "x"), codeFailure},
		{"WRITE on a long handle", writeFrame(2, strings.Repeat("h", 1000), 0, "x"), codeBadMessage},
		{"READ on a long handle", readFrame(2, strings.Repeat("h", 1000), 0, 1), codeFailure},
		{"CLOSE of no handle", pathFrame(typeClose, 2, ""), codeFailure},
		{"fsync of no handle", newFrame(typeExtended, 2).string(extFsync).string("99"), codeFailure},
		{"fsync", newFrame(typeExtended, 2).string(extFsync).string(w), codeOK},
		{"READ at 2^63", readFrame(2, r, 1<<63, 10), codeFailure},
		{"READ before 2^63", readFrame(2, r, math.MaxInt64, 10), codeFailure},
		{"WRITE at -1", writeFrame(2, w, math.MaxUint64, "x"), codeFailure},
		{"WRITE longer than its packet", newFrame(typeWrite, 2).string(w).uint64(0).uint32(1 << 31).string("xyz"), codeBadMessage},
		{"WRITE without data", newFrame(typeWrite, 2).string(w).uint64(0), codeBadMessage},
		{"OPEN without flags", pathFrame(typeOpen, 2, "/y.tgz"), codeBadMessage},
		{"OPEN for nothing", openFrame(2, "/y.tgz", 0), codeFailure},
		{"OPEN of a directory to be", openFrame(2, "/in/", flagsPut), codeNoSuchFile},
		{"OPEN with truncated attributes", newFrame(typeOpen, 2).string("/y.tgz").uint32(2).uint32(attrSize), codeBadMessage},
		{"OPEN with a path beyond the packet", newFrame(typeOpen, 2).uint32(math.MaxUint32), codeBadMessage},
		{"SETSTAT with truncated attributes", pathFrame(typeSetstat, 2, "/f").uint32(0x8000000f).uint64(1), codeBadMessage},
		{"FSETSTAT with 2^32 extensions", pathFrame(typeFsetstat, 2, w).uint32(attrExtended).uint32(math.MaxUint32), codeBadMessage},
		{"RENAME to nothing", pathFrame(typeRename, 2, "/a"), codeBadMessage},
		{"posix-rename to nothing", newFrame(typeExtended, 2).string(extRename).string("/a"), codeBadMessage},
		{"an unknown extension", newFrame(typeExtended, 2).string("x@y").string("/a"), codeUnsupported},
		{"an empty EXTENDED", newFrame(typeExtended, 2), codeBadMessage},
		{"READLINK", pathFrame(typeReadlink, 2, "/a"), codeUnsupported},
		{"SYMLINK", pathFrame(typeSymlink, 2, "/a").string("/b"), codeUnsupported},
		{"an unknown type", newFrame(77, 2), codeUnsupported},
		{"a reply", newFrame(typeStatus, 2).uint32(0), codeUnsupported},
		{"a long STAT", pathFrame(typeStat, 2, strings.Repeat("/a", 100<<10)), codeBadMessage},
		{"STAT with a NUL", pathFrame(typeStat, 2, "/a\x00b"), codeNoSuchFile},
	} {
		p.wantStatus(test.what, test.send, test.want, "")
	}
	p.wantStatus("write after all that", writeFrame(3, w, 0, "x"), codeOK, "")
	p.send(readFrame(4, r, 1, math.MaxUint32))
	if data := p.receive(); data.body.string() != "ata" {
		t.Error("read after all that fails")
	}
	p.wantStatus("close after all that", pathFrame(typeClose, 5, w), codeOK, "")
	if err := p.finish(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

// A WRITE's packet may go on behind its data, and WRITEs of any length follow each
// other: nothing of one is taken for a part of another.
func TestWritesOfAnyLength(t *testing.T) {
	view := newFakeView()
	p := dial(t, view, Options{})
	w := p.open("/x.tgz", flagsPut)
	want := ""
	for i, size := range []int{1, 0, maxData, 3, maxPiece, maxPiece + 1, 7} {
		data := strings.Repeat(string(rune('a'+i)), size)
		p.wantStatus("write", append(writeFrame(2, w, uint64(len(want)), data), "behind"...), codeOK, "")
		want += data
	}
	p.wantStatus("close", pathFrame(typeClose, 3, w), codeOK, "")
	if got := string(view.upload("/x.tgz").got); got != want {
		t.Errorf("got %d bytes, want %d, or others", len(got), len(want))
	}
	p.wantStatus("write after close", writeFrame(4, w, 0, "x"), codeFailure, "")
}

// A WRITE is refused by the piece that is wrong, and read to its end.
func TestWriteRefusedWithin(t *testing.T) {
	view := newFakeView()
	view.newUpload = func(string) *fakeUpload {
		return &fakeUpload{writeErr: func(off int64) error {
			if off > maxPiece {
				return refusal("wrong in the second piece")
			}
			return nil
		}}
	}
	p := dial(t, view, Options{})
	w := p.open("/x.tgz", flagsPut)
	p.wantStatus("write", writeFrame(2, w, 0, strings.Repeat("x", maxData)), codeFailure, "wrong in the second piece")
	p.wantStatus("write behind it", writeFrame(3, w, maxData, "x"), codeFailure, "wrong in the second piece")
	p.wantStatus("close", pathFrame(typeClose, 4, w), codeFailure, "wrong in the second piece")
	if got := view.upload("/x.tgz").writes; got != 2 {
		t.Errorf("the upload was written to %d times, want 2", got)
	}
}

// A client that has nothing open and waits costs no goroutine of a server, whatever it
// did before; and it can go on.
func TestRests(t *testing.T) {
	view := newFakeView()
	view.files["f"] = &fstest.MapFile{Data: []byte("data")}
	before := servers(0)
	p := dial(t, view, Options{})
	for range 3 {
		w := p.open("/x.tgz", flagsPut)
		p.wantStatus("write", writeFrame(2, w, 0, "x"), codeOK, "")
		p.wantStatus("close", pathFrame(typeClose, 3, w), codeOK, "")
		r := p.open("/f", openRead)
		p.send(readFrame(4, r, 0, 10))
		if got := p.receive().body; got.string() != "data" {
			t.Fatal("a read fails")
		}
		p.wantStatus("close", pathFrame(typeClose, 5, r), codeOK, "")
		p.wantStatus("remove", pathFrame(typeRmdir, 6, "/d"), codeFailure, "")
		if got := servers(before); got > before {
			t.Fatalf("%d goroutines of servers are left, want %d", got, before)
		}
	}
	if err := p.finish(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

// servers counts the goroutines of protocol servers, as soon as there are no more than
// want or after a while.
func servers(want int) (n int) {
	stacks := make([]byte, 4<<20)
	for range 100 {
		n = strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "created by github.com/pkg/sftp.")
		if n <= want {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

// TestFatalPackets cannot be answered: they end the channel with an error.
func TestFatalPackets(t *testing.T) {
	for what, send := range map[string][]byte{
		"no length":       {0, 0, 0, 0},
		"no request id":   {0, 0, 0, 4, typeStat, 0, 0, 0},
		"a huge length":   {0xff, 0xff, 0xff, 0xff, typeWrite},
		"257 KiB":         binary.BigEndian.AppendUint32(nil, maxFrame+1),
		"a cut length":    {0, 0},
		"a cut head":      newFrame(typeWrite, 1).string("1").done()[:7],
		"a cut small one": pathFrame(typeStat, 1, "/abc").done()[:12],
	} {
		p := dial(t, newFakeView(), Options{})
		p.conn.Write(send)
		if err := p.finish(); err == nil {
			t.Errorf("%s: serve returns nil", what)
		}
	}
	for what, f := range map[string]frame{
		"STAT":  pathFrame(typeStat, 1, "/"),
		"WRITE": writeFrame(1, "1", 0, "x"),
	} {
		p := start(t, newFakeView(), Options{})
		p.send(f)
		if err := p.wait(); err == nil {
			t.Errorf("%s before INIT: serve returns nil", what)
		}
	}
}

// TestManyOpens sends 10,000 of them without waiting for an answer.
func TestManyOpens(t *testing.T) {
	const opens = 10_000
	view := newFakeView()
	p := dial(t, view, Options{})
	go func() {
		for i := range opens {
			p.conn.Write(openFrame(uint32(i), fmt.Sprintf("/%d.tgz", i), flagsPut).done())
		}
	}()
	handles := 0
	for i := range opens {
		r := p.receive()
		if r.id != uint32(i) {
			t.Fatalf("got reply to %d, want %d", r.id, i)
		}
		if r.kind == typeHandle {
			handles++
		}
	}
	if handles != defaultMaxHandles || len(view.called()) != defaultMaxHandles {
		t.Errorf("got %d handles and %d calls, want %d", handles, len(view.called()), defaultMaxHandles)
	}
	p.wantStatus("close", pathFrame(typeClose, 1, "1"), codeOK, "")
	p.open("/again.tgz", flagsPut)
	if err := p.finish(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if got := view.upload("/63.tgz").ended(); got != "suspend" {
		t.Errorf("an open upload ended with %q, want suspend", got)
	}
}

// TestPipelined sends a whole upload before it reads one answer, as phpseclib
// does, with requests in between that the filter answers.
func TestPipelined(t *testing.T) {
	view := newFakeView()
	p := dial(t, view, Options{})
	h := p.open("/x.tgz", flagsPut)
	const writes = 300
	go func() {
		for i := range writes {
			p.conn.Write(writeFrame(uint32(2*i), h, uint64(i*1000), strings.Repeat("x", 1000)).done())
			p.conn.Write(newFrame(typeExtended, uint32(2*i+1)).string(extFsync).string(h).done())
		}
		p.conn.Write(pathFrame(typeFsetstat, 2*writes, h).uint32(attrSize).uint64(writes * 1000).done())
		p.conn.Write(pathFrame(typeClose, 2*writes+1, h).done())
		p.conn.(*net.TCPConn).CloseWrite()
	}()
	for i := range uint32(2*writes + 2) {
		if c, text := p.receiveStatus(i); c != codeOK {
			t.Fatalf("request %d: got %d %q", i, c, text)
		}
	}
	if err := p.wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
	if u := view.upload("/x.tgz"); u.off != writes*1000 || u.ended() != "commit" {
		t.Errorf("upload is at %d with end %q", u.off, u.ended())
	}
}

// TestReadsBesideEachOther mixes READs of every size with other requests.
func TestReadsBesideEachOther(t *testing.T) {
	view := newFakeView()
	data := string(randomBytes(1 << 20))
	view.files["f"] = &fstest.MapFile{Data: []byte(data)}
	p := dial(t, view, Options{})
	h := p.open("/f", openRead)
	const reads = 400
	size := func(i int) uint32 { return uint32(i * 653) }
	go func() {
		for i := range reads {
			p.conn.Write(readFrame(uint32(i), h, uint64(i*1001), size(i)).done())
			if i%50 == 0 {
				p.conn.Write(pathFrame(typeFstat, uint32(1000+i), h).done())
				p.conn.Write(readFrame(uint32(2000+i), h, 1<<63, 1).done())
			}
		}
	}()
	for i := range reads {
		r := p.receive()
		off := i * 1001
		want := data[off:min(off+int(size(i)), len(data))]
		if r.kind != typeData || r.id != uint32(i) || r.body.string() != want {
			t.Fatalf("read %d: got type %d to %d, or other bytes", i, r.kind, r.id)
		}
		if i%50 == 0 {
			if r := p.receive(); r.kind != typeAttrs || r.id != uint32(1000+i) {
				t.Fatalf("fstat after read %d: got type %d to %d", i, r.kind, r.id)
			}
			if c, _ := p.receiveStatus(uint32(2000 + i)); c != codeFailure {
				t.Fatalf("refused read %d: got %d", i, c)
			}
		}
	}
}

const (
	typeData  = 103
	typeAttrs = 105
)

// TestBlockedWriter is a peer that never reads: it ends with its connection.
func TestBlockedWriter(t *testing.T) {
	client, server := net.Pipe()
	view := newFakeView()
	p := &peer{t: t, conn: client, view: view, stderr: &lockedBuffer{}, done: make(chan error, 1)}
	s := newSession(t.Context(), view, io.Discard, nil)
	go func() { p.done <- s.serve(server, Options{MaxHandles: 64}) }()
	client.Write(newFrame(typeInit, 3).done())
	client.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		if _, err := client.Write(pathFrame(typeRealpath, 1, "/").done()); err != nil {
			break
		}
	}
	client.Close()
	if err := p.wait(); err == nil {
		t.Error("serve returns nil")
	}
}

func TestParseNeverOverruns(t *testing.T) {
	whole := [][]byte{
		openFrame(1, "/x.tgz", flagsPut).uint32(0),
		writeFrame(1, "12", 5, "abc"),
		readFrame(1, "12", 5, 6),
		pathFrame(typeSetstat, 1, "/x").uint32(0x8000000f).uint64(1).uint64(2).uint32(3).uint64(4).uint32(1).string("a").string("b"),
		newFrame(typeExtended, 1).string(extRename).string("/a").string("/b"),
	}
	for _, f := range whole {
		b := f[4:]
		if _, ok := parse(b, len(b)); !ok {
			t.Errorf("type %d: the whole packet is malformed", b[0])
		}
	}
	for _, f := range [][]byte{whole[1], whole[2], whole[3], whole[4]} {
		b := f[4:]
		for n := range len(b) {
			if _, ok := parse(b[:n], n); ok && n > 0 {
				t.Errorf("type %d: %d of %d bytes are whole", b[0], n, len(b))
			}
		}
	}
}
