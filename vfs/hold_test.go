package vfs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"testing/synctest"

	"bundleup/vfs/store"
)

// suspended leaves the first n bytes of content kept under name.
func (c *conn) suspended(name string, content []byte, n int) {
	c.Helper()
	u := c.create(name, fresh)
	if _, err := u.Write(content[:n]); err != nil {
		c.Fatal(err)
	}
	if err := u.Suspend(ctx); err != nil {
		c.Fatal(err)
	}
}

// meanwhile runs other beside the next operation op, from the moment that has
// begun until other has finished or waits.
func (w *world) meanwhile(op store.Op, other func()) {
	w.store.After = func(o store.Op, _ string) error {
		if o == op {
			w.store.After = nil
			go other()
			synctest.Wait()
		}
		return nil
	}
}

// An open beside the digest of what is kept goes on where the kept bytes end,
// and does not wait until they are read.
func TestOpenBesideADigestContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		content := tgz(t, 5000, 1)
		acme := w.as("acme")
		acme.suspended("/diag.tgz", content, 1000)
		var u *Upload
		w.meanwhile(store.OpRecover, func() { u = w.as("acme").create("/diag.tgz", Flags{Create: true}) })
		_, err := acme.View.(Summer).Sum(ctx, "/diag.tgz", SHA256)
		synctest.Wait()
		w.contains("the digest", explain(err), "opened")
		acme.equal("kept", u.Kept(), int64(1000))
		if err := u.Begin(1000); err != nil {
			t.Fatal(err)
		}
		u.Write(content[1000:])
		r, err := u.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		acme.equal("resumes", r.Resumes, 1)
	})
}

// A second digest waits for the first one, and both tell the truth.
func TestDigestBesideADigestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		content := tgz(t, 5000, 1)
		acme := w.as("acme")
		acme.suspended("/diag.tgz", content, 1000)
		want := sha256.Sum256(content[:1000])
		var second string
		w.meanwhile(store.OpRecover, func() { second, _ = w.as("acme").View.(Summer).Sum(ctx, "/diag.tgz", SHA256) })
		first, err := acme.View.(Summer).Sum(ctx, "/diag.tgz", SHA256)
		synctest.Wait()
		if err != nil || first != hex.EncodeToString(want[:]) || second != first {
			t.Errorf("digests %q and %q, %v; want %x twice", first, second, err, want)
		}
	})
}

// A name is in its place also while something else is done with it: an open
// waits, and finds what that left.
func TestOpenBesideARenameOrRemoveWaits(t *testing.T) {
	content := tgz(t, 5000, 1)
	for _, c := range []struct {
		name string
		sent int
		op   store.Op
		do   func(*conn) error
		kept int64
	}{
		{"rename of an incomplete one", 1000, store.OpResume, func(c *conn) error { return c.Rename(ctx, "/diag.tgz.part", "/diag.tgz") }, 1000},
		{"rename of a whole one", len(content), store.OpResume, func(c *conn) error { return c.Rename(ctx, "/diag.tgz.part", "/diag.tgz") }, 0},
		{"remove", 1000, store.OpResume, func(c *conn) error { return c.Remove(ctx, "/diag.tgz.part") }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				acme := w.as("acme")
				acme.suspended("/diag.tgz.part", content, c.sent)
				var u *Upload
				w.meanwhile(c.op, func() { u = w.as("acme").create("/diag.tgz.part", Flags{Create: true}) })
				err := c.do(acme)
				synctest.Wait()
				acme.equal("done", err == nil, c.kept == 0)
				acme.equal("kept", u.Kept(), c.kept)
			})
		})
	}
}

// A client that hangs up ends its wait.
func TestWaitForANameEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		acme := w.as("acme")
		acme.suspended("/diag.tgz", tgz(t, 5000, 1), 1000)
		gone, cancel := context.WithCancel(ctx)
		var err error
		w.meanwhile(store.OpRecover, func() {
			cancel()
			_, err = w.as("acme").View.(Summer).Sum(gone, "/diag.tgz", SHA256)
		})
		acme.View.(Summer).Sum(ctx, "/diag.tgz", SHA256)
		synctest.Wait()
		acme.equal("the second", kind(err), "canceled")
	})
}
