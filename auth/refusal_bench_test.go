package auth

import (
	"crypto/ed25519"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// BenchmarkRefusal is what a login costs that fails, by what is wrong with it, as a
// multiple of what a wrong password, or a wrong key, costs.
func BenchmarkRefusal(b *testing.B) {
	hash, err := HashPassword([]byte("correct horse"))
	if err != nil {
		b.Fatal(err)
	}
	d, err := NewDirectory([]TenantInfo{{Name: "acme"}}, []Account{
		{Name: "acme", Role: Customer, Tenant: "acme", Password: hash, Keys: []ssh.PublicKey{newKey(b)}},
		{Name: "keys", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{newKey(b)}},
	})
	if err != nil {
		b.Fatal(err)
	}
	r, err := NewRegistry(d, 1)
	if err != nil {
		b.Fatal(err)
	}
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := r.SetTrust(Trust{TokenKeys: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}}); err != nil {
		b.Fatal(err)
	}
	over, password, err := IssueToken(signer, Token{Tenant: "acme", Case: "1", Expires: time.Now().Add(-time.Hour)})
	if err != nil {
		b.Fatal(err)
	}
	key := newKey(b)
	secret := func(user, text string) func() error {
		return func() error { _, err := r.Password(b.Context(), user, []byte(text)); return err }
	}
	for _, group := range [][]refusal{{
		{"wrong-password", secret("acme", "wrong")}, {"unknown-user", secret("nobody", "wrong")},
		{"no-password", secret("keys", "wrong")}, {"expired-token", secret(over.User(), password)},
		{"forged-token", secret("acme+2", password)}, {"token-of-no-tenant", secret("globex+1", password)},
	}, {
		{"wrong-key", func() error { _, err := r.PublicKey("acme", key); return err }},
		{"key-of-unknown-user", func() error { _, err := r.PublicKey("nobody", key); return err }},
	}} {
		b.Run(group[0].name, func(b *testing.B) { compareRefusals(b, group) })
	}
}

// refusal is a login that fails.
type refusal struct {
	name string
	try  func() error
}

// compareRefusals tries all by turns, so that what else the machine does falls on
// each alike, and gives the medians as multiples of the first one's.
func compareRefusals(b *testing.B, group []refusal) {
	took := make([][]time.Duration, len(group))
	for b.Loop() {
		for _, i := range rand.Perm(len(group)) {
			begun := time.Now()
			if err := group[i].try(); err != ErrDenied {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(begun))
		}
	}
	for i, t := range took {
		slices.Sort(t)
		b.ReportMetric(t[len(t)/2].Seconds()/took[0][len(took[0])/2].Seconds(), group[i].name)
	}
}
