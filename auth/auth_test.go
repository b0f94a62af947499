package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func newKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHash(t testing.TB, password string) string {
	t.Helper()
	h, err := HashPassword([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newRegistry(t testing.TB, accounts ...Account) *Registry {
	t.Helper()
	d, err := NewDirectory([]Tenant{"globex", "acme"}, accounts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRegistry(d, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLogins(t *testing.T) {
	key, other := newKey(t), newKey(t)
	r := newRegistry(t,
		Account{Name: "acme", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{newKey(t), key}, Password: newHash(t, "secret")},
		Account{Name: "desk", Role: Support, Keys: []ssh.PublicKey{other}})
	hashes := 0
	r.hashed = func() { hashes++ }
	for _, c := range []struct {
		user     string
		key      ssh.PublicKey
		password string
		want     string
		hashes   int
	}{
		{"acme", key, "", "acme", 0},
		{"acme", other, "", "", 0},
		{"desk", other, "", "desk", 0},
		{"nobody", key, "", "", 0},
		{"acme", nil, "secret", "acme", 1},
		{"acme", nil, "Secret", "", 1},
		{"acme", nil, "", "", 1},
		{"desk", nil, "decoy", "", 1},
		{"nobody", nil, "decoy", "", 1},
		{"nobody", nil, "secret", "", 1},
		{"acme", nil, strings.Repeat("x", MaxPassword+1), "", 0},
	} {
		hashes = 0
		var a *Account
		var err error
		if c.key != nil {
			a, err = r.PublicKey(c.user, c.key)
		} else {
			a, err = r.Password(context.Background(), c.user, []byte(c.password))
		}
		switch {
		case c.want == "" && (a != nil || !errors.Is(err, ErrDenied)):
			t.Errorf("%s with %.10q: got %v, %v; want denied", c.user, c.password, a, err)
		case c.want != "" && (err != nil || a.Name != c.want):
			t.Errorf("%s with %.10q: got %v, %v; want %s", c.user, c.password, a, err, c.want)
		}
		if hashes != c.hashes {
			t.Errorf("%s with %.10q: %d hashes were computed, want %d", c.user, c.password, hashes, c.hashes)
		}
	}
}

func TestPasswordWaitsForItsTurn(t *testing.T) {
	r := newRegistry(t, Account{Name: "acme", Role: Customer, Tenant: "acme", Password: newHash(t, "secret")})
	r.slots <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Password(ctx, "acme", []byte("secret")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	<-r.slots
	if _, err := r.Password(context.Background(), "acme", []byte("secret")); err != nil {
		t.Errorf("with a free slot: %v", err)
	}
}

func TestSetTakesEffectAtOnce(t *testing.T) {
	key := newKey(t)
	r := newRegistry(t)
	if _, err := r.PublicKey("acme", key); err == nil {
		t.Fatal("an unknown account logged in")
	}
	d, err := NewDirectory([]Tenant{"acme"}, []Account{{Name: "acme", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{key}}})
	if err != nil {
		t.Fatal(err)
	}
	r.Set(d)
	if _, err := r.PublicKey("acme", key); err != nil {
		t.Errorf("after Set: %v", err)
	}
}

func TestDirectoryRefuses(t *testing.T) {
	keys := []ssh.PublicKey{newKey(t)}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	short, err := ssh.NewPublicKey(&weak.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	good := Account{Name: "acme", Role: Customer, Tenant: "acme", Keys: keys}
	for _, c := range []struct {
		name     string
		tenants  []Tenant
		accounts []Account
		want     string
	}{
		{"a tenant's name", []Tenant{"../x"}, nil, "tenant"},
		{"a tenant twice", []Tenant{"acme", "acme"}, nil, "twice"},
		{"an account's name", nil, []Account{{Name: "a/b", Role: Support, Keys: keys}}, "account name"},
		{"an account twice", []Tenant{"acme"}, []Account{good, good}, "taken"},
		{"no role", nil, []Account{{Name: "x", Keys: keys}}, "role"},
		{"a customer without tenant", nil, []Account{{Name: "x", Role: Customer, Keys: keys}}, "needs a tenant"},
		{"a customer with a list", []Tenant{"acme"}, []Account{{Name: "x", Role: Customer, Tenant: "acme", Tenants: []Tenant{"acme"}, Keys: keys}}, "not a list"},
		{"support with a tenant", []Tenant{"acme"}, []Account{{Name: "x", Role: Support, Tenant: "acme", Keys: keys}}, "list of tenants"},
		{"an unknown tenant", nil, []Account{good}, "not listed"},
		{"an unknown tenant in a list", nil, []Account{{Name: "x", Role: Support, Tenants: []Tenant{"acme"}, Keys: keys}}, "not listed"},
		{"no credential", []Tenant{"acme"}, []Account{{Name: "acme", Role: Customer, Tenant: "acme"}}, "neither"},
		{"a short rsa key", []Tenant{"acme"}, []Account{{Name: "acme", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{short}}}, "2048"},
		{"a plain password", []Tenant{"acme"}, []Account{{Name: "acme", Role: Customer, Tenant: "acme", Password: "hunter2"}}, "argon2id"},
	} {
		_, err := NewDirectory(c.tenants, c.accounts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password", c.name)
		}
	}
}

func TestParseKey(t *testing.T) {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(newKey(t))))
	for _, c := range []struct{ line, want string }{
		{line, ""},
		{line + " me@host", ""},
		{`from="10.0.0.1" ` + line, "options"},
		{line + "\n" + line, "several"},
		{"ssh-ed25519 AAAA", "not a public key"},
		{"", "not a public key"},
		{"ssh-dss AAAAB3NzaC1kc3MAAACBAA== x", "not a public key"},
	} {
		_, err := ParseKey(c.line)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.30q: got %v, want %q", c.line, err, c.want)
		}
	}
}

func TestParsePHCBounds(t *testing.T) {
	good := newHash(t, "x")
	if _, err := parsePHC(good); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"", "$", "plain", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=19456", "m=99999999", 1), strings.Replace(good, "m=19456", "m=1", 1),
		strings.Replace(good, "t=2", "t=0", 1), strings.Replace(good, "t=2", "t=99", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=200", 1), strings.Replace(good, "p=1", "p=01", 1),
		good + "$", good[:len(good)-30],
	} {
		if _, err := parsePHC(s); err == nil {
			t.Errorf("%q was let in", s)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err == nil && (h.memory > maxMemory || h.time > maxTime || h.threads > maxThreads || h.String() != s) {
			t.Errorf("%q was let in as %v", s, h)
		}
	})
}

func BenchmarkDirectory(b *testing.B) {
	key := newKey(b)
	accounts := make([]Account, 100_000)
	for i := range accounts {
		accounts[i] = Account{Name: fmt.Sprintf("acme-%d", i), Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{key}}
	}
	for b.Loop() {
		if _, err := NewDirectory([]Tenant{"acme"}, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
