package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

var tokenNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func tokenKey(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func issue(t testing.TB, key ed25519.PrivateKey, want Token) (Token, string) {
	t.Helper()
	got, password, err := IssueToken(key, want)
	if err != nil {
		t.Fatal(err)
	}
	return got, password
}

func caseToken() Token {
	return Token{Tenant: "acme", Case: "8423", Expires: tokenNow.Add(72 * time.Hour), MaxSize: 50 << 30}
}

func TestTokenRoundTrip(t *testing.T) {
	public, private := tokenKey(t)
	other, _ := tokenKey(t)
	want, password := issue(t, private, caseToken())
	if want.User() != "acme+8423" || len(password) != 120 || !strings.HasPrefix(password, "bup_") {
		t.Errorf("user %q, password %q", want.User(), password)
	}
	if i := strings.IndexFunc(password, func(r rune) bool { return !alphanumeric(r|0x20) && r != '-' && r != '_' }); i >= 0 {
		t.Errorf("%q has %q, which a shell or a URL may take for its own", password, password[i])
	}
	got, err := ReadToken([]ed25519.PublicKey{other, public}, want.User(), []byte(password))
	if err != nil || !got.Expires.Equal(want.Expires) {
		t.Fatalf("got %+v, %v", got, err)
	}
	got.Expires = want.Expires
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if _, err := ReadToken([]ed25519.PublicKey{other}, want.User(), []byte(password)); err != ErrToken {
		t.Errorf("with another key: %v", err)
	}
	if id, err := ParseTokenID(want.ID.String()); err != nil || id != want.ID {
		t.Errorf("the ID reads as %v, %v", id, err)
	}
}

// TestTokenForgeries changes every bit of a token, and moves it to other users.
func TestTokenForgeries(t *testing.T) {
	public, private := tokenKey(t)
	keys := []ed25519.PublicKey{public}
	want, password := issue(t, private, caseToken())
	blob, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(password, "bup_"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range blob {
		for bit := range 8 {
			b := bytes.Clone(blob)
			b[i] ^= 1 << bit
			if _, err := ReadToken(keys, want.User(), []byte("bup_"+base64.RawURLEncoding.EncodeToString(b))); err != ErrToken {
				t.Errorf("with bit %d of byte %d changed: %v", bit, i, err)
			}
		}
	}
	for _, user := range []string{"", "acme", "acme+", "+8423", "acme+8424", "globex+8423", "acme+842", "acme+84233", "acm+e8423", "Acme+8423", "acme+8423+", "acme+../8423"} {
		if _, err := ReadToken(keys, user, []byte(password)); err != ErrToken {
			t.Errorf("as %q: %v", user, err)
		}
	}
	for _, p := range []string{"", "bup_", password + "A", password[:len(password)-1], password[4:], password + "\n", strings.Replace(password, "bup_", "bup-", 1), password[:50] + "\n" + password[51:]} {
		if _, err := ReadToken(keys, want.User(), []byte(p)); err != ErrToken {
			t.Errorf("with %q: %v", p, err)
		}
	}
}

func TestIssueTokenRefuses(t *testing.T) {
	_, private := tokenKey(t)
	for name, change := range map[string]func(*Token){
		"no tenant":         func(w *Token) { w.Tenant = "" },
		"a path as tenant":  func(w *Token) { w.Tenant = "../x" },
		"no case":           func(w *Token) { w.Case = "" },
		"a path as case":    func(w *Token) { w.Case = "a/b" },
		"the receipts":      func(w *Token) { w.Case = "Receipts" },
		"a bundle's name":   func(w *Token) { w.Case = "x.TGZ" },
		"a plus":            func(w *Token) { w.Case = "a+b" },
		"a hidden name":     func(w *Token) { w.Case = ".x" },
		"no expiry":         func(w *Token) { w.Expires = time.Time{} },
		"an expiry too far": func(w *Token) { w.Expires = time.Unix(1<<32, 0) },
		"a negative size":   func(w *Token) { w.MaxSize = -1 },
		"a size too large":  func(w *Token) { w.MaxSize = 1 << 48 },
	} {
		w := caseToken()
		change(&w)
		if _, p, err := IssueToken(private, w); err == nil || p != "" {
			t.Errorf("%s: got %q, %v", name, p, err)
		}
	}
}

// TestTokenLogin: a good token costs no hash; every other one costs and says what a
// wrong password does.
func TestTokenLogin(t *testing.T) {
	public, private := tokenKey(t)
	_, foreign := tokenKey(t)
	r := newRegistry(t, Account{Name: "acme", Role: Customer, Tenant: "acme", Password: hashOf(t, "secret")})
	r.now = func() time.Time { return tokenNow }
	hashes := 0
	r.derive = func(p []byte, h *phc) []byte {
		hashes++
		return derive(p, h)
	}
	good, password := issue(t, private, caseToken())
	revoked, revokedPassword := issue(t, private, caseToken())
	late := caseToken()
	late.Expires = tokenNow
	_, expiredPassword := issue(t, private, late)
	gone := caseToken()
	gone.Tenant = "nosuch"
	_, gonePassword := issue(t, private, gone)
	_, foreignPassword := issue(t, foreign, caseToken())
	trust := Trust{TokenKeys: []ed25519.PublicKey{public}, RevokedTokens: map[TokenID]struct{}{revoked.ID: {}}}
	if err := r.SetTrust(trust); err != nil {
		t.Fatal(err)
	}
	a, err := r.Password(t.Context(), good.User(), []byte(password))
	if err != nil || hashes != 0 {
		t.Fatalf("got %+v, %v after %d hashes", a, err, hashes)
	}
	if a.Name != "acme+8423" || a.Role != Customer || a.Tenant != "acme" || a.Case != "8423" || a.MaxSize != 50<<30 || a.Token != good.ID || !a.Expires.Equal(good.Expires) {
		t.Errorf("the account is %+v", a)
	}
	for _, c := range []struct{ what, user, password string }{
		{"revoked", good.User(), revokedPassword},
		{"expired", good.User(), expiredPassword},
		{"of an unknown tenant", "nosuch+8423", gonePassword},
		{"of another key", good.User(), foreignPassword},
		{"of another case", "acme+8424", password},
		{"as the account's password", "acme", password},
		{"a password in its place", good.User(), "secret"},
		{"the account's password", "acme", "wrong"},
	} {
		hashes = 0
		a, err := r.Password(t.Context(), c.user, []byte(c.password))
		if a != nil || err != ErrDenied || hashes != 1 {
			t.Errorf("%s: got %v, %v after %d hashes; want ErrDenied after one", c.what, a, err, hashes)
		}
	}
}

func TestSetTrustRefuses(t *testing.T) {
	r := newRegistry(t)
	for _, trust := range []Trust{
		{TokenKeys: []ed25519.PublicKey{make([]byte, 31)}},
		{TokenKeys: make([]ed25519.PublicKey, 65)},
	} {
		if err := r.SetTrust(trust); err == nil {
			t.Errorf("%+v was let in", trust)
		}
	}
}

func FuzzToken(f *testing.F) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	keys := []ed25519.PublicKey{private.Public().(ed25519.PublicKey)}
	want, password, err := IssueToken(private, caseToken())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(want.User(), []byte(password))
	f.Add("acme+", []byte("bup_"))
	f.Add("+", []byte("bup_"+strings.Repeat("A", 116)))
	f.Fuzz(func(t *testing.T, user string, text []byte) {
		got, err := ReadToken(keys, user, text)
		switch {
		case err != nil && (got != nil || !errors.Is(err, ErrToken)):
			t.Errorf("%q, %q: %v with %v", user, text, got, err)
		case err == nil && (got.User() != user || CheckCase(got.Case) != nil):
			t.Errorf("%q, %q: read as %+v", user, text, got)
		case err == nil && user == want.User() && string(text) != password && got.ID == want.ID:
			t.Errorf("%q is another spelling of the token", text)
		}
	})
}
