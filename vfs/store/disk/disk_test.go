package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bundleup/vfs/store"
	"bundleup/vfs/store/storetest"
)

func TestDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Reopen {
		root := filepath.Join(t.TempDir(), "made", "by", "Open")
		var last *Store
		t.Cleanup(func() { last.Close() })
		return func() store.Store {
			if last != nil {
				last.Close()
			}
			last = openRoot(t, root)
			return last
		}
	})
}

// TestPowerLoss runs the suite on the layer that forgets what was not synced.
func TestPowerLoss(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Reopen {
		f := newCrashFS()
		f.lock = &sync.Mutex{}
		return func() store.Store {
			f = f.crash(keeper(0, nil), nil)
			s, err := open(f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}

func openRoot(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sealAt(t *testing.T, s *Store, key store.Key, data string, meta store.Meta) {
	t.Helper()
	w, err := s.Create(t.Context(), store.NewID(time.Now()), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Seal(t.Context(), key, meta); err != nil {
		t.Fatal(err)
	}
}

func TestOneDaemonPerRoot(t *testing.T) {
	root := t.TempDir()
	s := openRoot(t, root)
	if _, err := Open(root, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v, want %v", err, ErrLocked)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openRoot(t, root).Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenFailsWhereItCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{file, filepath.Join(file, "below")} {
		if s, err := Open(root, Options{}); err == nil {
			s.Close()
			t.Errorf("Open(%q) succeeds", root)
		}
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, bundlesDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(root, Options{}); err == nil {
		s.Close()
		t.Error("a file in the place of bundles is taken")
	}
}

func TestLayoutAndModes(t *testing.T) {
	root := t.TempDir()
	s := openRoot(t, root)
	defer s.Close()
	sealAt(t, s, "acme/case/X.tgz", "bytes", docs("receipt.json", "manifest"))
	id := store.NewID(time.Now())
	w, err := s.Create(t.Context(), id, "acme/case/Y.tgz")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Save(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		fi, err := d.Info()
		if want := map[bool]fs.FileMode{true: fs.ModeDir | dirMode, false: fileMode}[d.IsDir()]; fi.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, fi.Mode(), want)
		}
		if !d.IsDir() {
			rel, _ := filepath.Rel(root, name)
			got = append(got, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	up := "uploads/acme/" + string(id) + "/"
	want := []string{"bundles/acme/case/X.tgz", "lock", "records/acme/case/X.tgz/manifest", "records/acme/case/X.tgz/receipt.json", up + "data", up + "name", up + "state"}
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// TestForeignFiles: what an operator, or an attacker, puts into the tree is not
// shown, not followed and not removed.
func TestForeignFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	s := openRoot(t, root)
	sealAt(t, s, "acme/X.tgz", "bytes", store.Meta{})
	at := func(name string) string { return filepath.Join(root, name) }
	for _, err := range []error{
		os.WriteFile(at("bundles/acme/.hidden"), nil, 0o600),
		os.WriteFile(at("bundles/acme/bad\\name"), nil, 0o600),
		os.WriteFile(at("bundles/acme/bad\xffname"), nil, 0o600),
		os.Symlink(outside, at("bundles/acme/link.tgz")),
		os.Symlink("X.tgz", at("bundles/acme/inside.tgz")),
		os.Symlink(filepath.Dir(outside), at("bundles/globex")),
		os.Mkdir(at("uploads/acme/not-an-id"), 0o700),
		os.WriteFile(at("uploads/stray"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = openRoot(t, root)
	defer s.Close()
	if got := s.Report(); got != (Report{}) {
		t.Errorf("report = %+v, want nothing", got)
	}
	var got []string
	for info, err := range s.List(t.Context(), "acme") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(info.Key))
	}
	if want := []string{"acme/X.tgz"}; !slices.Equal(got, want) {
		t.Errorf("list = %q, want %q", got, want)
	}
	for _, key := range []store.Key{"acme/link.tgz", "acme/inside.tgz", "globex/secret", "acme/.hidden"} {
		if o, err := s.Open(t.Context(), key); err == nil {
			o.Close()
			t.Errorf("open of %s succeeds", key)
		}
	}
	w, err := s.Create(t.Context(), store.NewID(time.Now()), "globex/Y.tgz")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Seal(t.Context(), "globex/Y.tgz", docs("receipt")); err == nil {
		t.Error("a seal through a symbolic link out of the root succeeds")
	}
	if entries, _ := os.ReadDir(filepath.Dir(outside)); len(entries) != 1 {
		t.Errorf("outside of the root are %v", entries)
	}
}

func TestFree(t *testing.T) {
	s := openRoot(t, t.TempDir())
	defer s.Close()
	if n, err := s.Free(t.Context()); n == 0 || err != nil {
		t.Errorf("Free = %d, %v", n, err)
	}
}

// TestRecordsComeAndGo races the making of a record's directory against its
// removal as an empty one.
func TestRecordsComeAndGo(t *testing.T) {
	root := t.TempDir()
	s := openRoot(t, root)
	defer s.Close()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			name := fmt.Sprintf("doc%d", i)
			for range 25 {
				if err := s.PutRecord(t.Context(), "acme/X.tgz", name, []byte(name)); err != nil {
					t.Error(err)
				}
				if err := s.RemoveRecord(t.Context(), "acme/X.tgz", name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entries, _ := os.ReadDir(filepath.Join(root, "records/acme")); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
	if entries, _ := os.ReadDir(filepath.Join(root, tempDir)); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestDocumentAgainstDirectory: a document cannot take the place of a
// directory of records, nor the other way round; both say ErrExist.
func TestDocumentAgainstDirectory(t *testing.T) {
	s := openRoot(t, t.TempDir())
	defer s.Close()
	sealAt(t, s, "acme/A.tgz/receipt/B.tgz", "b", docs("receipt"))
	if err := s.PutRecord(t.Context(), "acme/A.tgz", "receipt", nil); !errors.Is(err, store.ErrExist) {
		t.Errorf("document over a directory: %v, want %v", err, store.ErrExist)
	}
	if err := s.PutRecord(t.Context(), "acme/C.tgz", "receipt", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.PutRecord(t.Context(), "acme/C.tgz/receipt/D.tgz", "receipt", nil); !errors.Is(err, store.ErrExist) {
		t.Errorf("directory over a document: %v, want %v", err, store.ErrExist)
	}
	w, err := s.Create(t.Context(), store.NewID(time.Now()), "acme/C.tgz")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Seal(t.Context(), "acme/C.tgz/receipt/D.tgz", docs("receipt")); !errors.Is(err, store.ErrExist) {
		t.Errorf("seal below a document: %v, want %v", err, store.ErrExist)
	}
	if err := w.Discard(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDeepKeys: the longest key there is can be sealed and read.
func TestDeepKeys(t *testing.T) {
	s := openRoot(t, t.TempDir())
	defer s.Close()
	deep := store.Key("acme/" + strings.Repeat(strings.Repeat("d", 254)+"/", 15) + strings.Repeat("x", 200) + ".tgz")
	sealAt(t, s, deep, "bytes", docs("receipt"))
	if got, _, err := readObject(s, deep); got != "bytes" || err != nil {
		t.Errorf("object = %q, %v", got, err)
	}
}

func BenchmarkSealSmall(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	p := make([]byte, 64<<10)
	for i := range b.N {
		key := store.Key(fmt.Sprintf("acme/X%d.tgz", i))
		w, err := s.Create(b.Context(), store.NewID(time.Now()), key)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(p); err != nil {
			b.Fatal(err)
		}
		if err := w.Seal(b.Context(), key, docs("receipt", "manifest", "index")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite writes 256 MiB an operation, as a client's 32 KiB packets,
// with a Save every 64 MiB, and tells how long the Seal at the end takes.
func BenchmarkWrite(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const total, every = 256 << 20, 64 << 20
	p := make([]byte, 32<<10)
	b.SetBytes(total)
	var sealing time.Duration
	for i := range b.N {
		key := store.Key(fmt.Sprintf("acme/X%d.tgz", i))
		w, err := s.Create(b.Context(), store.NewID(time.Now()), key)
		if err != nil {
			b.Fatal(err)
		}
		for n := len(p); n <= total; n += len(p) {
			if _, err := w.Write(p); err != nil {
				b.Fatal(err)
			}
			if n%every == 0 && n < total {
				if err := w.Save(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
		}
		start := time.Now()
		if err := w.Seal(b.Context(), key, docs("receipt", "manifest", "index")); err != nil {
			b.Fatal(err)
		}
		sealing += time.Since(start)
		os.Remove(filepath.Join(s.owned[0].(*os.File).Name(), "..", bundlesDir, string(key)))
	}
	b.ReportMetric(float64(sealing.Milliseconds())/float64(b.N), "ms/seal")
}
