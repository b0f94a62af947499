package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"bundleup/vfs/store"
	"bundleup/vfs/store/disk"
)

// inMemory is a medium whose operations a test can fail.
type inMemory struct{ *store.Memory }

func (inMemory) Close() error { return nil }

func newMemory() inMemory { return inMemory{store.NewMemory()} }

func onDisk(t *testing.T) medium {
	t.Helper()
	s, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// library is what the tests copy, by key: documents by name, and "" is the bundle.
var library = map[store.Key]map[string][]byte{
	"acme/X.tgz": {
		"": bytes.Repeat([]byte("x"), 3<<20+7), "receipt.json": receiptOf(bytes.Repeat([]byte("x"), 3<<20+7)),
		"index": bytes.Repeat([]byte("large index "), 100_000), "journal": []byte("small"),
	},
	"acme/case-7/Y.tgz": {"": []byte("yyy"), "receipt.json": receiptOf([]byte("yyy")), "index": nil},
	"acme/old.tgz":      {"": []byte("from before there were receipts")},
	"acme/junk.tgz":     {"refused.json": []byte(`{"verdict":"refused"}`)},
}

func receiptOf(data []byte) []byte {
	return fmt.Appendf(nil, `{"sha256":"%x"}`, sha256.Sum256(data))
}

// bundleTime is when the bundles of the library are from.
var bundleTime = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// fill puts the library into a medium.
func fill(t *testing.T, m medium) {
	t.Helper()
	for key, docs := range library {
		meta := store.Meta{ModTime: bundleTime, Docs: map[string][]byte{}}
		for name, data := range docs {
			if name != "" && name != "refused.json" {
				meta.Docs[name] = data
			}
		}
		if data, ok := docs[""]; ok {
			w, err := m.Create(t.Context(), store.NewID(time.Now()), key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(data)
			if err := errors.Join(err, w.Seal(t.Context(), key, meta), w.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if doc, ok := docs["refused.json"]; ok {
			if err := m.PutRecord(t.Context(), key, "refused.json", doc); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// holds compares a medium with the library.
func holds(t *testing.T, m medium) {
	t.Helper()
	c := &copier{src: m}
	docs, err := c.records(t.Context(), "", map[store.Key][]string{})
	if err := errors.Join(err, c.plan(t.Context(), "")); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, i := range c.objects {
		o, err := m.Open(t.Context(), i.Key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(o, 0, i.Size))
		o.Close()
		if err != nil || !bytes.Equal(got, library[i.Key][""]) || !i.ModTime.Equal(bundleTime) {
			t.Errorf("%s: %d bytes of %v, %v", i.Key, len(got), i.ModTime, err)
		}
		found++
	}
	for key, names := range docs {
		for _, name := range names {
			got, err := m.Record(t.Context(), key, name)
			if err != nil || !bytes.Equal(got, library[key][name]) {
				t.Errorf("%s of %s: %d bytes, %v", name, key, len(got), err)
			}
			found++
		}
		if _, err := m.Record(t.Context(), key, unverifiedDoc); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is not verified: %v", key, err)
		}
	}
	want := 0
	for _, docs := range library {
		want += len(docs)
	}
	if found != want {
		t.Errorf("%d bundles and documents, want %d", found, want)
	}
}

func copyAll(t *testing.T, src, dst medium) (*copier, error) {
	c := &copier{src: src, dst: dst}
	if err := c.plan(t.Context(), ""); err != nil {
		return c, err
	}
	return c, c.run(t.Context())
}

func TestCopyBothWays(t *testing.T) {
	for name, pair := range map[string][2]medium{
		"from disk": {onDisk(t), newMemory()}, "to disk": {newMemory(), onDisk(t)},
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := pair[0], pair[1]
			fill(t, src)
			w, err := src.Create(t.Context(), store.NewID(time.Now()), "acme/Z.tgz")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.Save(t.Context(), []byte("state")), w.Close()); err != nil {
				t.Fatal(err)
			}
			c, err := copyAll(t, src, dst)
			if err != nil || c.copied != 3 || c.moved != c.bytes || c.unfinished != 1 {
				t.Errorf("copied %d with %d of %d bytes, %d unfinished, %v", c.copied, c.moved, c.bytes, c.unfinished, err)
			}
			holds(t, dst)
			c, err = copyAll(t, src, dst)
			if err != nil || c.copied != 0 || c.documents != 0 {
				t.Errorf("again: copied %d and %d documents, %v", c.copied, c.documents, err)
			}
		})
	}
}

// TestCopyInterrupted ends the copy at every operation of either medium, before and
// after its effect, and repeats it.
func TestCopyInterrupted(t *testing.T) {
	cut := errors.New("cut")
	for _, side := range []string{"source", "target"} {
		for _, when := range []string{"before", "after"} {
			for at := 0; ; at++ {
				src, dst := newMemory(), newMemory()
				fill(t, src)
				m := src
				if side == "target" {
					m = dst
				}
				n := 0
				hook := func(store.Op, string) error {
					n++
					if n > at {
						return cut
					}
					return nil
				}
				if when == "before" {
					m.Before = hook
				} else {
					m.After = hook
				}
				_, err := copyAll(t, src, dst)
				m.Before, m.After = nil, nil
				if err == nil {
					break
				}
				if !errors.Is(err, cut) {
					t.Fatalf("%s, %s operation %d: %v", side, when, at, err)
				}
				dst.Crash()
				if _, err := copyAll(t, src, dst); err != nil {
					t.Fatalf("%s, again after operation %d: %v", side, at, err)
				}
				holds(t, dst)
			}
		}
	}
}

// TestCopyFindsDamage: bytes that are not those of the receipt are not copied, and a
// copy that is not what was sent is told, also after an interruption.
func TestCopyFindsDamage(t *testing.T) {
	src, dst := newMemory(), newMemory()
	w, err := src.Create(t.Context(), store.NewID(time.Now()), "acme/X.tgz")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write([]byte("damaged"))
	meta := store.Meta{Docs: map[string][]byte{"receipt.json": receiptOf([]byte("as sent"))}}
	if err := errors.Join(err, w.Seal(t.Context(), "acme/X.tgz", meta)); err != nil {
		t.Fatal(err)
	}
	if _, err := copyAll(t, src, dst); err == nil || !strings.Contains(err.Error(), "the receipt says") {
		t.Errorf("damaged at the source: %v", err)
	}
	if _, err := dst.Open(t.Context(), "acme/X.tgz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was copied all the same: %v", err)
	}

	src, dst = newMemory(), newMemory()
	fill(t, src)
	for range 2 {
		if _, err := copyAll(t, src, liar{dst}); err == nil || !strings.Contains(err.Error(), "the copy has the SHA-256") {
			t.Errorf("a target that lies: %v", err)
		}
	}
}

// liar gives back other bytes than it got.
type liar struct{ inMemory }

func (l liar) Open(ctx context.Context, key store.Key) (store.Object, error) {
	o, err := l.inMemory.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return lie{o}, nil
}

type lie struct{ store.Object }

func (l lie) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.Object.ReadAt(p, off)
	if n > 0 {
		p[0]++
	}
	return n, err
}
