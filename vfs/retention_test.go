package vfs

import (
	"context"
	"slices"
	"testing"
	"time"

	"bundleup/vfs/store"
)

func TestRetention(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.terms.Retention, w.terms.Quota = 30*24*time.Hour, 10<<20
	w.terms.Hold = []string{"/lawsuit"}
	acme := w.as("acme")
	for _, dir := range []string{"/lawsuit", "/lawsuits"} {
		if err := acme.Mkdir(ctx, dir); err != nil {
			t.Fatal(err)
		}
		acme.mustPut(dir+"/old.tgz", tgz(t, 1000, 1))
	}
	acme.mustPut("/old.tgz", tgz(t, 1000, 2))
	// A client's own time does not count.
	if err := acme.View.(Toucher).Touch(ctx, "/old.tgz", w.now.Add(365*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.as("globex").mustPut("/old.tgz", tgz(t, 1000, 2))
	w.now = w.now.Add(20 * 24 * time.Hour)
	acme.mustPut("/new.tgz", tgz(t, 1000, 3))
	expire := func(after time.Duration) {
		t.Helper()
		w.now = w.now.Add(after)
		if err := w.tree.Expire(ctx); err != nil {
			t.Fatal(err)
		}
	}
	expire(0)
	acme = w.as("acme")
	acme.equal("too early", acme.ls("/"), "lawsuit/ lawsuits/ new.tgz old.tgz receipts/")
	expire(11 * 24 * time.Hour)
	acme.equal("in time", acme.ls("/"), "lawsuit/ lawsuits/ new.tgz receipts/")
	acme.equal("on hold", acme.ls("/lawsuit"), "old.tgz")
	acme.equal("beside it", acme.ls("/lawsuits"), "")
	acme.equal("the receipt", acme.size("/receipts/old.tgz.json"), "missing")
	acme.equal("another tenant", w.as("globex").ls("/"), "old.tgz receipts/")
	acme.equal("told", slices.Contains(w.events, "retired old.tgz"), true)
	acme.mustPut("/new.tgz", tgz(t, 1000, 3)) // counts anew
	if got, want := w.held()[1], int64(2); got != want {
		t.Errorf("held: got %d bundles, want %d", got, want)
	}

	// A hold that is lifted, and the whole area on hold.
	w.terms.Hold = nil
	expire(time.Hour)
	acme.equal("lifted", acme.ls("/lawsuit"), "")
	w.terms.Hold = []string{"/"}
	expire(365 * 24 * time.Hour)
	acme.equal("all on hold", acme.ls("/"), "lawsuit/ lawsuits/ new.tgz receipts/")
}

// TestRetentionKeepsWhatItCannotJudge damages a receipt.
func TestRetentionKeepsWhatItCannotJudge(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.terms.Retention = time.Hour
	acme := w.as("acme")
	acme.mustPut("/a.tgz", tgz(t, 1000, 1))
	if err := w.store.PutRecord(ctx, store.Key("acme/a.tgz"), acceptedDoc, []byte("{")); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(24 * time.Hour)
	if err := w.tree.Expire(ctx); err == nil {
		t.Error("a damaged receipt is not told")
	}
	acme.equal("kept", acme.ls("/"), "a.tgz receipts/")
}
