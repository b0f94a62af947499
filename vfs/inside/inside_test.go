package inside

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

// world is an FS in memory: plain files, and what is inside those that are bundles.
type world struct {
	testing.TB
	files fstest.MapFS
	open  map[string]*bundle.Reader
}

func newWorld(t testing.TB) *world {
	return &world{TB: t, files: fstest.MapFS{}, open: map[string]*bundle.Reader{}}
}

// entry is one entry of a bundle; a target makes it a link, a final slash a directory.
type entry struct{ name, data, target string }

func (w *world) bundle(name string, entries ...entry) {
	w.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	out := tar.NewWriter(zip)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o640, Size: int64(len(e.data)), ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg}
		switch {
		case e.target != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.target
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := out.WriteHeader(h); err != nil {
			w.Fatal(err)
		}
		if _, err := io.WriteString(out, e.data); err != nil {
			w.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		w.Fatal(err)
	}
	w.files[strings.TrimPrefix(name, "/")] = &fstest.MapFile{Data: buf.Bytes(), ModTime: time.Unix(1e9, 0), Mode: 0o444}
	var index bytes.Buffer
	o := bundle.BuildOptions{IndexOptions: bundle.IndexOptions{Span: 64 << 10}}
	if _, err := bundle.BuildIndex(w.Context(), &index, bytes.NewReader(buf.Bytes()), bundle.DefaultLimits(), o); err != nil {
		w.Fatal(err)
	}
	r, err := bundle.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()), bytes.NewReader(index.Bytes()), int64(index.Len()), bundle.ReaderOptions{})
	if err != nil {
		w.Fatal(err)
	}
	w.open[path.Clean("/"+name)] = r
}

func told(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &vfs.Error{Kind: vfs.NotExist, Op: "open", Name: name, Text: "no such file or directory"}
	}
	return err
}

func (w *world) cut(name string) (c vfs.Contents, sub string, ok bool) {
	outer, sub, ok := cutInside(path.Clean("/" + name))
	r := w.open[outer]
	return vfs.Contents{Reader: r}, sub, ok && r != nil
}

func (w *world) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	if c, sub, ok := w.cut(name); ok {
		i, err := c.Stat(sub)
		return i, told(name, err)
	}
	i, err := w.files.Stat(rel(name))
	return i, told(name, err)
}

func (w *world) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	if c, sub, ok := w.cut(name); ok {
		i, err := c.Lstat(sub)
		return i, told(name, err)
	}
	return w.Stat(ctx, name)
}

func (w *world) Readlink(_ context.Context, name string) (string, error) {
	c, sub, _ := w.cut(name)
	return c.Readlink(sub)
}

func (w *world) Bundle(_ context.Context, name string) (*bundle.Reader, func(), error) {
	if r := w.open[path.Clean("/"+name)]; r != nil {
		return r, func() {}, nil
	}
	return nil, nil, told(name, fs.ErrNotExist)
}

func (w *world) List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		if c, sub, ok := w.cut(dir); ok {
			for i, err := range c.List(ctx, sub) {
				if !yield(i, told(dir, err)) {
					return
				}
			}
			return
		}
		entries, err := w.files.ReadDir(rel(dir))
		if err != nil {
			yield(nil, told(dir, err))
			return
		}
		for _, e := range entries {
			i, err := e.Info()
			if !yield(i, err) {
				return
			}
		}
	}
}

func rel(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

type file struct {
	fs.File
	io.ReaderAt
}

func (w *world) Open(_ context.Context, name string) (vfs.File, error) {
	c, sub, ok := w.cut(name)
	var f fs.File
	var err error
	if ok {
		f, err = c.Open(sub)
	} else {
		f, err = w.files.Open(rel(name))
	}
	if err != nil {
		return nil, told(name, err)
	}
	return file{f, f.(io.ReaderAt)}, nil
}

// run runs a command line, whose words have no blanks, and gives its output, its errors
// and its exit status.
func (w *world) run(cfg Config, line string) (out, errs string, status int) {
	w.Helper()
	words := strings.Fields(line)
	var o, e bytes.Buffer
	status = New(cfg).Run(w.Context(), w, IO{Out: &o, Err: &e}, words[0], words[1:])
	return o.String(), e.String(), status
}

// small is /acme/X.tgz, /acme/Y.tgz, a text and a receipt.
func small(t testing.TB) *world {
	w := newWorld(t)
	w.bundle("/acme/X.tgz",
		entry{name: "etc/"}, entry{name: "etc/passwd", data: "root:x:0\nbin:x:1\n"},
		entry{name: "log/b", data: "one\ntwo\nthree\nfour"}, entry{name: "log/a", data: "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n"},
		entry{name: "etc/pw", target: "passwd"}, entry{name: "bin", data: "a\x00b\none\n"}, entry{name: "empty"})
	w.bundle("/acme/Y.tgz",
		entry{name: "etc/"}, entry{name: "etc/passwd", data: "root:x:0\nbin:y:1\n"},
		entry{name: "log/b", data: "one\n"}, entry{name: "log/c/d", data: "new\n"},
		entry{name: "etc/pw", target: "passwd"}, entry{name: "bin", data: "a\x00b\none\n"})
	w.files["acme/note"] = &fstest.MapFile{Data: []byte("one note\n"), Mode: 0o444}
	return w
}

func TestCommands(t *testing.T) {
	w := small(t)
	const in = "/acme/X.tgz.d/"
	for _, tt := range []struct {
		line, out string
		status    int
		errs      string
	}{
		{"ls /acme", "X.tgz\nY.tgz\nnote\n", 0, ""},
		{"ls /acme/X.tgz", "/acme/X.tgz\n", 0, ""},
		{"ls /acme/X.tgz.d", "bin\nempty\netc\nlog\n", 0, ""},
		{"ls /acme/X.tgz/etc /acme/X.tgz/bin", "/acme/X.tgz.d/bin\n/acme/X.tgz.d/etc:\npasswd\npw\n", 0, ""},
		{"ls -l /acme/X.tgz/etc", "-rw-r-----           17 2001-09-09 01:46:40Z passwd\nlrw-r-----            6 2001-09-09 01:46:40Z pw -> passwd\n", 0, ""},
		{"ls /none /acme/note", "/acme/note\n", 1, "ls: /none: no such file or directory\r\n"},
		{"ls -x", "", 1, "ls: unknown option -x: usage: ls [-l] [PATH...]\r\n"},
		{"cat /acme/X.tgz/etc/pw /acme/note", "root:x:0\nbin:x:1\none note\n", 0, ""},
		{"cat", "", 1, "cat: no file is named: usage: cat PATH...\r\n"},
		{"cat /none", "", 1, "cat: /none: no such file or directory\r\n"},
		{"cat /acme/*/etc/passwd", "root:x:0\nbin:x:1\nroot:x:0\nbin:y:1\n", 0, ""},
		{"cat /acme/*.tgz.d/log/[!ac]", "one\ntwo\nthree\nfourone\n", 0, ""},
		{"cat /acme/*/none", "", 1, "cat: /acme/*/none: no such file or directory\r\n"},
		{"head /acme/X.tgz/log/a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", 0, ""},
		{"head -n2 /acme/X.tgz/log/b", "one\ntwo\n", 0, ""},
		{"head -2 /acme/X.tgz/log/a /acme/X.tgz/log/b", "==> " + in + "log/a <==\n1\n2\n\n==> " + in + "log/b <==\none\ntwo\n", 0, ""},
		{"head -c 5 /acme/X.tgz/log/b", "one\nt", 0, ""},
		{"head -n 0 /acme/X.tgz/log/b", "", 0, ""},
		{"tail -n 2 /acme/X.tgz/log/b", "three\nfour", 0, ""},
		{"tail -n 2 /acme/X.tgz/log/a", "11\n12\n", 0, ""},
		{"tail -n 99 /acme/X.tgz/log/b", "one\ntwo\nthree\nfour", 0, ""},
		{"tail -n 0 /acme/X.tgz/log/b", "", 0, ""},
		{"tail -c 4 /acme/X.tgz/log/b", "four", 0, ""},
		{"tail -c x /acme/X.tgz/log/b", "", 1, "tail: -c x is not a number: usage: tail [-n LINES | -c BYTES] PATH...\r\n"},
		{"tail /acme/X.tgz/empty", "", 0, ""},
		{"find /acme/X.tgz -name p*", in + "etc/passwd\n" + in + "etc/pw\n", 0, ""},
		{"find /acme -type d -name etc", in + "etc\n/acme/Y.tgz.d/etc\n", 0, ""},
		{"find /acme/X.tgz.d/etc -type l", in + "etc/pw\n", 0, ""},
		{"diff /acme/X.tgz /acme/X.tgz", "", 0, ""},
		{"diff /acme/X.tgz /acme/Y.tgz", "- empty\n- log/a\nM log/b: size 18 -> 4\n+ log/c/\n+ log/c/d\n", 1, ""},
		{"diff /acme/X.tgz /none", "", 2, "diff: /none: no such file or directory\r\n"},
		{"diff /acme/X.tgz", "", 2, "diff: two bundles are needed: usage: diff BUNDLE BUNDLE\r\n"},
		{"grep -c x /acme/X.tgz/etc/passwd", "2\n", 0, ""},
		{"grep -n x:1 /acme/X.tgz/etc", in + "etc/passwd:2:bin:x:1\n", 0, ""},
		{"grep -nb x:1 /acme/X.tgz/etc", in + "etc/passwd:2:9:bin:x:1\n", 0, ""},
		{"grep -b x /acme/X.tgz/etc/passwd", "0:root:x:0\n9:bin:x:1\n", 0, ""},
		{"grep -h -a one /acme/X.tgz", "one\none\n", 0, ""},
		{"grep -l root /acme", in + "etc/passwd\n/acme/Y.tgz.d/etc/passwd\n", 0, ""},
		{"grep -F x:. /acme/X.tgz", "", 1, ""},
		{"grep -i ROOT /acme/X.tgz/etc/pw", "root:x:0\n", 0, ""},
		{"grep root /acme/X.tgz /none", in + "etc/passwd:root:x:0\n", 2, "grep: /none: no such file or directory\r\n"},
		{"grep ( /acme", "", 2, "grep: error parsing regexp: missing closing ): `(`: usage: grep [-i] [-n] [-b] [-c] [-l] [-h] [-a] [-F] REGEXP PATH...\r\n"},
		{"grep one", "", 2, "grep: a pattern and a path are needed: usage: grep [-i] [-n] [-b] [-c] [-l] [-h] [-a] [-F] REGEXP PATH...\r\n"},
		{"nosuch x", "", 127, "nosuch: no such command: try help\r\n"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			w.TB = t
			out, errs, status := w.run(Config{}, tt.line)
			if out != tt.out || status != tt.status || errs != tt.errs {
				t.Errorf("got %q, %q, exit %d\nwant %q, %q, exit %d", out, errs, status, tt.out, tt.errs, tt.status)
			}
		})
	}
}

func TestGrepOrder(t *testing.T) {
	w := small(t)
	want := "/acme/X.tgz.d/log/b:one\nBinary file /acme/X.tgz.d/bin matches\n/acme/Y.tgz.d/log/b:one\nBinary file /acme/Y.tgz.d/bin matches\n/acme/note:one note\n"
	for workers := range 4 {
		if out, errs, status := w.run(Config{Workers: workers + 1}, "grep one /acme"); out != want || status != 0 {
			t.Errorf("%d workers: got %q, %q, exit %d, want %q", workers+1, out, errs, status, want)
		}
	}
}

// TestGrepLikeGrep compares with a grep that is too simple to be wrong, over files that
// are cut into many spans, with lines of every length.
func TestGrepLikeGrep(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	words := []string{"disk", "failure", "ok", "Kernel", "sshd", "\xff\xfe", "naïve", "x", "error: timeout", "k", "S"}
	var entries []entry
	for n := range 40 {
		var text strings.Builder
		size := rng.IntN(200_000)
		for text.Len() < size {
			for range rng.IntN(12) {
				text.WriteString(words[rng.IntN(len(words))] + " ")
			}
			if rng.IntN(50) > 0 {
				text.WriteByte('\n')
			}
		}
		entries = append(entries, entry{name: fmt.Sprintf("d%d/f%d", n%7, n), data: text.String()})
	}
	entries = append(entries, entry{name: "big", data: strings.Repeat("a line of a big file, number unknown\n", 160_000) + "disk failure at the end"})
	w := newWorld(t)
	w.bundle("/b.tgz", entries...)
	for _, tt := range []struct {
		flags, pattern, re string
	}{
		{"-nb", "disk", "disk"}, {"-nb", "disk.*failure", "disk.*failure"}, {"-nbi", "KERNEL", "(?i)kernel"},
		{"-nb", "error|Kernel|none", "error|Kernel|none"}, {"-nb", "^$", "^$"}, {"-nb", "x.$", "x.$"},
		{"-nbi", "SSHD", "(?i)sshd"}, {"-nbi", "naïve", "(?i)naïve"}, {"-nbF", "x.", `x\.`}, {"-nb", "(disk.){3}", "(disk.){3}"},
		{"-nb", "end$", "end$"}, {"-nb", "[k-m]k", "[k-m]k"}, {"-nbi", "s", "(?i)s"},
	} {
		re := regexp.MustCompile(tt.re)
		var want strings.Builder
		for _, e := range entries {
			at := 0
			for n, line := range strings.Split(strings.TrimSuffix(e.data, "\n"), "\n") {
				if e.data != "" && re.MatchString(line) {
					fmt.Fprintf(&want, "/b.tgz.d/%s:%d:%d:%s\n", e.name, n+1, at, line)
				}
				at += len(line) + 1
			}
		}
		for _, workers := range []int{1, 3} {
			var out bytes.Buffer
			args := []string{tt.flags, tt.pattern, "/b.tgz"}
			status := New(Config{Workers: workers}).Run(t.Context(), w, IO{Out: &out, Err: io.Discard}, "grep", args)
			if out.String() != want.String() || (status == 0) != (want.Len() > 0) {
				t.Errorf("grep %s %q, %d workers: got %d bytes, exit %d, want %d: %s", tt.flags, tt.pattern, workers, out.Len(), status, want.Len(), firstDifference(out.String(), want.String()))
			}
		}
	}
}

func firstDifference(got, want string) string {
	a, b := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: got %.100q want %.100q", i, a[i], b[i])
		}
	}
	return "the shorter one is the beginning of the longer"
}

// A file without newlines is searched all the same, in parts.
func TestGrepLongLines(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 9<<20)
	w.bundle("/b.tgz", entry{name: "f", data: long + "needle" + long + "\nneedle\n"})
	out, _, status := w.run(Config{Workers: 2}, "grep -c needle /b.tgz")
	if out != "/b.tgz.d/f:2\n" || status != 0 {
		t.Errorf("got %q, exit %d", out, status)
	}
}

// Of two entries of one name the last one counts, as when unpacking.
func TestGrepDuplicates(t *testing.T) {
	w := newWorld(t)
	w.bundle("/b.tgz", entry{name: "f", data: "needle 1\n"}, entry{name: "f", data: "needle 2\n"})
	if out, _, _ := w.run(Config{}, "grep needle /b.tgz"); out != "/b.tgz.d/f:needle 2\n" {
		t.Errorf("got %q", out)
	}
}

func TestRequiredLiterals(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		fold    bool
		want    string
	}{
		{"disk", false, "disk"}, {"disk.*failure", false, "failure"}, {"(error|warning): x", false, "error|warning"},
		{"error|event", false, "rror|vent"}, {"a+b", false, ""}, {"(abc)+", false, "abc"}, {"(abc)*", false, ""},
		{"[0-9]+", false, ""}, {"disk", true, "di"}, {"error", true, "error"}, {"kss", true, ""}, {"(abc){2,}", false, "abc"},
		{"(?i:Fan) speed", false, "peed"}, {"ab?c", false, ""}, {"", false, ""},
	} {
		m, err := newMatcher(tt.pattern, false, tt.fold)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(bytes.Join(m.literals, []byte("|"))); got != tt.want {
			t.Errorf("%q, fold %v: got %q, want %q", tt.pattern, tt.fold, got, tt.want)
		}
	}
}

func TestTerminalIsSafe(t *testing.T) {
	w := newWorld(t)
	w.bundle("/b.tgz", entry{name: "f", data: "a\tb\x1b[2Jc\r\nä\u202e\u0085\xffz\xc3"}, entry{name: "x\ny", data: "1"})
	for line, want := range map[string]string{
		"cat /b.tgz/f":    "a\tb\\x1b[2Jc\\x0d\r\nä\\u202e\\u0085\\xffz\\xc3",
		"ls /b.tgz.d":     "f\r\nx\\x0ay\r\n",
		"grep a.b /b.tgz": "/b.tgz.d/f:a\tb\\x1b[2Jc\\x0d\r\n",
	} {
		var out bytes.Buffer
		words := strings.Fields(line)
		New(Config{}).Run(t.Context(), w, IO{Out: &out, Err: io.Discard, Terminal: true}, words[0], words[1:])
		if out.String() != want {
			t.Errorf("%s: got %q, want %q", line, out.String(), want)
		}
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	w.bundle("/b.tgz", entry{name: "f", data: strings.Repeat("line\n", 1_000_000)})
	for _, line := range []string{"cat /b.tgz/f", "grep line /b.tgz", "head -n 900000 /b.tgz/f", "grep -n . /b.tgz/f"} {
		out, errs, status := w.run(Config{Output: 100_000}, line)
		if len(out) > 100_000 || status == 0 || !strings.Contains(errs, "too much output") {
			t.Errorf("%s: %d bytes, %q, exit %d", line, len(out), errs, status)
		}
		_, errs, status = w.run(Config{Time: time.Nanosecond}, line)
		if status == 0 || !strings.Contains(errs, "too long") {
			t.Errorf("%s without time: %q, exit %d", line, errs, status)
		}
		failing := IO{Out: failingWriter{}, Err: io.Discard}
		words := strings.Fields(line)
		if status := New(Config{}).Run(t.Context(), w, failing, words[0], words[1:]); status == 0 {
			t.Errorf("%s to nobody: exit 0", line)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestOnlySomeCommands(t *testing.T) {
	w := small(t)
	cfg := Config{Commands: []string{"help", "receipts"}, Notes: []string{"  md5sum PATH"}}
	if out, _, status := w.run(cfg, "help"); status != 0 || strings.Contains(out, "grep") || !strings.Contains(out, "md5sum PATH\n") {
		t.Errorf("help: %q, exit %d", out, status)
	}
	if _, _, status := w.run(cfg, "cat /acme/note"); status != 127 {
		t.Errorf("cat: exit %d, want 127", status)
	}
}

func TestReceiptsAndInfo(t *testing.T) {
	w := small(t)
	w.files["receipts/X.tgz.json"] = &fstest.MapFile{ModTime: time.Unix(2, 0), Data: []byte(`{"verdict":"accepted","name":"X.tgz","stored_as":"X~2.tgz","sha256":"ab","finished":"2026-01-02T03:04:05Z"}`)}
	w.files["receipts/bad.tgz.json"] = &fstest.MapFile{ModTime: time.Unix(1, 0), Data: []byte(`{"verdict":"refused","name":"bad.tgz","finished":"2026-01-02T03:04:05Z","rejection":{"message":"bad.tgz: no"}}`)}
	w.files["acme/receipts/X.tgz.json"] = w.files["receipts/X.tgz.json"]
	want := "2026-01-02 03:04:05Z refused  bad.tgz: no\n2026-01-02 03:04:05Z accepted X~2.tgz sha256 ab\n"
	if out, errs, status := w.run(Config{}, "receipts"); out != want || status != 0 {
		t.Errorf("receipts: %q, %q, exit %d", out, errs, status)
	}
	if out, _, status := w.run(Config{}, "receipts X.tgz"); !strings.HasPrefix(out, `{"verdict"`) || status != 0 {
		t.Errorf("receipts X.tgz: %q, exit %d", out, status)
	}
	out, errs, status := w.run(Config{}, "info /acme/X.tgz")
	for _, part := range []string{"sha256     ab\n", "entries    5 files, 2 directories, 1 links, 0 others\n", "                 0  etc/\n", "                27  log/a\n"} {
		if !strings.Contains(out, part) || status != 0 {
			t.Errorf("info: no %q in %q, %q, exit %d", part, out, errs, status)
		}
	}
	if _, _, status := w.run(Config{}, "info /acme/note"); status != 1 {
		t.Errorf("info of a text: exit %d", status)
	}
}
