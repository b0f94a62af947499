package bundle

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
)

// dense places checkpoints as densely as they can be.
var dense = IndexOptions{Span: 64 << 10}

// indexOf makes the index of a sound archive.
func indexOf(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := BuildIndex(context.Background(), &b, bytes.NewReader(data), Limits{}, BuildOptions{IndexOptions: dense}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// opened is a Reader of a sound archive.
func opened(t testing.TB, data []byte) *Reader {
	t.Helper()
	index := indexOf(t, data)
	r, err := NewReader(bytes.NewReader(data), int64(len(data)), bytes.NewReader(index), int64(len(index)), ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

// unpacked inflates an archive with the standard library's DEFLATE. Its gzip
// reader knows no names as long as the check lets pass.
func unpacked(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	src := bytes.NewReader(data)
	var f frame
	for src.Len() > 0 && data[len(data)-src.Len()] != 0 {
		f.begin(nil)
		for f.part != inBody {
			c, err := src.ReadByte()
			if err != nil {
				t.Fatal(err)
			}
			if _, r := f.header([]byte{c}); r != nil {
				t.Fatal(r)
			}
		}
		if _, err := io.Copy(&out, flate.NewReader(src)); err != nil {
			t.Fatal(err)
		}
		src.Seek(8, io.SeekCurrent)
	}
	return out.Bytes()
}

// TestReaderCorpus reads every sound archive of the corpus through the Reader.
func TestReaderCorpus(t *testing.T) {
	for _, s := range corpus(t) {
		if s.rule != "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			r := opened(t, s.data)
			if fsTestable(t, r) {
				if err := fstest.TestFS(r, everything(t, r)...); err != nil {
					t.Error(err)
				}
			}
			body := unpacked(t, s.data)
			streamLike(t, r, body)
			entriesLike(t, r, s.data)
			filesLike(t, r, body)
		})
	}
}

// everything lists what the tree has, but for links: they may lead nowhere.
func everything(t testing.TB, r *Reader) (names []string) {
	t.Helper()
	for e, err := range r.Tree() {
		if err != nil {
			t.Fatal(err)
		}
		if name := FSName(string(e.Name)); name != "." && e.Type != TypeSymlink && e.Type != TypeHardlink {
			names = append(names, name)
		}
	}
	return names
}

// fsTestable reports a tree that TestFS can be used for: it refuses backslashes,
// opens all files, reads them byte by byte, and globs through all directories
// above each directory.
func fsTestable(t testing.TB, r *Reader) bool {
	t.Helper()
	for e, err := range r.Tree() {
		if err != nil {
			t.Fatal(err)
		}
		_, err := r.Open(FSName(string(e.Name)))
		lost := err != nil && (e.Type == TypeHardlink || e.Type == TypeSymlink)
		if lost || e.RealSize > 16<<20 || bytes.Count(e.Name, []byte("/")) > 100 || bytes.IndexByte(e.Name, '\\') >= 0 {
			return false
		}
	}
	return true
}

func streamLike(t *testing.T, r *Reader, want []byte) {
	t.Helper()
	var got []byte
	for s, err := range r.Spans(1) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r.Stream(s.Offset, s.End))
		if err != nil || int64(len(got)) != s.Offset {
			t.Fatalf("span %+v: %d bytes, %v", s, len(b), err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the spans hold %d bytes, want %d, or others", len(got), len(want))
	}
}

// entriesLike compares the manifest with what the check tells.
func entriesLike(t *testing.T, r *Reader, data []byte) {
	t.Helper()
	var want, got []string
	c := NewCheck(Limits{})
	c.OnEntry(func(e *Entry) { want = append(want, told(e)) })
	c.Write(data)
	for e, err := range r.Entries(0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, told(e))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("entries\n%q, want\n%q", got, want)
	}
}

func told(e *Entry) string {
	link := string(e.Linkname)
	if e.Type != TypeSymlink && e.Type != TypeHardlink {
		link = ""
	}
	return fmt.Sprintf("%d %q>%q %v %d/%d %o %v %d %d", e.Type, e.Name, link, e.Sparse, e.Size, e.RealSize, e.Mode, e.ModTime.UnixNano(), e.Header, e.Offset)
}

// filesLike compares the last file of each name with archive/tar's.
func filesLike(t *testing.T, r *Reader, body []byte) {
	t.Helper()
	want := map[string][]byte{}
	z := tar.NewReader(io.MultiReader(bytes.NewReader(body), strings.NewReader(eof)))
	for {
		h, err := z.Next()
		if err != nil {
			break // by the end marker, or by what archive/tar does not know
		}
		if h.Typeflag == 'X' {
			return // archive/tar takes it for an entry
		}
		name := FSName(h.Name)
		delete(want, name)
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse || h.Size > 1<<20 || strings.HasSuffix(h.Name, "/") {
			continue
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		want[name] = b
	}
	for name, b := range want {
		got, err := fs.ReadFile(r, name)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("file %q: %d bytes, %v, want %d", name, len(got), err, len(b))
		}
	}
}

// TestReaderRandom reads at random places and compares with the whole.
func TestReaderRandom(t *testing.T) {
	for name, data := range longSamples(t) {
		t.Run(name, func(t *testing.T) {
			want := unpacked(t, data)
			r := opened(t, data)
			t.Logf("%d bytes, %d unpacked, %d checkpoints", len(data), len(want), r.points)
			rng := rand.New(rand.NewPCG(1, 1))
			for range 300 {
				at := rng.Int64N(int64(len(want)))
				b := make([]byte, min(1+rng.IntN(100000), len(want)-int(at)))
				if _, err := r.readAt(b, at); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, want[at:at+int64(len(b))]) {
					t.Fatalf("%d bytes at %d differ", len(b), at)
				}
				if rng.IntN(4) == 0 {
					r.cache.forget(r)
				}
				if rng.IntN(8) == 0 {
					r.idle = nil
				}
			}
			streamLike(t, r, want)
		})
	}
}

// longSamples are archives of some MiB.
func longSamples(t testing.TB) map[string][]byte {
	rng := rand.New(rand.NewPCG(3, 3))
	random := make([]byte, 3<<20)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	text := logs(60000)
	mixed := whole(entry('0', "random", string(random)), entry('0', "zeros", string(make([]byte, 5<<20))), text[:len(text)-len(eof)])
	var members [][]byte
	for rest := text; len(rest) > 0; {
		n := min(1+rng.IntN(300000), len(rest))
		members = append(members, rest[:n])
		rest = rest[n:]
	}
	var storedOnly bytes.Buffer
	z, _ := gzip.NewWriterLevel(&storedOnly, gzip.NoCompression)
	z.Write(mixed)
	z.Close()
	return map[string][]byte{
		"logs": gz(text), "mixed": gz(mixed), "entries": gz(manyEntries(5000)),
		"members": append(gz(members...), make([]byte, 1000)...), "stored": storedOnly.Bytes(),
		"many small members": gz(bytesBy(logs(20000), 700)...),
	}
}

func bytesBy(b []byte, n int) (parts [][]byte) {
	for ; len(b) > n; b = b[n:] {
		parts = append(parts, b[:n])
	}
	return append(parts, b)
}

func TestReaderDuplicatesAndLinks(t *testing.T) {
	r := opened(t, gz(whole(
		entry('0', "a", "first"), link('1', "h", "a"), entry('0', "./a", "second"), link('1', "g", "h"), link('1', "a", "h"),
		entry('0', "d/e/f", "deep"), link('2', "s", "d/e"), link('2', "d/up", "../a"), link('2', "out", "../x"), link('2', "abs", "/d/e/f"),
		link('2', "l1", "l2"), link('2', "l2", "l1"), entry('5', "d/", ""), link('2', "d/e/top", "../../s/f"),
	)))
	for name, want := range map[string]string{
		"a": "first", "h": "first", "g": "first", "d/e/f": "deep", "s/f": "deep", "d/up": "first", "d/e/top": "deep", "s/top": "deep",
	} {
		if got, err := fs.ReadFile(r, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{
		"out": fs.ErrNotExist, "abs": fs.ErrNotExist, "l1": fs.ErrInvalid, "none": fs.ErrNotExist, "a/x": fs.ErrNotExist, "s/none": fs.ErrNotExist,
		"../a": fs.ErrInvalid, "/a": fs.ErrInvalid, "d/": fs.ErrInvalid,
	} {
		if _, err := r.Open(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	list, err := r.ReadDir(".")
	if want := "[- a L abs d d - g - h L l1 L l2 L out L s]"; err != nil || short(list) != want {
		t.Errorf("the top has %s, %v, want %s", short(list), err, want)
	}
	list, err = r.ReadDir("s")
	if want := "[- f L top]"; err != nil || short(list) != want {
		t.Errorf("s has %s, %v, want %s", short(list), err, want)
	}
	if i, err := r.Stat("d"); err != nil || i.ModTime().Unix() != 1700000000 || !i.IsDir() {
		t.Errorf("d: %v, %v", i, err)
	}
	if to, err := r.ReadLink("d/up"); err != nil || to != "../a" {
		t.Errorf("link %q, %v", to, err)
	}
}

func short(list []fs.DirEntry) string {
	var s []string
	for _, d := range list {
		s = append(s, d.Type().String()[:1]+" "+d.Name())
	}
	return fmt.Sprint(s)
}
