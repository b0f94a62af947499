package disk

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"bundleup/vfs/store"
)

// TestEraseCrash cuts the power before every step of an erasure: what was erased in
// the end is gone, what was not is whole or can be erased again, and nothing beside
// it is touched.
func TestEraseCrash(t *testing.T) {
	for at := 1; ; at++ {
		done := false
		for mode := range 8 {
			rng := rand.New(rand.NewPCG(uint64(at), uint64(mode)))
			f := newCrashFS()
			s := eraseStore(t, f)
			start := f.step
			f.fault = from(start+at, errCrashed)
			erased := s.Erase(ctx, "acme/X.tgz") == nil
			done = done || f.step < start+at
			f = f.crash(keeper(mode, rng), rng)
			s, err := open(f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, docErr := s.Record(ctx, "acme/X.tgz", "r")
			switch o, err := s.Open(ctx, "acme/X.tgz"); {
			case err == nil && erased:
				t.Fatalf("crash before step %d, outcome %d: the object is back", at, mode)
			case err == nil:
				o.Close()
				if docErr != nil {
					t.Fatalf("crash before step %d, outcome %d: an object without its document: %v", at, mode, docErr)
				}
			case erased && !errors.Is(docErr, fs.ErrNotExist):
				t.Fatalf("crash before step %d, outcome %d: the document is back: %v", at, mode, docErr)
			}
			if err := s.Erase(ctx, "acme/X.tgz"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("crash before step %d, outcome %d: again: %v", at, mode, err)
			}
			if _, err := s.Record(ctx, "acme/X.tgz", "r"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("crash before step %d, outcome %d: the document stays: %v", at, mode, err)
			}
			if doc, err := s.Record(ctx, "acme/Y.tgz", "r"); err != nil || string(doc) != "doc" {
				t.Fatalf("crash before step %d, outcome %d: beside it: %q, %v", at, mode, doc, err)
			}
		}
		if done {
			return
		}
	}
}

// eraseStore has two sealed objects with a document each.
func eraseStore(t *testing.T, f *crashFS) *Store {
	t.Helper()
	s, err := open(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []store.Key{"acme/X.tgz", "acme/Y.tgz"} {
		w, err := s.Create(ctx, store.NewID(s.now().AddDate(0, 0, i)), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("bytes")); err != nil {
			t.Fatal(err)
		}
		if err := w.Seal(ctx, key, store.Meta{Docs: map[string][]byte{"r": []byte("doc")}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}
