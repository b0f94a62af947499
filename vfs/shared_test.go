package vfs

import (
	"context"
	"iter"
	"strconv"
	"testing"
	"time"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// common is a store in memory that two daemons share.
type common struct {
	*store.Memory
	err   error // of Find
	alone bool
}

func (c *common) Shared() bool { return !c.alone }

func (c *common) Find(ctx context.Context, dir store.Key, base string) iter.Seq2[store.Suspended, error] {
	return func(yield func(store.Suspended, error) bool) {
		if c.err != nil {
			yield(store.Suspended{}, c.err)
			return
		}
		for s, err := range c.Suspended(ctx) {
			if err != nil || s.Name.Dir() != dir || base != "" && s.Name.Base() != base {
				continue
			}
			if !yield(s, nil) {
				return
			}
		}
	}
}

// nodes are two daemons over one store.
func nodes(t *testing.T) (a, b *conn, c *common) {
	return nodesWith(t, nil)
}

// nodesWith are nodes whose tenant has a quota.
func nodesWith(t *testing.T, terms *auth.TenantInfo) (a, b *conn, c *common) {
	w := newWorld(t)
	c = &common{Memory: w.store}
	node := func() *conn {
		tree, err := NewTree(t.Context(), Config{
			Store: c, Now: func() time.Time { return w.now }, Checkpoint: 1 << 20,
			Tenants: func() []auth.Tenant { return []auth.Tenant{"acme"} },
			Terms: func(tenant auth.Tenant) auth.TenantInfo {
				if terms == nil {
					return auth.TenantInfo{Name: tenant}
				}
				return *terms
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.tree = tree
		return w.as("acme") // its view stays with this tree
	}
	return node(), node(), c
}

// TestResumeOnAnotherNode: what one daemon suspended the other one shows, continues,
// renames and removes.
func TestResumeOnAnotherNode(t *testing.T) {
	a, b, _ := nodes(t)
	content := tgz(t, 200_000, 1)
	u := a.create("X.tgz", fresh)
	if _, err := u.Write(content[:100_000]); err != nil {
		t.Fatal(err)
	}
	a.equal("the other node, while it is being sent", b.size("X.tgz"), "missing")
	if err := u.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.equal("size on the other node", b.size("X.tgz"), "100000")
	b.equal("list on the other node", b.ls("/"), "X.tgz receipts/")

	u = b.create("X.tgz", Flags{Create: true})
	b.equal("begin", u.Begin(100_000), nil)
	a.equal("size on the first node", a.size("X.tgz"), "missing")
	a.equal("list on the first node", a.ls("/"), "receipts/")
	if _, err := u.Write(content[100_000:]); err != nil {
		t.Fatal(err)
	}
	r, err := u.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.equal("resumes", r.Resumes, 1)
	a.equal("bundle on the first node", a.ls("/"), "X.tgz receipts/")
}

func TestRenameAndRemoveOnAnotherNode(t *testing.T) {
	a, b, _ := nodes(t)
	content := tgz(t, 5_000, 1)
	a.mustPut("Y.tgz.part", content)
	if err := b.Rename(t.Context(), "Y.tgz.part", "Y.tgz"); err != nil {
		t.Fatal(err)
	}
	a.equal("after the rename", a.ls("/"), "Y.tgz receipts/")
	u := a.create("Z.tgz", fresh)
	u.Write(content[:1000])
	u.Suspend(t.Context())
	if err := b.Remove(t.Context(), "Z.tgz"); err != nil {
		t.Fatal(err)
	}
	a.equal("after the remove", a.size("Z.tgz"), "missing")
}

// TestOpenElsewhere: an upload that another daemon has open is not touched.
func TestOpenElsewhere(t *testing.T) {
	a, b, c := nodes(t)
	content := tgz(t, 50_000, 1)
	u := a.create("X.tgz", fresh)
	u.Write(content[:20_000])
	u.Suspend(t.Context())
	other := b.create("X.tgz", Flags{Create: true})
	u = a.create("X.tgz", Flags{Create: true})
	if err := u.Begin(20_000); err != nil {
		t.Fatal(err)
	}
	err := other.Begin(20_000)
	b.equal("kind", kind(err), "refused")
	b.contains("text", explain(err), "through another server", "20,000 bytes are kept")

	c.err = store.ErrUnavailable
	_, err = b.Stat(t.Context(), "X.tgz")
	b.equal("kind", kind(err), "internal")
	b.contains("text", explain(err), "storage is not answering")
}

// TestPromisedName: a name that is promised to an upload on another node has no
// bundle: the notice must not say that something had been accepted.
func TestPromisedName(t *testing.T) {
	a, _, c := nodes(t)
	seals := 0
	c.Before = func(op store.Op, _ string) error {
		if op == store.OpSeal {
			if seals++; seals == 1 {
				return store.ErrExist
			}
		}
		return nil
	}
	r := a.mustPut("X.tgz", tgz(t, 5_000, 1))
	a.equal("stored as", r.StoredAs, "X~2.tgz")
	a.equal("notice", r.Notice(), "X.tgz is the name of another upload that is under way: this one is kept beside it as X~2.tgz")
	c.Before = nil
	a.mustPut("X.tgz", tgz(t, 5_000, 2))
	r = a.mustPut("X.tgz", tgz(t, 5_000, 3))
	a.equal("notice", r.Notice(), "X.tgz had been accepted before with other content: this one is kept beside it as X~3.tgz")
}

// TestQuotaOnAnotherNode: what one daemon accepted the other one counts, a minute
// later at most, also while an upload runs there.
func TestQuotaOnAnotherNode(t *testing.T) {
	first, content, big := tgz(t, 1_000, 1), tgz(t, 2_000, 2), tgz(t, 97_000, 3)
	both := int64(len(first) + len(big))
	for name, terms := range map[string]auth.TenantInfo{
		"bytes": {Name: "acme", Quota: both}, "files": {Name: "acme", QuotaFiles: 3}, "day": {Name: "acme", QuotaDaily: both},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _ := nodesWith(t, &terms)
			b.mustPut("first.tgz", first)
			running := b.create("running.tgz", fresh)
			if _, err := running.Write(content); err != nil {
				t.Fatal(err)
			}
			a.mustPut("big.tgz", big)
			b.now = b.now.Add(recountEvery)
			_, err := b.Create(t.Context(), "late.tgz", fresh)
			b.equal("kind", kind(err), "full")
			if _, err := running.Commit(t.Context()); err != nil {
				t.Errorf("the one that runs: %v", err)
			}
			b.now = b.now.Add(recountEvery)
			if terms.QuotaFiles > 0 {
				terms.QuotaFiles++
				b.mustPut("fourth.tgz", content) // nothing was counted twice
			}
		})
	}
}

// TestReload: a process that goes on alone knows what the other one left, and no more.
func TestReload(t *testing.T) {
	a, b, c := nodes(t)
	content := tgz(t, 50_000, 1)
	for _, name := range []string{"left.tgz", "ended.tgz"} {
		u := a.create(name, fresh)
		u.Write(content[:20_000])
		u.Suspend(t.Context())
		b.equal(name, b.size(name), "20000")
	}
	own := b.create("own.tgz", fresh)
	own.Write(content[:10_000])
	own.Suspend(t.Context())
	own = b.create("own.tgz", Flags{Create: true})
	b.equal("begin", own.Begin(10_000), nil)
	a.mustPut("ended.tgz", content)
	late := a.create("late.tgz", fresh)
	late.Write(content[:30_000])
	late.Suspend(t.Context())

	c.alone = true
	b.equal("before", b.ls("/"), "ended.tgz left.tgz own.tgz receipts/")
	if err := b.View.(*customer).area.tree.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.equal("after", b.ls("/"), "ended.tgz late.tgz left.tgz own.tgz receipts/")
	b.equal("size of what was added", b.size("late.tgz"), "30000")
	b.equal("size of what has ended", b.size("ended.tgz"), strconv.Itoa(len(content)))
	if _, err := own.Write(content[10_000:]); err != nil {
		t.Fatal(err)
	}
	if _, err := own.Commit(t.Context()); err != nil {
		t.Error(err)
	}
}
