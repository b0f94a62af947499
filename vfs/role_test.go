package vfs

import (
	"testing"

	"bundleup/auth"
)

// The role table: what each account may do with each kind of path. Every cell is
// a decision; "missing" is also the answer for what is forbidden to know.
func TestRoleTable(t *testing.T) {
	type cells struct{ stat, list, open, create, rename, remove, mkdir string }
	for _, row := range []struct {
		account, path string
		want          cells
	}{
		//                                             stat       list       open       create     rename     remove     mkdir
		{"acme", "/", cells{"ok", "ok", "denied", "refused", "denied", "denied", "exists"}},
		{"acme", "/a.tgz", cells{"ok", "missing", "denied", "ok", "denied", "denied", "refused"}},
		{"acme", "/case", cells{"ok", "ok", "denied", "refused", "denied", "denied", "exists"}},
		{"acme", "/case/b.tgz", cells{"ok", "missing", "denied", "ok", "denied", "denied", "refused"}},
		{"acme", "/kept.tgz", cells{"ok", "missing", "denied", "ok", "refused", "ok", "refused"}},
		{"acme", "/whole.tgz.part", cells{"ok", "missing", "denied", "ok", "ok", "ok", "ok"}},
		{"acme", "/none.tgz", cells{"missing", "missing", "missing", "ok", "missing", "missing", "refused"}},
		{"acme", "/none", cells{"missing", "missing", "missing", "refused", "missing", "missing", "ok"}},
		{"acme", "/none/x.tgz", cells{"missing", "missing", "missing", "missing", "missing", "missing", "refused"}},
		{"acme", "/receipts", cells{"ok", "ok", "missing", "refused", "denied", "denied", "refused"}},
		{"acme", "/receipts/a.tgz.json", cells{"ok", "missing", "ok", "refused", "denied", "denied", "refused"}},
		{"acme", "/receipts/none.tgz.json", cells{"missing", "missing", "missing", "refused", "denied", "denied", "refused"}},
		{"acme", "/acme", cells{"missing", "missing", "missing", "refused", "missing", "missing", "ok"}},
		{"acme", "/../globex/g.tgz", cells{"missing", "missing", "missing", "missing", "missing", "missing", "refused"}},
		{"acme", "/a.tgz.d", cells{"missing", "missing", "missing", "refused", "missing", "missing", "refused"}},

		{"acme-ci", "/kept.tgz", cells{"ok", "missing", "denied", "ok", "refused", "ok", "refused"}},
		{"globex", "/a.tgz", cells{"missing", "missing", "missing", "ok", "missing", "missing", "refused"}},
		{"globex", "/kept.tgz", cells{"missing", "missing", "missing", "ok", "missing", "missing", "refused"}},

		{"desk", "/", cells{"ok", "ok", "missing", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme", cells{"ok", "ok", "refused", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme/a.tgz", cells{"ok", "missing", "ok", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme/case", cells{"ok", "ok", "refused", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme/kept.tgz", cells{"missing", "missing", "missing", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme/whole.tgz.part", cells{"missing", "missing", "missing", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme/receipts", cells{"ok", "ok", "missing", "denied", "denied", "denied", "denied"}},
		{"desk", "/acme/receipts/a.tgz.json", cells{"ok", "missing", "ok", "denied", "denied", "denied", "denied"}},
		{"desk", "/globex/g.tgz", cells{"ok", "missing", "ok", "denied", "denied", "denied", "denied"}},
		{"desk", "/initech", cells{"missing", "missing", "missing", "denied", "denied", "denied", "denied"}},
		{"desk-a", "/acme/a.tgz", cells{"ok", "missing", "ok", "denied", "denied", "denied", "denied"}},
		{"desk-a", "/globex", cells{"missing", "missing", "missing", "denied", "denied", "denied", "denied"}},
		{"desk-a", "/globex/g.tgz", cells{"missing", "missing", "missing", "denied", "denied", "denied", "denied"}},
	} {
		t.Run(row.account+" "+row.path, func(t *testing.T) {
			// Every operation gets a world of its own: some change it.
			list := func(v View) error {
				for _, err := range v.List(ctx, row.path) {
					if err != nil {
						return err
					}
				}
				return nil
			}
			for _, op := range []struct {
				name, want string
				do         func(v View) error
			}{
				{"stat", row.want.stat, func(v View) error { _, err := v.Stat(ctx, row.path); return err }},
				{"list", row.want.list, list},
				{"open", row.want.open, func(v View) error { _, err := v.Open(ctx, row.path); return err }},
				{"create", row.want.create, func(v View) error { _, err := v.Create(ctx, row.path, fresh); return err }},
				{"rename", row.want.rename, func(v View) error { return v.Rename(ctx, row.path, "/to.tgz") }},
				{"remove", row.want.remove, func(v View) error { return v.Remove(ctx, row.path) }},
				{"mkdir", row.want.mkdir, func(v View) error { return v.Mkdir(ctx, row.path) }},
			} {
				if got := kind(op.do(roleWorld(t).as(row.account).View)); got != op.want {
					t.Errorf("%s: got %s, want %s", op.name, got, op.want)
				}
			}
		})
	}
}

// roleWorld has one of everything.
func roleWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	acme := w.as("acme")
	acme.mustPut("/a.tgz", tgz(t, 100, 1))
	if err := acme.Mkdir(ctx, "/case"); err != nil {
		t.Fatal(err)
	}
	acme.mustPut("/case/b.tgz", tgz(t, 100, 2))
	acme.mustPut("/whole.tgz.part", tgz(t, 100, 3))
	u := acme.create("/kept.tgz", fresh)
	u.Write(tgz(t, 5000, 4)[:100])
	if err := u.Suspend(ctx); err != nil {
		t.Fatal(err)
	}
	w.as("globex").mustPut("/g.tgz", tgz(t, 100, 5))
	return w
}

func TestAccountWithoutARoleGetsNoView(t *testing.T) {
	w := newWorld(t)
	for _, a := range []*auth.Account{accounts["nobody"], {Name: "odd", Role: auth.Role(7)}, {Name: "half", Role: auth.Customer}} {
		if v, err := w.tree.View(a, Peer{}); err == nil {
			t.Errorf("view of %q: got %T, want an error", a.Name, v)
		}
	}
}

func TestDenyAllDeniesAll(t *testing.T) {
	var v View = denyAll{}
	_, stat := v.Stat(ctx, "/")
	_, open := v.Open(ctx, "/")
	_, create := v.Create(ctx, "/", fresh)
	errs := []error{stat, open, create, v.Rename(ctx, "/", "/"), v.Remove(ctx, "/"), v.Mkdir(ctx, "/")}
	for _, err := range v.List(ctx, "/") {
		errs = append(errs, err)
	}
	for i, err := range errs {
		if kind(err) != "denied" {
			t.Errorf("operation %d: got %v, want denied", i, err)
		}
	}
	if len(errs) != 7 {
		t.Errorf("%d operations were tried, want 7", len(errs))
	}
}
