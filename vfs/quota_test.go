package vfs

import (
	"context"
	"testing"
	"time"
)

// held is what the quota of acme is charged with: bytes and files.
func (w *world) held() [2]int64 {
	l := &w.tree.area("acme").used
	l.mu.Lock()
	defer l.mu.Unlock()
	return [2]int64{l.rest.bytes + l.live.bytes, l.rest.files + l.live.files}
}

func TestQuotaOfBytes(t *testing.T) {
	w := newWorld(t)
	one, two := tgz(t, 40_000, 1), tgz(t, 40_000, 2)
	w.terms.Quota = int64(len(one)) + 1000
	acme := w.as("acme")
	acme.mustPut("/one.tgz", one)

	// The write that goes beyond is refused, and what came before it is kept.
	u := acme.create("/two.tgz", fresh)
	if _, err := u.Write(two[:500]); err != nil {
		t.Fatal(err)
	}
	_, err := u.Write(two[500:5000])
	acme.equal("beyond the quota", kind(err), "full")
	w.contains("beyond the quota", explain(err), "quota of acme is used up", "41,", "nothing was lost")
	acme.equal("kept", w.as("acme").size("/two.tgz"), "500")
	acme.equal("held", w.held(), [2]int64{int64(len(one)) + 500, 2})

	// At the quota nothing is opened, but what was accepted may come again.
	w.terms.Quota = int64(len(one)) + 500
	_, err = acme.Create(context.Background(), "/three.tgz", fresh)
	acme.equal("open at the quota", kind(err), "full")
	again := acme.mustPut("/one.tgz", one)
	acme.equal("repeated", again.Repeated, true)
	_, err = acme.put("/one.tgz", two)
	acme.equal("other bytes under its name", kind(err), "full")
	acme.equal("nothing beside it", acme.size("/one~2.tgz"), "missing")

	// That holds where there is room for its first bytes, too.
	w.terms.Quota += 1000
	acme.equal("repeated with a little room", acme.mustPut("/one.tgz", one).Repeated, true)
	w.terms.Quota -= 1000

	// Other tenants go on.
	w.as("globex").mustPut("/two.tgz", two)

	// Room lets it continue where it stopped.
	w.terms.Quota = int64(len(one) + len(two))
	if err := acme.Remove(context.Background(), "/one.tgz"); kind(err) == "ok" {
		t.Error("a customer removed a bundle")
	}
	resumed := w.as("acme")
	u = resumed.create("/two.tgz", Flags{Create: true})
	if err := u.Begin(500); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(two[500:]); err != nil {
		t.Fatal(explain(err))
	}
	if _, err := u.Commit(context.Background()); err != nil {
		t.Fatal(explain(err))
	}
	acme.equal("held", w.held(), [2]int64{int64(len(one) + len(two)), 2})
}

// TestQuotaIsGivenBack goes through every end that an upload can have.
func TestQuotaIsGivenBack(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.terms.Quota = 10 << 20
	acme := w.as("acme")
	b := tgz(t, 30_000, 1)
	size := int64(len(b))
	acme.mustPut("/a.tgz", b)
	want := [2]int64{size, 1}
	check := func(what string) {
		t.Helper()
		acme.equal(what, w.held(), want)
	}
	check("accepted")
	acme.mustPut("/a.tgz", b)
	check("repeated")
	acme.put("/junk.tgz", []byte("this is no bundle, whatever it says"))
	check("refused")

	u := acme.create("/cut.tgz", fresh)
	u.Write(b[:1000])
	acme.equal("running", w.held(), [2]int64{size + 1000, 2})
	u.Discard(ctx)
	check("discarded")

	u = acme.create("/cut.tgz", fresh)
	u.Write(b[:1000])
	u.Suspend(ctx)
	acme.equal("suspended", w.held(), [2]int64{size + 1000, 2})
	acme.Remove(ctx, "/cut.tgz")
	check("removed")

	u = acme.create("/again.tgz", fresh)
	u.Write(b[:1000])
	u.Suspend(ctx)
	u = acme.create("/again.tgz", fresh)
	acme.equal("opened again", w.held(), [2]int64{size + 1000, 2})
	u.Write(b[:10])
	acme.equal("replaced", w.held(), [2]int64{size + 10, 2})
	u.Suspend(ctx)
	w.now = w.now.Add(8 * 24 * time.Hour)
	w.tree.Expire(ctx)
	acme.mustPut("/a.tgz", b) // counts anew
	check("expired")

	acme.mustPut("/a.tgz.part", b)
	acme.equal("under a temporary name", w.held(), [2]int64{2 * size, 2})
	if err := acme.Rename(ctx, "/a.tgz.part", "/a.tgz"); err != nil {
		t.Fatal(err)
	}
	check("renamed to what is there")
	acme.mustPut("/b.tgz.part", b)
	if err := acme.Rename(ctx, "/b.tgz.part", "/b.tgz"); err != nil {
		t.Fatal(err)
	}
	want = [2]int64{2 * size, 2}
	check("renamed")

	// A new process counts the same, from the store.
	u = acme.create("/kept.tgz", fresh)
	u.Write(b[:1000])
	u.Suspend(ctx)
	w.restart()
	w.as("acme").mustPut("/a.tgz", b)
	want = [2]int64{2*size + 1000, 3}
	check("after a restart")
}

func TestQuotaOfFiles(t *testing.T) {
	w := newWorld(t)
	w.terms.QuotaFiles = 2
	acme := w.as("acme")
	acme.mustPut("/a.tgz", tgz(t, 1000, 1))
	u := acme.create("/b.tgz", fresh)
	if _, err := u.Write(tgz(t, 1000, 2)[:100]); err != nil {
		t.Fatal(err)
	}
	_, err := acme.Create(context.Background(), "/c.tgz", fresh)
	acme.equal("third", kind(err), "full")
	w.contains("third", explain(err), "2 bundles")
	u.Suspend(context.Background())
	acme.mustPut("/b.tgz", tgz(t, 1000, 2)) // the kept one's place is its own
}

func TestQuotaOfADay(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 20_000, 1)
	w.terms.QuotaDaily = int64(len(b)) + 100
	acme := w.as("acme")
	acme.mustPut("/a.tgz", b)
	_, err := acme.put("/b.tgz", tgz(t, 20_000, 2))
	acme.equal("on the same day", kind(err), "full")
	w.contains("on the same day", explain(err), "after midnight UTC")

	// A new process knows what the day brought.
	w.restart()
	acme = w.as("acme")
	_, err = acme.put("/b.tgz", tgz(t, 20_000, 2))
	acme.equal("after a restart", kind(err), "full")

	w.now = w.now.Add(13 * time.Hour)
	acme.mustPut("/b.tgz", tgz(t, 20_000, 2))
}

func TestReserveOfTheMedium(t *testing.T) {
	w := newWorld(t)
	acme := w.as("acme")
	b := tgz(t, 40<<20, 1)
	u := acme.create("/big.tgz", fresh)
	if _, err := u.Write(b[:1<<20]); err != nil {
		t.Fatal(err)
	}
	w.free = 100
	var err error
	for off := 1 << 20; off < len(b) && err == nil; off += 1 << 20 {
		_, err = u.Write(b[off:min(off+1<<20, len(b))])
	}
	acme.equal("in the middle", kind(err), "full")
	w.contains("in the middle", explain(err), "disk is nearly full")
	_, err = acme.Create(context.Background(), "/other.tgz", fresh)
	acme.equal("open", kind(err), "full")
	w.free = 1 << 30
	acme.mustPut("/big.tgz", b)
}
