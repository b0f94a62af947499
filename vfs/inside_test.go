package vfs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// member is one entry of a bundle in a test: a file, "NAME -> TARGET" or "NAME/".
type member struct{ name, data string }

// pack makes a bundle.
func pack(t testing.TB, members ...member) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o640, Size: int64(len(m.data)), ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg}
		if name, target, ok := strings.Cut(m.name, " -> "); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeSymlink
		} else if strings.HasSuffix(m.name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o700
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// sample has one of everything.
func sample(t testing.TB) []byte {
	return pack(t,
		member{"./etc/", ""}, member{"./etc/passwd", "root:x\n"},
		member{"var/log/messages", strings.Repeat("a line of a log\n", 1000)},
		member{"etc/pw -> passwd", ""}, member{"etc/logs -> /var/log", ""},
		member{"etc/climb -> ../../../etc/passwd", ""}, member{"etc/none -> nowhere", ""},
		member{"etc/up -> ..", ""}, member{"loop -> loop", ""},
		member{"odd/a\nb", "newline"}, member{"odd/\xff\xfe", "bytes"}, member{"odd/-rf", "dash"})
}

// insideWorld has the sample as /acme/case/X.tgz.
func insideWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	acme := w.as("acme")
	if err := acme.Mkdir(ctx, "/case"); err != nil {
		t.Fatal(err)
	}
	acme.mustPut("/case/X.tgz", sample(t))
	return w
}

const xInside = "/acme/case/X.tgz.d"

func (c *conn) read(name string) string {
	c.Helper()
	data, err := c.get(name)
	if err != nil {
		return kind(err)
	}
	return string(data)
}

func TestInsideListsAndReads(t *testing.T) {
	desk := insideWorld(t).as("desk")
	desk.equal("the directory beside it", desk.ls("/acme/case"), "X.tgz")
	desk.equal("top", desk.ls(xInside), "etc/ loop odd/ var/")
	desk.equal("top with a slash", desk.ls(xInside+"/"), "etc/ loop odd/ var/")
	desk.equal("a made-up directory", desk.ls(xInside+"/var"), "log/")
	desk.equal("odd names", desk.ls(xInside+"/odd"), "-rf a\nb \xff\xfe")
	desk.equal("through a link", desk.ls(xInside+"/etc/logs"), "messages")
	desk.equal("a file listed", desk.ls(xInside+"/etc/passwd"), "error: no such file or directory")
	desk.equal("the file", desk.read(xInside+"/etc/passwd"), "root:x\n")
	for name, want := range map[string]string{
		"/odd/a\nb": "newline", "/odd/\xff\xfe": "bytes", "/odd/-rf": "dash",
		"/etc/pw": "root:x\n", "/etc/climb": "root:x\n", "/etc/up/etc/pw": "root:x\n",
		"/etc/none": "missing", "/loop": "refused", "/etc": "refused", "/../../../etc/passwd": "missing",
	} {
		desk.equal(name, desk.read(xInside+name), want)
	}
	desk.equal("the log through a link", len(desk.read(xInside+"/etc/logs/messages")), 16000)
	f, err := desk.Open(ctx, xInside+"/var/log/messages")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 6)
	if _, err := f.ReadAt(b, 16*500+2); err != nil || string(b) != "line o" {
		t.Errorf("in the middle: %q, %v", b, err)
	}
	if n, err := f.ReadAt(b, 15998); n != 2 || err != io.EOF {
		t.Errorf("at the end: %d, %v, want 2, EOF", n, err)
	}
}

func TestInsideDescribes(t *testing.T) {
	desk := insideWorld(t).as("desk")
	linker := desk.View.(Linker)
	for _, tt := range []struct{ name, stat, lstat, link string }{
		{"", "drwxr-xr-x X.tgz.d 0", "drwxr-xr-x X.tgz.d 0", "refused"},
		{"/etc", "drwxr-xr-x etc 0", "drwxr-xr-x etc 0", "refused"},
		{"/var", "drwxr-xr-x var 0", "drwxr-xr-x var 0", "refused"},
		{"/etc/passwd", "-rw-r--r-- passwd 7", "-rw-r--r-- passwd 7", "refused"},
		{"/etc/pw", "-rw-r--r-- pw 7", "link pw", "passwd"},
		{"/etc/logs", "drwxr-xr-x logs 0", "link logs", "../var/log"},
		{"/etc/climb", "-rw-r--r-- climb 7", "link climb", "../etc/passwd"},
		{"/etc/up", "drwxr-xr-x up 0", "link up", ".."},
		{"/etc/none", "missing", "link none", "nowhere"},
		{"/etc/logs/messages", "-rw-r--r-- messages 16000", "-rw-r--r-- messages 16000", "refused"},
		{"/loop", "refused", "link loop", "loop"},
		{"/none", "missing", "missing", "missing"},
		{"/etc/passwd/x", "missing", "missing", "missing"},
	} {
		show := func(i fs.FileInfo, err error) string {
			switch {
			case err != nil:
				return kind(err)
			case i.Mode().Type() == fs.ModeSymlink:
				return "link " + i.Name()
			}
			return fmt.Sprintf("%v %s %d", i.Mode(), i.Name(), i.Size())
		}
		desk.equal("stat "+tt.name, show(desk.Stat(ctx, xInside+tt.name)), tt.stat)
		desk.equal("lstat "+tt.name, show(linker.Lstat(ctx, xInside+tt.name)), tt.lstat)
		to, err := linker.Readlink(ctx, xInside+tt.name)
		if err != nil {
			to = kind(err)
		}
		desk.equal("readlink "+tt.name, to, tt.link)
	}
	i, err := desk.Stat(ctx, xInside+"/etc/passwd")
	if err != nil || !i.ModTime().Equal(time.Unix(1e9, 0)) {
		t.Errorf("stat: %v, %v", i, err)
	}
	desk.equal("another tenant's", desk.size("/globex/case/X.tgz.d"), "missing")
	desk.equal("a bundle that is not there", desk.size("/acme/case/Y.tgz.d"), "missing")
	desk.equal("to a customer", desk.as("acme").size("/case/X.tgz.d"), "missing")
	desk.equal("to another desk", desk.as("desk-a").size(xInside+"/etc/passwd"), "7")
}

// Of the two names of a bundle one is listed; both can be reached.
func TestInsideExpanded(t *testing.T) {
	w := insideWorld(t)
	a := *accounts["desk"]
	a.Expand = true
	v, err := w.tree.View(&a, Peer{})
	if err != nil {
		t.Fatal(err)
	}
	expanding := &conn{world: w, View: v}
	for _, c := range []*conn{expanding, w.as("desk")} {
		c.equal("the bundle", c.size("/acme/case/X.tgz"), fmt.Sprint(len(sample(t))))
		c.equal("inside", c.read(xInside+"/etc/passwd"), "root:x\n")
	}
	expanding.equal("listed", expanding.ls("/acme/case"), "X.tgz.d/")
	expanding.equal("the root", expanding.ls("/"), "acme/ globex/")
	expanding.equal("receipts", expanding.ls("/acme/receipts/case"), "X.tgz.json")
}

func TestInsideSums(t *testing.T) {
	desk := insideWorld(t).as("desk")
	for name, want := range map[string]string{
		"/etc/passwd": fmt.Sprintf("%x", md5.Sum([]byte("root:x\n"))), "/etc": "refused", "/none": "missing",
	} {
		sum, err := desk.View.(Summer).Sum(ctx, xInside+name, MD5)
		if err != nil {
			sum = kind(err)
		}
		desk.equal("md5 of "+name, sum, want)
	}
}

// docs are the names of the documents beside a bundle.
func (w *world) docs(key store.Key) string {
	w.Helper()
	for i, err := range w.store.Records(ctx, key.Dir()) {
		if err != nil {
			w.Fatal(err)
		}
		if i.Key == key {
			return strings.Join(slices.Sorted(maps.Keys(i.Docs)), " ")
		}
	}
	return ""
}

// count counts an operation of the store from now on.
func (w *world) count(op store.Op) func() int {
	var mu sync.Mutex
	n := 0
	w.store.Before = func(o store.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if o == op {
			n++
		}
		return nil
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

const xKey = store.Key("acme/case/X.tgz")

// The journal of the check becomes an index when it is first needed, or soon, and then
// goes.
func TestIndexIsMadeOfTheJournal(t *testing.T) {
	w := insideWorld(t)
	w.equal("at first", w.docs(xKey), "journal receipt.json")
	w.as("desk").equal("inside", w.as("desk").read(xInside+"/etc/passwd"), "root:x\n")
	w.equal("then", w.docs(xKey), "index receipt.json")

	w.as("acme").mustPut("/Y.tgz", sample(t))
	background, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { w.tree.Index(background, func(name string, err error) { t.Errorf("index %s: %v", name, err) }) })
	deadline := time.Now().Add(time.Minute)
	for w.docs("acme/Y.tgz") != "index receipt.json" && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	stop()
	work.Wait()
	w.equal("in the background", w.docs("acme/Y.tgz"), "index receipt.json")
}

// equal for a world is that of its connections.
func (w *world) equal(what string, got, want any) {
	w.Helper()
	(&conn{world: w}).equal(what, got, want)
}

// An upload that was interrupted, also one that is renamed, has a journal that is whole.
func TestIndexOfAResumedUpload(t *testing.T) {
	var members []member
	for n := range 300 {
		members = append(members, member{fmt.Sprintf("dir/%03d", n), strings.Repeat(fmt.Sprint("content ", n, "\n"), 2000)})
	}
	data := pack(t, members...)
	w := newWorld(t)
	for _, name := range []string{"/X.tgz", "/Y.tgz.part"} {
		u := w.as("acme").create(name, fresh)
		for at, next := 0, 0; at < len(data); at = next {
			next = min(at+len(data)/3+1, len(data))
			if err := u.Begin(int64(at)); err != nil {
				t.Fatal(err)
			}
			if _, err := u.Write(data[at:next]); err != nil {
				t.Fatal(err)
			}
			if next == len(data) {
				break
			}
			if err := u.Suspend(ctx); err != nil {
				t.Fatal(err)
			}
			w.restart()
			u = w.as("acme").create(name, Flags{Create: true})
		}
		if _, err := u.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.as("acme").Rename(ctx, "/Y.tgz.part", "/Y.tgz"); err != nil {
		t.Fatal(err)
	}
	desk := w.as("desk")
	for _, name := range []string{"X.tgz", "Y.tgz"} {
		w.equal(name, w.docs(store.Key("acme/"+name)), "journal receipt.json")
		// Where the journal is of no use there is a second try, from the bundle.
		streams := w.count(store.OpStreamRecord)
		desk.equal(name, desk.read("/acme/"+name+".d/dir/299"), members[299].data)
		w.equal("indexes made for "+name, streams(), 1)
	}
}

// Whatever happens to the journal or the index, the bundle is accepted and can be read
// inside.
func TestIndexIsMadeAnew(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		harm func(w *world)
	}{
		{"no index", func(w *world) { w.store.RemoveRecord(ctx, xKey, journalDoc) }},
		{"a damaged journal", func(w *world) { w.store.PutRecord(ctx, xKey, journalDoc, []byte("garbage")) }},
		{"a damaged index", func(w *world) { w.store.PutRecord(ctx, xKey, indexDoc, []byte("garbage")) }},
		{"an empty index", func(w *world) { w.store.PutRecord(ctx, xKey, indexDoc, nil) }},
		{"an index of another bundle", func(w *world) {
			w.as("acme").mustPut("/Z.tgz", tgz(w, 1000, 1))
			w.as("desk").read("/acme/Z.tgz.d/var/log/messages")
			other, err := w.store.Record(ctx, "acme/Z.tgz", indexDoc)
			if err != nil {
				w.Fatal(err)
			}
			w.store.PutRecord(ctx, xKey, indexDoc, other)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := insideWorld(t)
			tt.harm(w)
			w.as("desk").equal("inside", w.as("desk").read(xInside+"/etc/passwd"), "root:x\n")
			w.equal("documents", w.docs(xKey), "index receipt.json")
		})
	}
	t.Run("an aside that fails", func(t *testing.T) {
		w := newWorld(t)
		w.store.Before = func(op store.Op, _ string) error {
			if op == store.OpWriteAside {
				return boom
			}
			return nil
		}
		w.as("acme").mustPut("/X.tgz", sample(t))
		w.equal("documents", w.docs("acme/X.tgz"), "receipt.json")
		w.as("desk").equal("inside", w.as("desk").read("/acme/X.tgz.d/etc/passwd"), "root:x\n")
	})
}

// TestIndexDamaged flips bytes of an index before its bundle is opened: what is read is
// right, or right after the index was made anew.
func TestIndexDamaged(t *testing.T) {
	w := insideWorld(t)
	w.as("desk").read(xInside + "/etc/passwd")
	good, err := w.store.Record(ctx, xKey, indexDoc)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("a line of a log\n", 1000)
	for at := 0; at < len(good); at += 1 + len(good)/400 {
		bad := bytes.Clone(good)
		bad[at] ^= 0x55
		w.store.PutRecord(ctx, xKey, indexDoc, bad)
		w.restart()
		desk := w.as("desk")
		if got := desk.read(xInside + "/var/log/messages"); got != want {
			t.Fatalf("byte %d of %d damaged: got %d bytes %.40q", at, len(good), len(got), got)
		}
		if got := desk.ls(xInside + "/etc"); got != "climb logs none passwd pw up" {
			t.Fatalf("byte %d of %d damaged: listed %q", at, len(good), got)
		}
	}
}

// rotting is a store whose indexes can go bad while they are open.
type rotting struct {
	spacious
	at atomic.Int64 // the byte of an index that reads wrong; negative: none
}

func (r *rotting) OpenRecord(ctx context.Context, key store.Key, name string) (store.Object, error) {
	o, err := r.spacious.OpenRecord(ctx, key, name)
	if err != nil || name != indexDoc {
		return o, err
	}
	return &rottenObject{o, r}, nil
}

// StreamRecord is where a new index is written: it is sound.
func (r *rotting) StreamRecord(ctx context.Context, key store.Key, name string, write func(io.Writer) error) error {
	r.at.Store(-1)
	return r.spacious.StreamRecord(ctx, key, name, write)
}

type rottenObject struct {
	store.Object
	r *rotting
}

func (o *rottenObject) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.Object.ReadAt(p, off)
	if at := o.r.at.Load() - off; at >= 0 && at < int64(n) {
		p[at] ^= 0x55
	}
	return n, err
}

// TestIndexDamagedWhileOpen flips bytes of an index behind a file that is open: what is
// read is right, or right after the index was made anew.
func TestIndexDamagedWhileOpen(t *testing.T) {
	w := newWorld(t)
	r := &rotting{spacious: spacious{w.store, w}}
	r.at.Store(-1)
	w.medium = r
	w.restart()
	var log strings.Builder
	for n := range 200000 {
		fmt.Fprintf(&log, "%d: request %x took %d ms\n", n, n*2654435761, n*7919%977)
	}
	want := log.String()
	w.as("acme").mustPut("/X.tgz", pack(t, member{"log", want}, member{"etc/passwd", "root:x\n"}))
	w.as("desk").read("/acme/X.tgz.d/etc/passwd")
	good, err := w.store.Record(ctx, "acme/X.tgz", indexDoc)
	if err != nil {
		t.Fatal(err)
	}
	made := w.count(store.OpStreamRecord)
	for at := 0; at < len(good); at += 1 + len(good)/60 {
		w.restart()
		desk := w.as("desk")
		f, err := desk.Open(ctx, "/acme/X.tgz.d/log")
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		r.at.Store(int64(at))
		b := make([]byte, 1000)
		from := len(want) - 5000
		if n, err := f.ReadAt(b, int64(from)); string(b[:n]) != want[from:from+1000] || err != nil {
			t.Errorf("byte %d of %d damaged: %d bytes, %v", at, len(good), n, err)
		}
		f.Close()
		if got := desk.read("/acme/X.tgz.d/etc/passwd"); got != "root:x\n" {
			t.Errorf("byte %d of %d damaged: read %q", at, len(good), got)
		}
		r.at.Store(-1)
	}
	if made() == 0 {
		t.Error("no damage made an index anew")
	}
}

func TestIndexIsMadeOnceForMany(t *testing.T) {
	w := insideWorld(t)
	w.store.RemoveRecord(ctx, xKey, journalDoc)
	streams := w.count(store.OpStreamRecord)
	var work sync.WaitGroup
	for range 16 {
		desk := w.as("desk")
		work.Go(func() {
			if got := desk.read(xInside + "/etc/passwd"); got != "root:x\n" {
				t.Errorf("got %q", got)
			}
		})
	}
	work.Wait()
	if n := streams(); n != 1 {
		t.Errorf("%d indexes were made, want 1", n)
	}
}

func TestFewReadersStayOpen(t *testing.T) {
	w := newWorld(t)
	var held []File
	for n := range maxReaders + 10 {
		w.as("acme").mustPut(fmt.Sprintf("/%d.tgz", n), tgz(t, 100, uint64(n)))
	}
	desk := w.as("desk")
	for n := range maxReaders + 10 {
		desk.equal("stat", desk.size(fmt.Sprintf("/acme/%d.tgz.d/var/log/messages", n)), "100")
	}
	w.equal("open", len(w.tree.readers.open), maxReaders)
	for n := range maxReaders {
		f, err := desk.Open(ctx, fmt.Sprintf("/acme/%d.tgz.d/var/log/messages", n))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	desk.equal("one too many", desk.size(fmt.Sprintf("/acme/%d.tgz.d", maxReaders)), "refused")
	held[3].Close()
	held[3].Close()
	desk.equal("when one is closed", desk.size(fmt.Sprintf("/acme/%d.tgz.d/var/log/messages", maxReaders)), "100")
	for _, f := range held {
		f.Close()
	}
	w.tree.Close()
	w.equal("after Close", len(w.tree.readers.open), 0)
}

func TestInsideNeedsABundle(t *testing.T) {
	w := newWorld(t)
	w.as("acme").mustPut("/X.tgz", sample(t))
	w.store.PutRecord(ctx, "acme/X.tgz", journalDoc, nil)
	w.store.Before = func(op store.Op, _ string) error {
		if op == store.OpStreamRecord {
			return errors.New("disk /dev/sda is on fire")
		}
		return nil
	}
	desk := w.as("desk")
	_, err := desk.Stat(ctx, "/acme/X.tgz.d")
	w.contains("told", explain(err), "storage failed")
	w.store.Before = nil
	desk.equal("tried anew", desk.read("/acme/X.tgz.d/etc/passwd"), "root:x\n")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := desk.Stat(gone, "/acme/X.tgz.d"); err != nil && kind(err) != "canceled" {
		t.Errorf("after the end: %v", err)
	}
}
