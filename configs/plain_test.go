package configs

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// checkPlain holds what the plain reader takes to what the YAML library makes of it.
func checkPlain(t *testing.T, text string) (taken bool) {
	t.Helper()
	var got Accounts
	if !decodePlain([]byte(text), &got) {
		return false
	}
	want, err := decodeYAML("a.yaml", []byte(text))
	if err != nil {
		t.Errorf("%q: the library says %v, the plain reader takes it as %+v", text, err, got)
		return true
	}
	if len(got.Accounts)+len(want.Accounts) == 0 {
		got.Accounts, want.Accounts = nil, nil
	}
	if len(got.Tenants)+len(want.Tenants) == 0 {
		got.Tenants, want.Tenants = nil, nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q:\n got %+v\nwant %+v", text, got, want)
	}
	return true
}

// whole is every key in the forms that people and AddAccount write.
const whole = `# all of it
tenants:
  - {name: acme, quota: 500GiB, retention: 90d}   # the first
  - name: globex
    quota: 1.5TiB

accounts:
  - {name: ci, role: customer, tenant: acme, keys: ["ssh-ed25519 AAAA+/= ci@acme", 'ssh-rsa BBBB'], disabled: true}
  - name: desk # Ann
    role: support
    tenants: [acme, globex]
    expand: true
    keys:
      - ssh-ed25519 AAAA ann@desk
      - "ssh-ed25519 BBBB # not a comment"
    password: $argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA
    require: [publickey, password]
    from: [192.0.2.0/24, "2001:db8::/32"]
    expires: 2027-01-31T18:00:00Z
    max_sessions: 4
    bandwidth: 10MiB
  - name: x
    role: customer
    keys:
    - ssh-ed25519 AAAA
    tenant: acme
`

func TestPlainReadsWhatPeopleWrite(t *testing.T) {
	for _, text := range []string{whole, sample, "tenants: [{name: acme}]\naccounts: []\n", "accounts:\n- name: a\n  role: support\n", ""} {
		if !checkPlain(t, text) {
			t.Errorf("%q is left to the library", text)
		}
	}
	path := filepath.Join(t.TempDir(), "a.yaml")
	a := Account{Name: "a", Role: "customer", Tenant: "acme", Keys: []string{"ssh-ed25519 AAAA x"}, Password: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
		Require: []string{"publickey"}, From: []string{"192.0.2.0/24"}, Expires: Time{time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)}, MaxSessions: 4, Bandwidth: 10 << 20}
	if err := AddAccount(path, a); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !checkPlain(t, string(text)) {
		t.Errorf("%q, which AddAccount wrote, is left to the library (%v)", text, err)
	}
	got, err := LoadAccounts(path)
	a.Line = 4
	if err != nil || !reflect.DeepEqual(got.Accounts, []Account{a}) {
		t.Errorf("got %+v, %v, want %+v", got.Accounts, err, a)
	}
}

// TestPlainLeavesTheRest: what needs thought goes to the library.
func TestPlainLeavesTheRest(t *testing.T) {
	for _, text := range []string{
		"accounts:\n  - name: a\n    role: customer\n     tenant: b\n", "accounts:\n  - name: |\n      a\n", "accounts:\n  - &x {name: a}\n", "accounts:\n  - *x\n",
		"accounts: # none\n", "accounts:\n", "accounts:\n  - name: null\n", "accounts:\n  - name: ~\n", "accounts:\n  - name: \"a\\n\"\n", "accounts:\n  - name: 'it''s'\n",
		"accounts:\n  - {name: a,\n     role: support}\n", "accounts:\n\t- name: a\n", "accounts:\r\n  - name: a\r\n", "accounts:\n  - name: ä\n", "accounts:\n  - !!str a\n",
		"---\naccounts:\n  - name: a\n", "accounts:\n  - name: a\n...\n", "accounts:\n  - name: a\naccounts:\n  - name: b\n", "other:\n  - name: a\n", "accounts:\n  - unknown: a\n",
		"accounts:\n  - name: a: b\n", "accounts:\n  - name: [a]\n", "accounts:\n  - {name: a, name: b}\n", "accounts:\n  - {name: a,}\n", "accounts:\n  - {name}\n", "accounts: {}\n",
		"accounts:\n  -   name: a\n", "accounts:\n  - name: a\n  role: b\n", "accounts:\n  - name: a\n - name: b\n", "accounts:\n  - name:a\n", "accounts:\n  - <<: a\n",
		"accounts:\n  - name: a b\n    c\n", "accounts:\n  - keys:\n    -\n", "accounts:\n  - keys:\n      - a\n       b\n", "  accounts:\n  - name: a\n", "accounts:\n  - name: \"a\"b\n",
	} {
		if checkPlain(t, text) {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add(whole)
	f.Add(sample)
	f.Add("accounts:\n  - {name: a, keys: [\"b\", 'c']} # d\ntenants: []\n")
	f.Add("accounts:\n- name: a\n  keys:\n  - b # c\n\n# d\n- name: e#f\n")
	f.Fuzz(func(t *testing.T, s string) { checkPlain(t, s) })
}

func TestTime(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"2027-01-31", "2027-01-31"}, {"2027-01-31T00:00:00Z", "2027-01-31"}, {"2027-01-31T18:00:00Z", "2027-01-31T18:00:00Z"},
		{"2027-01-31T18:00:00+02:00", "2027-01-31T16:00:00Z"}, {"tomorrow", ""}, {"", ""}, {"2027-13-01", ""}, {"2027", ""}, {"0001-01-01", ""},
	} {
		var v Time
		err := v.UnmarshalText([]byte(c.text))
		if (err == nil) != (c.want != "") || err == nil && v.String() != c.want {
			t.Errorf("%q: got %v, %v, want %q", c.text, v, err, c.want)
		}
	}
}

func TestRevokedTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "revoked")
	if ids, err := LoadRevokedTokens(path); err != nil || len(ids) != 0 {
		t.Errorf("a missing file: %v, %v", ids, err)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "a"} {
		wg.Go(func() {
			if err := AddRevokedToken(path, id, now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ids, err := LoadRevokedTokens(path)
	if err != nil || len(ids) != 3 {
		t.Errorf("got %v, %v", ids, err)
	}
	if err := os.WriteFile(path, []byte("# why\n\nx 2026 stolen\ny"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := AddRevokedToken(path, "z", now); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "# why\n\nx 2026 stolen\ny\nz 2026-11-24T12:00:00Z\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

// TestPlainMutations changes a file in small ways: whatever the plain reader still
// takes is what the library makes of it.
func TestPlainMutations(t *testing.T) {
	const pieces = " \n:#-{}[],\"'&*!|>%@`~?<=\\\t0aé"
	rng := rand.New(rand.NewPCG(1, 2))
	runes := []rune(pieces)
	taken := 0
	for range plainMutations {
		b := []byte([]string{whole, sample, "accounts:\n- {name: a, keys: [b, c]} # d\ntenants: []\n"}[rng.IntN(3)])
		for range 1 + rng.IntN(3) {
			at := rng.IntN(len(b))
			piece := string(runes[rng.IntN(len(runes))])
			switch rng.IntN(3) {
			case 0:
				b = slices.Insert(b, at, []byte(piece)...)
			case 1:
				b = slices.Delete(b, at, min(len(b), at+1+rng.IntN(3)))
			default:
				b = slices.Replace(b, at, at+1, []byte(piece)...)
			}
		}
		if checkPlain(t, string(b)) {
			taken++
		}
		if t.Failed() {
			return
		}
	}
	if taken < plainMutations/10 {
		t.Errorf("only %d of %d were taken: the test proves nothing", taken, plainMutations)
	}
}

// plainMutations is a run's length.
const plainMutations = 2000
