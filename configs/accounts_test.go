package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const sample = `# Accounts of the west
tenants:
  - {name: acme, quota: 500GiB, retention: 90d} # the first

accounts:
  # CI of acme
  - {name: ci, role: customer, tenant: acme, keys: ["ssh-ed25519 AAAA ci"]}
  # people
  - name: desk # Ann
    role: support
    tenants: [acme]
    expand: true
# end
`

func names(a Accounts) (list []string) {
	for _, x := range a.Accounts {
		list = append(list, x.Name)
	}
	return list
}

func TestLoadAccounts(t *testing.T) {
	got, err := LoadAccounts(write(t, "a.yaml", sample))
	if err != nil {
		t.Fatal(err)
	}
	want := Accounts{
		Tenants: []Tenant{{Name: "acme", Quota: 500 << 30, Retention: Duration(90 * day), Line: 3}},
		Accounts: []Account{
			{Name: "ci", Role: "customer", Tenant: "acme", Keys: []string{"ssh-ed25519 AAAA ci"}, Line: 7},
			{Name: "desk", Role: "support", Tenants: []string{"acme"}, Expand: true, Line: 9},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, empty := range []string{"", "# nothing\n", "accounts:\ntenants: []\n"} {
		if got, err := LoadAccounts(write(t, "a.yaml", empty)); err != nil || len(got.Accounts) != 0 {
			t.Errorf("%q: got %v, %v", empty, got, err)
		}
	}
}

func TestLoadAccountsRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"accounts:\n  - {name: a, role: custmer}", `a.yaml:2: accounts[0].role: "custmer" is neither customer nor support`},
		{"accounts:\n  - {name: a, role: support}\n  - {rolle: support}", "a.yaml:3: accounts[1].rolle: unknown key: did you mean role?"},
		{"accounts:\n  - {role: support}", "accounts[0].name"},
		{"accounts: [null]", "accounts[0].name"},
		{"accounts: [{name: a, role: support, expand: maybe}]", "neither true nor false"},
		{"accounts: [{name: a, role: support, keys: k}]", "accounts[0].keys: want a list"},
		{"accounts: [{name: a, \"-\": 5, role: support}]", "unknown key"},
		{"tenants: [{name: a, quota: lots}]", "tenants[0].quota"},
		{"tenants: [{name: a, retention: 90}]", "tenants[0].retention: 90 is a number without a unit"},
		{"tenants: []\n---\naccounts: []", "one YAML document"},
		{"tenants: &t []\naccounts: *t", "aliases"},
		{"a: [", "not YAML"},
	} {
		_, err := LoadAccounts(write(t, "a.yaml", c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line with %q", c.text, err, c.want)
		}
	}
	if _, err := LoadAccounts(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "bundleup account add") {
		t.Errorf("a missing file: got %v", err)
	}
}

func TestAddAndRemove(t *testing.T) {
	path := write(t, "a.yaml", sample)
	if err := AddAccount(path, Account{Name: "new", Role: "customer", Tenant: "globex", Keys: []string{"ssh-ed25519 BBBB x"}}); err != nil {
		t.Fatal(err)
	}
	got, err := LoadAccounts(path)
	if err != nil || !reflect.DeepEqual(names(got), []string{"ci", "desk", "new"}) || len(got.Tenants) != 2 {
		t.Fatalf("after add: got %+v, %v", got, err)
	}
	if err := RemoveAccount(path, "ci"); err != nil {
		t.Fatal(err)
	}
	got, err = LoadAccounts(path)
	if err != nil || !reflect.DeepEqual(names(got), []string{"desk", "new"}) {
		t.Fatalf("after remove: got %+v, %v", got, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, comment := range []string{"# Accounts of the west", "# the first", "# people", "# Ann", "# end"} {
		if !strings.Contains(string(text), comment) {
			t.Errorf("the comment %q is gone:\n%s", comment, text)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the file is left: %v, %v", left, err)
	}
}

func TestAddToNothing(t *testing.T) {
	for _, text := range []string{"", "# Ask Ann first\n", "# Ask Ann first", "accounts:\n", "accounts: []\ntenants: []\n", "{}\n"} {
		path := write(t, "a.yaml", text)
		if text == "" {
			os.Remove(path)
		}
		if err := AddAccount(path, Account{Name: "a", Role: "customer", Tenant: "acme"}); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, err := LoadAccounts(path)
		if err != nil || len(got.Accounts) != 1 || len(got.Tenants) != 1 {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
		i, err := os.Stat(path)
		if err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%q: mode %v, %v", text, i.Mode(), err)
		}
		if now, _ := os.ReadFile(path); strings.Contains(text, "Ann") && !strings.Contains(string(now), "# Ask Ann first") {
			t.Errorf("%q: the comment is gone: %q", text, now)
		}
	}
}

// TestEditRefuses: what is refused leaves the file as it was, to the byte.
func TestEditRefuses(t *testing.T) {
	second := sample + "---\naccounts: [{name: other, role: support}]\n"
	for _, c := range []struct {
		name, text, want string
		edit             func(string) error
	}{
		{"a name that is taken", sample, "exists already", func(p string) error { return AddAccount(p, Account{Name: "ci", Role: "customer", Tenant: "acme"}) }},
		{"an unknown tenant", sample, `tenant "nosuch"`, func(p string) error {
			return AddAccount(p, Account{Name: "x", Role: "support", Tenants: []string{"nosuch"}})
		}},
		{"nobody", sample, "no account", func(p string) error { return RemoveAccount(p, "nobody") }},
		{"a broken file", "accounts: [", "not YAML", func(p string) error { return RemoveAccount(p, "ci") }},
		{"two documents", second, "one YAML document", func(p string) error { return RemoveAccount(p, "ci") }},
		{"a role that cannot be read back", sample, "neither", func(p string) error { return AddAccount(p, Account{Name: "x", Role: "king"}) }},
	} {
		path := write(t, "a.yaml", c.text)
		if err := c.edit(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != c.text {
			t.Errorf("%s: the file has changed: %q, %v", c.name, now, err)
		}
	}
}

// TestEditKeepsWhoMayRead: the daemon must be able to read what its operator edits.
func TestEditKeepsWhoMayRead(t *testing.T) {
	path := write(t, "a.yaml", sample)
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 1234
	}
	if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(filepath.Dir(path), "link.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAccount(link, "ci"); err != nil {
		t.Fatal(err)
	}
	i, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := i.Sys().(*syscall.Stat_t)
	if int(s.Uid) != uid || int(s.Gid) != gid || i.Mode().Perm() != 0o640 {
		t.Errorf("got %d:%d %v, want %d:%d and -rw-r-----", s.Uid, s.Gid, i.Mode(), uid, gid)
	}
	if i, err := os.Lstat(link); err != nil || i.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", i.Mode(), err)
	}
	if got, err := LoadAccounts(path); err != nil || len(got.Accounts) != 1 {
		t.Errorf("behind the link: got %v, %v", got, err)
	}
}

func TestEditsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := AddAccount(path, Account{Name: fmt.Sprintf("a%d", i), Role: "customer", Tenant: "acme"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, err := LoadAccounts(path); err != nil || len(got.Accounts) != 16 || len(got.Tenants) != 1 {
		t.Errorf("got %d accounts, %d tenants, %v", len(got.Accounts), len(got.Tenants), err)
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add(sample)
	f.Add("accounts: [{name: a, role: support, keys: [\"x # y\"]}]")
	f.Add("# only\n")
	f.Fuzz(func(t *testing.T, s string) {
		before, err := decodeAccounts("a.yaml", []byte(s))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: an error of several lines: %v", s, err)
			}
			return
		}
		// What can be read can be edited, and nothing else changes, or it is
		// refused and nothing changes at all.
		path := write(t, "a.yaml", s)
		if err := AddAccount(path, Account{Name: "zz-new", Role: "support"}); err != nil {
			if now, _ := os.ReadFile(path); string(now) != s {
				t.Errorf("%q: refused with %v, but changed to %q", s, err, now)
			}
			return
		}
		after, err := LoadAccounts(path)
		if err != nil {
			t.Fatalf("%q: after an edit: %v", s, err)
		}
		for i := range after.Accounts {
			after.Accounts[i].Line = 0
		}
		for i := range before.Accounts {
			before.Accounts[i].Line = 0
		}
		if n := len(before.Accounts); len(after.Accounts) != n+1 || n > 0 && !reflect.DeepEqual(after.Accounts[:n], before.Accounts) {
			t.Errorf("%q: accounts %+v became %+v", s, before.Accounts, after.Accounts)
		}
	})
}

func BenchmarkLoadAccounts(b *testing.B) {
	var s strings.Builder
	s.WriteString("tenants: [{name: acme}]\naccounts:\n")
	for i := range 100_000 {
		fmt.Fprintf(&s, "  - name: acct-%d\n    role: customer\n    tenant: acme\n    keys:\n      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3Xo1BqZ9m1mJ3Xo1BqZ9m1mJ3Xo1BqZ9m1mJ3Xo1Bq ci@acme-%d\n", i, i)
	}
	path := write(b, "a.yaml", s.String())
	for b.Loop() {
		if a, err := LoadAccounts(path); err != nil || len(a.Accounts) != 100_000 {
			b.Fatal(len(a.Accounts), err)
		}
	}
}
