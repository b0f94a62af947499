package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// newKey makes an ed25519 key.
func newKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return wrapKey(t, pub)
}

func newRSA(t testing.TB, bits int) ssh.PublicKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return wrapKey(t, &k.PublicKey)
}

func wrapKey(t testing.TB, pub any) ssh.PublicKey {
	t.Helper()
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// securityKey makes the sk- kind of an ed25519 key (PROTOCOL.u2f of OpenSSH).
func securityKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wire := ssh.Marshal(struct {
		Kind        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, pub, "ssh:"})
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func line(k ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) }

// cheapHash is a hash that costs nothing and belongs to no password.
const cheapHash = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"

var acme = []TenantInfo{{Name: "acme"}}

func TestParseTenant(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"acme", true}, {"a", true}, {"0", true}, {"a.b-c_d", true}, {"receiptsx", true}, {"com10", true},
		{strings.Repeat("a", 64), true},
		{"", false}, {strings.Repeat("a", 65), false}, {"Acme", false}, {".a", false}, {"-a", false}, {"_a", false},
		{"a.", false}, {"a/b", false}, {"..", false}, {"a b", false}, {"a\x00", false}, {"käse", false}, {"a\n", false},
		{"a@b", false}, {"a+b", false},
		{"receipts", false}, {"con", false}, {"nul.tgz", false}, {"lpt9", false},
	} {
		got, err := ParseTenant(c.name)
		if (err == nil) != c.ok || c.ok && string(got) != c.name {
			t.Errorf("ParseTenant(%q): got %q, %v; want ok=%v", c.name, got, err, c.ok)
		}
		if !c.ok && got != "" {
			t.Errorf("ParseTenant(%q): an error comes with %q", c.name, got)
		}
	}
}

func TestCheckAccountName(t *testing.T) {
	for name, ok := range map[string]bool{
		"acme-ci": true, "receipts": true, "0.1": true, "": false, "a@b": false, "a+b": false, "ROOT": false, "a/../b": false,
	} {
		if err := CheckAccountName(name); (err == nil) != ok {
			t.Errorf("CheckAccountName(%q): got %v, want ok=%v", name, err, ok)
		}
	}
	if err := CheckAccountName(strings.Repeat("x", 1<<20)); len(err.Error()) > 200 {
		t.Errorf("a long name makes an error of %d bytes", len(err.Error()))
	}
}

func TestParseRole(t *testing.T) {
	for s, want := range map[string]Role{"customer": Customer, "support": Support, "none": None, "": None, "Customer": None} {
		got, err := ParseRole(s)
		if got != want || (err == nil) != (want != None) {
			t.Errorf("ParseRole(%q): got %v, %v; want %v", s, got, err, want)
		}
	}
}

func TestParseKey(t *testing.T) {
	good := line(newKey(t))
	for _, c := range []struct{ name, line, want string }{
		{"plain", good, ""},
		{"a comment", good + " me@host", ""},
		{"a security key", line(securityKey(t)), ""},
		{"rsa 2048", line(newRSA(t, 2048)), ""},
		{"rsa 1024", line(newRSA(t, 1024)), "1024"},
		{"options", `from="10.0.0.1" ` + good, "option"},
		{"two lines", good + "\n" + good, "more than one line"},
		{"a private key", "-----BEGIN OPENSSH PRIVATE KEY-----", "private key"},
		{"cut", "ssh-ed25519 AAAA", "not a public key"},
		{"nothing", "", "not a public key"},
		{"a comment line", "# " + good, "not a public key"},
	} {
		_, _, err := ParseKey(c.line)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, comment, err := ParseKey(good + " me@host"); err != nil || comment != "me@host" {
		t.Errorf("comment: got %q, %v; want me@host", comment, err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ParseKey(line(wrapKey(t, &p256.PublicKey))); err != nil {
		t.Errorf("ecdsa: %v", err)
	}
}

// TestParseKeyRefusesCertificates: nobody here looks at principals or dates.
func TestParseKeyRefusesCertificates(t *testing.T) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: newKey(t), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ParseKey(line(cert)); err == nil {
		t.Error("a certificate was let in")
	}
}

func TestDirectoryFinds(t *testing.T) {
	d, err := NewDirectory(
		[]TenantInfo{{Name: "globex"}, {Name: "acme", Quota: 5, Retention: time.Hour}},
		[]Account{{Name: "acme", Role: Customer, Tenant: "acme"}, {Name: "desk", Role: Support, Tenants: []Tenant{"acme"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.Tenants(), []Tenant{"acme", "globex"}; !slices.Equal(got, want) {
		t.Errorf("tenants: got %v, want %v", got, want)
	}
	if got, ok := d.Tenant("acme"); !ok || got.Quota != 5 || got.Retention != time.Hour {
		t.Errorf("tenant acme: got %v, %v", got, ok)
	}
	if _, ok := d.Tenant("nobody"); ok {
		t.Error("a tenant that is not there was found")
	}
	if a := d.Account("desk"); a == nil || a.Role != Support {
		t.Errorf("account desk: got %v", a)
	}
	if d.Account("nobody") != nil || d.Len() != 2 {
		t.Errorf("got %v and %d accounts, want none and 2", d.Account("nobody"), d.Len())
	}
}

// TestDirectoryIsASnapshot: what the caller does to its slices changes nothing.
func TestDirectoryIsASnapshot(t *testing.T) {
	keys, tenants := []ssh.PublicKey{newKey(t)}, []Tenant{"acme"}
	first := keys[0]
	accounts := []Account{{Name: "desk", Role: Support, Tenants: tenants, Keys: keys}}
	d, err := NewDirectory(acme, accounts)
	if err != nil {
		t.Fatal(err)
	}
	accounts[0].Role, keys[0], tenants[0] = None, newKey(t), "globex"
	if a := d.Account("desk"); a.Role != Support || !a.lists(first.Marshal()) || a.Tenants[0] != "acme" {
		t.Errorf("the directory changed: %v", a)
	}
}

func TestDirectoryRefuses(t *testing.T) {
	good := Account{Name: "acme", Role: Customer, Tenant: "acme"}
	with := func(change func(*Account)) []Account {
		a := good
		change(&a)
		return []Account{{Name: "first", Role: Support}, a}
	}
	for _, c := range []struct {
		name     string
		tenants  []TenantInfo
		accounts []Account
		place    string
	}{
		{"a tenant's name", []TenantInfo{{Name: "../x"}}, nil, "tenants[0].name"},
		{"a tenant twice", []TenantInfo{{Name: "acme"}, {Name: "acme"}}, nil, "tenants[1].name"},
		{"a quota below 0", []TenantInfo{{Name: "acme", Quota: -1}}, nil, "tenants[0].quota"},
		{"a retention below 0", []TenantInfo{{Name: "acme", Retention: -1}}, nil, "tenants[0].retention"},
		{"an account's name", acme, with(func(a *Account) { a.Name = "a/b" }), "accounts[1].name"},
		{"an account twice", acme, with(func(a *Account) { a.Name = "first" }), "accounts[1].name"},
		{"no role", acme, with(func(a *Account) { a.Role = None }), "accounts[1].role"},
		{"an unheard-of role", acme, with(func(a *Account) { a.Role = 7 }), "accounts[1].role"},
		{"a customer without tenant", acme, with(func(a *Account) { a.Tenant = "" }), "accounts[1].tenant"},
		{"an unknown tenant", nil, with(func(*Account) {}), "accounts[1].tenant"},
		{"a customer with a list", acme, with(func(a *Account) { a.Tenants = []Tenant{"acme"} }), "accounts[1].tenants"},
		{"a customer who expands", acme, with(func(a *Account) { a.Expand = true }), "accounts[1].expand"},
		{"support with a tenant", acme, with(func(a *Account) { a.Role = Support }), "accounts[1].tenant"},
		{"support of an unknown tenant", nil, with(func(a *Account) { a.Role, a.Tenant, a.Tenants = Support, "", []Tenant{"x"} }), "accounts[1].tenants"},
		{"a short rsa key", acme, with(func(a *Account) { a.Keys = []ssh.PublicKey{newRSA(t, 1024)} }), "accounts[1].keys"},
		{"no key at all", acme, with(func(a *Account) { a.Keys = []ssh.PublicKey{nil} }), "accounts[1].keys"},
		{"too many keys", acme, with(func(a *Account) { a.Keys = slices.Repeat([]ssh.PublicKey{newKey(t)}, maxKeys+1) }), "accounts[1].keys"},
		{"a plain password", acme, with(func(a *Account) { a.Password = "hunter2" }), "accounts[1].password"},
	} {
		_, err := NewDirectory(c.tenants, c.accounts)
		var wrong *InvalidError
		if !errors.As(err, &wrong) {
			t.Errorf("%s: got %v, want an InvalidError", c.name, err)
			continue
		}
		if got := fmt.Sprintf("%s[%d].%s", wrong.List, wrong.Index, wrong.Field); got != c.place {
			t.Errorf("%s: got %s, want %s", c.name, got, c.place)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", c.name, err)
		}
	}
}

// TestDirectoryNamesTheAccountOfABadHash: of a hundred thousand, which?
func TestDirectoryNamesTheAccountOfABadHash(t *testing.T) {
	_, err := NewDirectory(acme, []Account{{Name: "acme-ci", Role: Customer, Tenant: "acme", Password: "$argon2id$v=19$m=999999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"}})
	if err == nil || !strings.Contains(err.Error(), `"acme-ci"`) || !strings.Contains(err.Error(), "m=999999999") {
		t.Errorf("got %v, want the account and the cost", err)
	}
}

func BenchmarkDirectory(b *testing.B) {
	key := newKey(b)
	accounts := make([]Account, 100_000)
	for i := range accounts {
		accounts[i] = Account{Name: fmt.Sprintf("acme-%d", i), Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{key}, Password: cheapHash}
	}
	for b.Loop() {
		if _, err := NewDirectory(acme, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
