package vfs

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bundleup/auth"
)

// token is a connection with an upload token for one case.
func (w *world) token(dir string, size int64, expires time.Time) *conn {
	w.Helper()
	a := &auth.Account{Name: "acme+" + dir, Role: auth.Customer, Tenant: "acme", Case: dir, MaxSize: size, Expires: expires}
	v, err := w.tree.View(a, Peer{Session: "s", Protocol: "sftp"})
	if err != nil {
		w.Fatal(err)
	}
	return &conn{world: w, View: v}
}

// TestCaseIsAllThereIs: a token's world is its case, by either name; what is beside
// it does not exist.
func TestCaseIsAllThereIs(t *testing.T) {
	w := newWorld(t)
	w.as("acme").mustPut("/other.tgz", tgz(t, 100, 1))
	c := w.token("8423", 0, time.Time{})
	c.equal("the case before its first bundle", c.ls("/"), "receipts/")
	c.equal("its receipts", c.ls("/receipts"), "")
	c.equal("stat", c.size("/")+c.size("/8423")+c.size("/receipts")+c.size("/receipts/8423"), "0000")

	r := c.mustPut("/diag.tgz", tgz(t, 100, 2))
	c.equal("receipt", r.Name+" "+r.StoredAs+" "+r.Account, "8423/diag.tgz 8423/diag.tgz acme+8423")
	c.mustPut("/8423/named.tgz", tgz(t, 100, 3))
	c.equal("root", c.ls("/"), "diag.tgz named.tgz receipts/")
	c.equal("by its name", c.ls("/8423"), "diag.tgz named.tgz receipts/")
	c.equal("receipts", c.ls("/receipts"), "diag.tgz.json named.tgz.json")
	c.equal("receipts by name", c.ls("/receipts/8423"), "diag.tgz.json named.tgz.json")
	c.equal("a receipt", c.receipt("/receipts/diag.tgz.json").ID, r.ID)
	c.equal("a receipt by name", c.receipt("/receipts/8423/diag.tgz.json").ID, r.ID)
	c.equal("the tenant sees it", w.as("acme").ls("/8423"), "diag.tgz named.tgz")

	for _, path := range []string{"/other.tgz", "/../other.tgz", "/receipts/other.tgz.json", "/acme/other.tgz", "/8424/x.tgz", "/receipts/../../other.tgz"} {
		_, err := c.Stat(ctx, path)
		c.equal("stat "+path, kind(err), "missing")
		_, err = c.Open(ctx, path)
		c.equal("open "+path, kind(err), "missing")
		c.equal("remove "+path, kind(c.Remove(ctx, path)), map[bool]string{true: "denied", false: "missing"}[strings.HasPrefix(path, "/receipts/o")])
	}
	c.equal("mkdir", kind(c.Mkdir(ctx, "/deep")), "ok")
	c.mustPut("/deep/x.tgz", tgz(t, 100, 4))
	c.equal("the tenant's directories", w.as("acme").ls("/"), "8423/ other.tgz receipts/")
	c.equal("the case's", w.as("acme").ls("/8423"), "deep/ diag.tgz named.tgz")

	u := c.create("/part.tgz.part", fresh)
	if _, err := u.Write(tgz(t, 100, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	c.equal("rename", kind(c.Rename(ctx, "/part.tgz.part", "/8423/part.tgz")), "ok")
	c.equal("rename of receipts", kind(c.Rename(ctx, "/receipts/diag.tgz.json", "/x.tgz")), "denied")
	c.equal("size", c.size("/part.tgz"), w.as("acme").size("/8423/part.tgz"))
}

// TestTokenSize: the write beyond what a token allows is refused, also after a
// resume and on a rename.
func TestTokenSize(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 3<<20, 1)
	c := w.token("8423", int64(len(content))-1, time.Time{})
	u := c.create("/big.tgz", fresh)
	half := len(content) / 2
	if _, err := u.Write(content[:half]); err != nil {
		t.Fatal(err)
	}
	if err := u.Suspend(ctx); err != nil {
		t.Fatal(err)
	}
	u = c.create("/big.tgz", Flags{Create: true})
	if err := u.Begin(int64(half)); err != nil {
		t.Fatal(err)
	}
	_, err := u.Write(content[half:])
	c.equal("kind", kind(err), "refused")
	c.contains("words", explain(err), "big.tgz", "larger than", "rule limit")
	c.equal("nothing is left", w.as("acme").size("/8423/big.tgz"), "missing")
	w.token("8423", int64(len(content)), time.Time{}).mustPut("/fits.tgz", content)
	w.as("acme").mustPut("/whole.tgz", content)
}

// TestExpiredLogin: who stays connected can send nothing new.
func TestExpiredLogin(t *testing.T) {
	w := newWorld(t)
	c := w.token("8423", 0, w.now.Add(time.Hour))
	content := tgz(t, 1000, 1)
	u := c.create("/running.tgz", fresh)
	w.now = w.now.Add(time.Hour)
	_, err := c.Create(ctx, "/late.tgz", fresh)
	c.equal("a new one", kind(err), "denied")
	c.contains("words", explain(err), "expired", "ask for a new one")
	if _, err := u.Write(content); err != nil {
		t.Error(err)
	}
	if _, err := u.Commit(context.Background()); err != nil {
		t.Errorf("one that was running: %v", err)
	}
}

func TestErase(t *testing.T) {
	for _, c := range []struct {
		dir, left string
		gone      []string
	}{
		{"case", "other/ stays.tgz receipts/", []string{"bundle case/a.tgz", "bundle case/deep/b.tgz", "receipts case/junk.tgz", "unfinished case/cut.tgz"}},
		{"", "receipts/", []string{"bundle case/a.tgz", "bundle case/deep/b.tgz", "bundle other/c.tgz", "bundle stays.tgz", "receipts case/junk.tgz", "unfinished case/cut.tgz"}},
		{"nothing", "case/ other/ stays.tgz receipts/", nil},
		{"cas", "case/ other/ stays.tgz receipts/", nil},
	} {
		w := newWorld(t)
		w.fill()
		w.restart()
		var gone []string
		err := w.tree.Erase(ctx, "acme", c.dir, func(e Erased) {
			gone = append(gone, string(e.Kind)+" "+e.Name)
			if e.Kind == Bundle && (e.Size == 0 || len(e.SHA256) != 64 || len(e.Upload) != 26) {
				t.Errorf("%q: %+v", c.dir, e)
			}
		})
		if err != nil {
			t.Fatalf("%q: %v", c.dir, err)
		}
		slices.Sort(gone)
		if !slices.Equal(gone, c.gone) {
			t.Errorf("%q: gone are %q, want %q", c.dir, gone, c.gone)
		}
		a := w.as("acme")
		got := strings.Fields(a.ls("/"))
		want := strings.Fields(c.left)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q: left is %q, want %q", c.dir, got, want)
		}
		if c.gone != nil {
			a.equal("kept", a.size("/case/cut.tgz"), "missing")
			a.equal("receipt", a.size("/receipts/case/junk.tgz.json"), "missing")
		}
		w.as("globex").equal("another tenant", w.as("globex").ls("/"), "g.tgz receipts/")
		// What is gone can be sent again, as if it had never been.
		if c.gone != nil {
			if err := a.Mkdir(ctx, "/case"); err != nil {
				t.Fatal(err)
			}
			r := a.mustPut("/case/a.tgz", tgz(t, 1000, 9))
			a.equal("again", r.StoredAs, "case/a.tgz")
		}
	}
}

// fill gives acme one of everything, and globex a bundle.
func (w *world) fill() {
	w.Helper()
	a := w.as("acme")
	for _, dir := range []string{"/case", "/case/deep", "/other"} {
		if err := a.Mkdir(ctx, dir); err != nil {
			w.Fatal(err)
		}
	}
	for i, name := range []string{"/case/a.tgz", "/case/deep/b.tgz", "/other/c.tgz", "/stays.tgz"} {
		a.mustPut(name, tgz(w, 1000, uint64(i)))
	}
	if _, err := a.put("/case/junk.tgz", []byte(strings.Repeat("junk", 100))); err == nil {
		w.Fatal("junk was accepted")
	}
	if _, err := a.put("/case/cut.tgz", tgz(w, 1000, 7)[:500]); err == nil {
		w.Fatal("a cut bundle was accepted")
	}
	w.as("globex").mustPut("/g.tgz", tgz(w, 1000, 8))
}

func TestEraseRefuses(t *testing.T) {
	w := newWorld(t)
	w.fill()
	u := w.as("acme").create("/case/running.tgz", fresh)
	tell := func(e Erased) { t.Errorf("%+v is gone", e) }
	for _, c := range []struct{ tenant, dir string }{{"acme", ""}, {"acme", "case"}, {"", ""}, {"../acme", ""}, {"acme", "../globex"}, {"acme", "."}, {"acme", "/case"}} {
		if err := w.tree.Erase(ctx, auth.Tenant(c.tenant), c.dir, tell); err == nil {
			t.Errorf("%q %q was erased", c.tenant, c.dir)
		}
	}
	if err := u.Discard(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestTeeTellsBoth: every function of both is called once, whatever is added.
func TestTeeTellsBoth(t *testing.T) {
	var calls []string
	all := func(who string) Events {
		var e Events
		v := reflect.ValueOf(&e).Elem()
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func([]reflect.Value) []reflect.Value {
				calls = append(calls, who+name)
				return nil
			}))
		}
		return e
	}
	fire := func(e Events) {
		v := reflect.ValueOf(e)
		for i := range v.NumField() {
			f := v.Field(i)
			if f.IsNil() {
				t.Errorf("%s is nil", v.Type().Field(i).Name)
				continue
			}
			args := make([]reflect.Value, f.Type().NumIn())
			for j := range args {
				args[j] = reflect.Zero(f.Type().In(j))
			}
			f.Call(args)
		}
	}
	n := reflect.TypeFor[Events]().NumField()
	fire(all("a").Tee(all("b")))
	if len(calls) != 2*n || calls[0] != "aOpened" || calls[1] != "bOpened" {
		t.Errorf("calls %q, want %d", calls, 2*n)
	}
	fire(Events{}.Tee(Events{}))
}
