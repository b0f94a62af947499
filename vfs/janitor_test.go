package vfs

import (
	"fmt"
	"testing"
	"time"

	"bundleup/vfs/store"
)

const day = 24 * time.Hour

func TestExpireRefusals(t *testing.T) {
	w := newWorld(t)
	acme := w.as("acme")
	if err := acme.Mkdir(ctx, "/case"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/junk.tgz", "/case/junk.tgz", "/both.tgz"} {
		acme.put(name, []byte("junk"))
	}
	acme.mustPut("/both.tgz", tgz(t, 100, 1))
	w.now = w.now.Add(89 * day)
	acme.put("/young.tgz", []byte("junk"))
	w.expire()
	acme.equal("after 89 days", acme.ls("/receipts"), "both.tgz.json both.tgz.refused.json case/ junk.tgz.json young.tgz.json")
	w.now = w.now.Add(2 * day)
	w.expire()
	acme.equal("after 91 days", acme.ls("/receipts"), "both.tgz.json young.tgz.json")
	acme.equal("the accepted one stays", acme.receipt("/receipts/both.tgz.json").Verdict, Accepted)
}

func (w *world) expire() {
	w.Helper()
	if err := w.tree.Expire(ctx); err != nil {
		w.Error(err)
	}
}

// The time counts from the last byte kept, and never while somebody sends.
func TestExpireLeavesWhatIsUsed(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	acme := w.as("acme")
	acme.suspended("/again.tgz", content, 100)
	running := acme.create("/running.tgz", fresh)
	running.Write(content[:100])
	w.now = w.now.Add(6 * day)
	u := acme.create("/again.tgz", Flags{Create: true})
	if err := u.Begin(100); err != nil {
		t.Fatal(err)
	}
	u.Write(content[100:200])
	u.Suspend(ctx)
	w.now = w.now.Add(6 * day)
	w.expire()
	acme.equal("listing", acme.ls("/"), "again.tgz receipts/ running.tgz")
	if _, err := running.Write(content[100:]); err != nil {
		t.Errorf("the running one: %v", err)
	}
}

// Of two uploads under one name a process knows only one after a restart; the
// other one expires as well.
func TestExpireFindsUploadsThatNobodyKnows(t *testing.T) {
	w := newWorld(t)
	for n := range 3 {
		w.keepInStore("acme/diag.tgz", 100+n)
	}
	w.restart()
	acme := w.as("acme")
	acme.equal("the longest one is known", acme.size("/diag.tgz"), "102")
	w.now = w.now.Add(8 * day)
	w.expire()
	acme.equal("listing", acme.ls("/"), "receipts/")
	acme.equal("left in the store", w.suspendedUploads(), 0)
}

func (w *world) keepInStore(name store.Key, n int) {
	w.Helper()
	wr, err := w.store.Create(ctx, store.NewID(w.now), name)
	if err != nil {
		w.Fatal(err)
	}
	wr.Write(make([]byte, n))
	if err := wr.Save(ctx, nil); err != nil {
		w.Fatal(err)
	}
	wr.Close()
}

// One round removes a bounded number, and what fails neither stops it nor is
// forgotten.
func TestExpireIsBoundedAndGoesOn(t *testing.T) {
	w := newWorld(t)
	for n := range maxExpired + 5 {
		w.keepInStore(store.Key(fmt.Sprintf("acme/%d.tgz", n)), 1)
		if err := w.store.PutRecord(ctx, store.Key(fmt.Sprintf("acme/%d.tgz", n)), refusedDoc, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	w.now = w.now.Add(100 * day)
	failed := 0
	w.store.Before = func(op store.Op, _ string) error {
		if (op == store.OpDiscard || op == store.OpRemoveRecord) && failed < 2 {
			failed++
			return errDisk
		}
		return nil
	}
	if err := w.tree.Expire(ctx); err == nil {
		t.Error("a failing store is not told")
	}
	w.store.Before = nil
	left := func() string {
		return fmt.Sprint(w.suspendedUploads(), " uploads, ", w.as("acme").count("/receipts"), " receipts")
	}
	w.as("acme").equal("after one round", left(), "7 uploads, 5 receipts")
	w.expire()
	w.as("acme").equal("after two", left(), "0 uploads, 0 receipts")
}

// count is how many names a directory shows.
func (c *conn) count(dir string) int {
	n := 0
	for _, err := range c.List(ctx, dir) {
		if err != nil {
			c.Error(err)
		}
		n++
	}
	return n
}
