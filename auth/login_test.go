package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/ssh"
)

// newRegistry makes a Registry that hashes one password at once.
func newRegistry(t testing.TB, accounts ...Account) *Registry {
	t.Helper()
	d, err := NewDirectory(acme, accounts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRegistry(d, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hashOf(t testing.TB, password string) string {
	t.Helper()
	h, err := HashPassword([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// withCost is a hash that nobody knows the password of.
func withCost(c cost) string {
	h := phc{cost: c, salt: make([]byte, saltSize), sum: make([]byte, sumSize)}
	rand.Read(h.sum)
	return h.String()
}

func TestPublicKey(t *testing.T) {
	key, second, other := newKey(t), securityKey(t), newKey(t)
	r := newRegistry(t,
		Account{Name: "acme", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{key, second, second}},
		Account{Name: "desk", Role: Support, Keys: []ssh.PublicKey{other}},
		Account{Name: "locked", Role: Support})
	for _, c := range []struct {
		user string
		key  ssh.PublicKey
		want string
	}{
		{"acme", key, "acme"}, {"acme", second, "acme"}, {"desk", other, "desk"},
		{"acme", other, ""}, {"desk", key, ""}, {"locked", key, ""}, {"nobody", key, ""}, {"", key, ""}, {"acme", nil, ""},
	} {
		checkLogin(t, c.user, c.want)(r.PublicKey(c.user, c.key))
	}
}

// checkLogin checks what a login of user gave; an empty want is a denial.
func checkLogin(t testing.TB, user, want string) func(*Account, error) {
	t.Helper()
	return func(a *Account, err error) {
		t.Helper()
		switch {
		case want == "" && (a != nil || err != ErrDenied):
			t.Errorf("%s: got %v, %v; want ErrDenied and nothing else", user, a, err)
		case want != "" && (err != nil || a == nil || a.Name != want):
			t.Errorf("%s: got %v, %v; want %s", user, a, err, want)
		}
	}
}

// TestPasswordWork counts the hashes that a try costs: where the password is
// wrong, the user unknown or without a password, always one of the same cost.
func TestPasswordWork(t *testing.T) {
	r := newRegistry(t,
		Account{Name: "acme", Role: Customer, Tenant: "acme", Password: hashOf(t, "secret")},
		Account{Name: "desk", Role: Support, Keys: []ssh.PublicKey{newKey(t)}})
	var work []cost
	r.derive = func(p []byte, h *phc) []byte {
		work = append(work, h.cost)
		return derive(p, h)
	}
	for _, c := range []struct {
		user, password, want string
		hashes               int
	}{
		{"acme", "secret", "acme", 1},
		{"acme", "Secret", "", 1},
		{"acme", "", "", 1},
		{"desk", "secret", "", 1},
		{"nobody", "secret", "", 1},
		{"", "secret", "", 1},
		{"acme", strings.Repeat("x", MaxPassword), "", 1},
		{"acme", strings.Repeat("x", MaxPassword+1), "", 0},
		{"nobody", strings.Repeat("x", MaxPassword+1), "", 0},
	} {
		work = nil
		checkLogin(t, c.user, c.want)(r.Password(t.Context(), c.user, []byte(c.password)))
		if len(work) != c.hashes {
			t.Errorf("%s with %.10q: %d hashes, want %d", c.user, c.password, len(work), c.hashes)
		}
		for _, w := range work {
			if w != presetCost {
				t.Errorf("%s with %.10q: cost %v, want %v", c.user, c.password, w, presetCost)
			}
		}
	}
}

// TestUnknownUsersCostWhatRealOnesDo: in a file with hashes of two costs both are
// seen on unknown users too, and one unknown user always costs the same.
func TestUnknownUsersCostWhatRealOnesDo(t *testing.T) {
	cheap, dear := cost{8, 1, 1}, cost{16, 2, 1}
	r := newRegistry(t,
		Account{Name: "a", Role: Support, Password: withCost(cheap)},
		Account{Name: "b", Role: Support, Password: withCost(dear)})
	seen := make(map[cost]bool)
	var last cost
	r.derive = func(_ []byte, h *phc) []byte {
		last = h.cost
		return make([]byte, len(h.sum))
	}
	for i := range 100 {
		user := fmt.Sprintf("nobody-%d", i)
		checkLogin(t, user, "")(r.Password(t.Context(), user, []byte("x")))
		first := last
		checkLogin(t, user, "")(r.Password(t.Context(), user, []byte("y")))
		if last != first {
			t.Errorf("%s costs %v, then %v", user, first, last)
		}
		seen[first] = true
	}
	if len(seen) != 2 || !seen[cheap] || !seen[dear] {
		t.Errorf("unknown users cost %v, want both costs of the file", seen)
	}
}

// TestSomebodyElsesPassword: the stand-in's hash lets no one in.
func TestSomebodyElsesPassword(t *testing.T) {
	r := newRegistry(t, Account{Name: "acme", Role: Customer, Tenant: "acme", Password: hashOf(t, "secret")})
	checkLogin(t, "nobody", "")(r.Password(t.Context(), "nobody", []byte("secret")))
}

func TestNobodyHasAPassword(t *testing.T) {
	r := newRegistry(t, Account{Name: "desk", Role: Support})
	checkLogin(t, "desk", "")(r.Password(t.Context(), "desk", []byte("x")))
	checkLogin(t, "nobody", "")(r.Password(t.Context(), "nobody", []byte("")))
}

// TestPasswordTurns: never more at once than allowed, and who waits leaves with
// its context.
func TestPasswordTurns(t *testing.T) {
	d, err := NewDirectory(acme, []Account{{Name: "acme", Role: Customer, Tenant: "acme", Password: cheapHash}})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := NewRegistry(d, 2)
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		var running atomic.Int32
		r.derive = func(p []byte, h *phc) []byte {
			running.Add(1)
			<-release
			running.Add(-1)
			return derive(p, h)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var denied, left atomic.Int32
		for range 5 {
			wg.Go(func() {
				_, err := r.Password(ctx, "acme", []byte("x"))
				switch {
				case errors.Is(err, ErrDenied):
					denied.Add(1)
				case errors.Is(err, context.Canceled):
					left.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := running.Load(); n != 2 {
			t.Errorf("%d hashes at once, want 2", n)
		}
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if denied.Load() != 2 || left.Load() != 3 {
			t.Errorf("%d were denied and %d left, want 2 and 3", denied.Load(), left.Load())
		}
	})
}

// TestPasswordOfAPeerThatIsGone costs nothing, though a turn is free.
func TestPasswordOfAPeerThatIsGone(t *testing.T) {
	r := newRegistry(t, Account{Name: "acme", Role: Customer, Tenant: "acme", Password: cheapHash})
	r.derive = func([]byte, *phc) []byte {
		t.Error("a hash was computed")
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if _, err := r.Password(ctx, "acme", []byte("x")); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the context's end", err)
		}
	}
}

func TestSetTakesEffectAtOnce(t *testing.T) {
	key := newKey(t)
	r := newRegistry(t)
	checkLogin(t, "acme", "")(r.PublicKey("acme", key))
	d, err := NewDirectory(acme, []Account{{Name: "acme", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{key}}})
	if err != nil {
		t.Fatal(err)
	}
	old := r.Directory()
	r.Set(d)
	checkLogin(t, "acme", "acme")(r.PublicKey("acme", key))
	r.Set(old)
	checkLogin(t, "acme", "")(r.PublicKey("acme", key))
}

func TestNewRegistryRefuses(t *testing.T) {
	d, err := NewDirectory(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{-1, 0, 65} {
		if _, err := NewRegistry(d, n); err == nil {
			t.Errorf("%d hashes at once were let in", n)
		}
	}
	if _, err := NewRegistry(nil, 1); err == nil {
		t.Error("no directory was let in")
	}
}

func TestHashPassword(t *testing.T) {
	a, b := hashOf(t, "secret"), hashOf(t, "secret")
	if a == b || strings.Contains(a, "secret") {
		t.Errorf("two hashes of a password: %s and %s", a, b)
	}
	h, err := parsePHC(a)
	if err != nil || h.String() != a || h.cost != presetCost {
		t.Errorf("got %v, %v; want %s", h, err, a)
	}
	for _, p := range []string{"", strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword([]byte(p)); err == nil {
			t.Errorf("a password of %d bytes was hashed", len(p))
		}
	}
}

func TestParsePHCBounds(t *testing.T) {
	good := withCost(presetCost)
	if _, err := parsePHC(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new string }{
		{good, ""}, {good, "$"}, {good, "hunter2"}, {good, good + "$"}, {good, good[:len(good)-40]}, {good, good + strings.Repeat("A", 100)},
		{"argon2id", "argon2i"}, {"v=19", "v=16"}, {"m=19456", "m=262145"}, {"m=19456", "m=7"}, {"m=19456", "m=99999999999"},
		{"m=19456", "m=019456"}, {"m=19456", "m=+19456"}, {"m=19456", "m="}, {"m=19456", "k=19456"},
		{"t=2", "t=0"}, {"t=2", "t=11"}, {"t=2", "t=2,x=1"}, {"p=1", "p=0"}, {"p=1", "p=9"}, {"p=1", "p=257"},
		{"m=19456,t=2,p=1", "m=16,t=2,p=8"}, {good[len(good)-8:], good[len(good)-8:len(good)-4] + "\n" + good[len(good)-4:]},
	} {
		s := strings.Replace(good, c.old, c.new, 1)
		if h, err := parsePHC(s); err == nil {
			t.Errorf("%q was let in as %v", s, h)
		} else if c.new != "" && len(c.new) > 6 && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error tells it: %v", s, err)
		}
	}
}

func FuzzPHC(f *testing.F) {
	f.Add(cheapHash)
	f.Add("$argon2id$v=19$m=262144,t=10,p=8$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		switch {
		case err != nil && h != nil:
			t.Errorf("%q: an error comes with %v", s, h)
		case err != nil:
		case h.String() != s:
			t.Errorf("%q is written back as %q", s, h)
		case h.cost.memory > maxCost.memory || h.cost.passes > maxCost.passes || h.cost.threads > maxCost.threads || h.cost.passes < 1 || h.cost.threads < 1:
			t.Errorf("%q costs %v", s, h.cost)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAA x")
	f.Add(`from="x" ssh-rsa AAAA`)
	f.Fuzz(func(t *testing.T, s string) {
		key, _, err := ParseKey(s)
		if err == nil && checkKey(key) != nil {
			t.Errorf("%q: a key that is not allowed was let in", s)
		}
	})
}
