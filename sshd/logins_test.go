package sshd

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
)

// strictAuth gives one account, by the key or by secret.
type strictAuth struct {
	fakeAuth
	give auth.Account
}

func (s strictAuth) PublicKey(user string, key ssh.PublicKey) (*auth.Account, error) {
	if _, err := s.fakeAuth.PublicKey(user, key); err != nil {
		return nil, err
	}
	a := s.give
	return &a, nil
}

func (s strictAuth) Password(ctx context.Context, user string, password []byte) (*auth.Account, error) {
	if _, err := s.fakeAuth.Password(ctx, user, password); err != nil {
		return nil, err
	}
	a := s.give
	return &a, nil
}

// strictWorld lets in the one account a.
func strictWorld(t *testing.T, a auth.Account, events Events) *world {
	a.Name, a.Role, a.Tenant = "acme", auth.Customer, "acme"
	return newWorld(t, func(c *Config) {
		c.Auth = strictAuth{c.Auth.(fakeAuth), a}
		c.Events = events
	})
}

// TestTwoFactors: what an account requires, in its order, and nothing less.
func TestTwoFactors(t *testing.T) {
	pw := ssh.Password(secret)
	ask := ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		return make([]string, len(questions)), nil
	})
	for _, c := range []struct {
		what    string
		require []auth.Method
		with    func(key ssh.AuthMethod) []ssh.AuthMethod
		ok      bool
	}{
		{"key, then password", []auth.Method{auth.PublicKey, auth.Password}, func(k ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{k, pw} }, true},
		{"in any order of the client's", []auth.Method{auth.PublicKey, auth.Password}, func(k ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{pw, k} }, false},
		{"key alone", []auth.Method{auth.PublicKey, auth.Password}, func(k ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{k} }, false},
		{"password alone", []auth.Method{auth.PublicKey, auth.Password}, func(ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{pw} }, false},
		{"key and a wrong password", []auth.Method{auth.PublicKey, auth.Password}, func(k ssh.AuthMethod) []ssh.AuthMethod {
			return []ssh.AuthMethod{k, ssh.Password("wrong"), ask}
		}, false},
		{"password, then key", []auth.Method{auth.Password, auth.PublicKey}, func(k ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{pw, k} }, true},
		{"only a key will do", []auth.Method{auth.PublicKey}, func(ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{pw} }, false},
		{"a key it is", []auth.Method{auth.PublicKey}, func(k ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{k} }, true},
		{"nothing is required", nil, func(ssh.AuthMethod) []ssh.AuthMethod { return []ssh.AuthMethod{pw} }, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := strictWorld(t, auth.Account{Require: c.require}, Events{})
			if _, err := w.tryDial("acme", c.with(ssh.PublicKeys(w.user))...); (err == nil) != c.ok {
				t.Errorf("got %v, want a login: %v", err, c.ok)
			}
		})
	}
}

func TestRestrictions(t *testing.T) {
	for _, c := range []struct {
		what string
		a    auth.Account
		ok   bool
	}{
		{"none", auth.Account{}, true},
		{"disabled", auth.Account{Disabled: true}, false},
		{"expired", auth.Account{Expires: time.Now().Add(-time.Second)}, false},
		{"from here", auth.Account{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, true},
		{"from elsewhere", auth.Account{From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, false},
	} {
		w := strictWorld(t, c.a, Events{})
		for _, with := range []ssh.AuthMethod{ssh.PublicKeys(w.user), ssh.Password(secret)} {
			if _, err := w.tryDial("acme", with); (err == nil) != c.ok {
				t.Errorf("%s: got %v, want a login: %v", c.what, err, c.ok)
			}
		}
	}
}

// TestMaxSessions: one more is refused, and one that leaves makes room.
func TestMaxSessions(t *testing.T) {
	w := strictWorld(t, auth.Account{MaxSessions: 2}, Events{})
	first := w.dial("acme")
	w.dial("acme")
	if _, err := w.tryDial("acme"); err == nil {
		t.Fatal("a third connection was let in")
	}
	first.Close()
	for range 1000 { // the server notices a moment later
		if _, err := w.tryDial("acme"); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("there is no room after one has left")
}

// TestLoginEvents tell what proved the login, and tries that failed.
func TestLoginEvents(t *testing.T) {
	var mu sync.Mutex
	var in, out []Conn
	ended := make(chan struct{}, 8)
	w := strictWorld(t, auth.Account{Require: []auth.Method{auth.PublicKey, auth.Password}}, Events{
		LoggedIn: func(c Conn, method string) {
			mu.Lock()
			defer mu.Unlock()
			c.Tried = method
			in = append(in, c)
		},
		Closed: func(c Conn, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			out = append(out, c)
			ended <- struct{}{}
		},
	})
	w.dial("acme", ssh.PublicKeys(newSigner(t), w.user), ssh.Password(secret)).Close()
	<-ended
	if _, err := w.tryDial("acme", ssh.Password("wrong")); err == nil {
		t.Fatal("a wrong password was let in")
	}
	<-ended
	mu.Lock()
	defer mu.Unlock()
	if len(in) != 1 || in[0].Tried != "publickey,password" || in[0].Credential != ssh.FingerprintSHA256(w.user.PublicKey()) || in[0].Failed != 1 {
		t.Errorf("logged in: %+v", in)
	}
	if len(out) != 2 || out[0].Account != "acme" || out[1].Account != "" || out[1].User != "acme" || out[1].Tried != "password" || out[1].Failed != 1 {
		t.Errorf("closed: %+v", out)
	}
}

// TestNarrower: a certificate's end at one step holds for the login.
func TestNarrower(t *testing.T) {
	at := func(s int64) *auth.Account {
		if s == 0 {
			return &auth.Account{}
		}
		return &auth.Account{Expires: time.Unix(s, 0)}
	}
	for _, c := range []struct {
		before, a *auth.Account
		want      int64
	}{{nil, at(5), 5}, {at(0), at(5), 5}, {at(5), at(0), 5}, {at(3), at(5), 3}, {at(5), at(3), 3}} {
		if got := narrower(c.before, c.a); got.Expires.Unix() != c.want {
			t.Errorf("%v and %v: got %v", c.before, c.a, got.Expires)
		}
	}
	if got := narrower(at(0), at(0)); !got.Expires.IsZero() {
		t.Errorf("without an end: %v", got.Expires)
	}
}

func TestHostCertificates(t *testing.T) {
	dir := t.TempDir()
	keys, err := LoadOrMakeHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	ca := newSigner(t)
	write := func(name string, key ssh.PublicKey, kind uint32, before uint64) string {
		c := &ssh.Certificate{Key: key, CertType: kind, ValidPrincipals: []string{"localhost"}, ValidBefore: before}
		if err := c.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, ssh.MarshalAuthorizedKey(c), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct{ file, want string }{
		{write("user", keys[0].PublicKey(), ssh.UserCert, ssh.CertTimeInfinity), "not for a host"},
		{write("other", newSigner(t).PublicKey(), ssh.HostCert, ssh.CertTimeInfinity), "not a host key here"},
		{filepath.Join(dir, "ssh_host_ed25519_key.pub"), "not a certificate"},
		{filepath.Join(dir, "none"), "no such file"},
	} {
		if _, err := LoadHostCertificates([]string{c.file}, keys); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", filepath.Base(c.file), err, c.want)
		}
	}
	var files []string
	for i, k := range keys {
		files = append(files, write("good"+string(rune('a'+i)), k.PublicKey(), ssh.HostCert, uint64(time.Now().Add(time.Hour).Unix())))
	}
	certs, err := LoadHostCertificates(files, keys)
	if err != nil || len(certs) != 3 {
		t.Fatal(certs, err)
	}
	if end := CertificateEnd(certs[0].PublicKey()); end.IsZero() || !CertificateEnd(keys[0].PublicKey()).IsZero() {
		t.Errorf("ends: %v", end)
	}
	w := newWorld(t, func(c *Config) { c.HostKeys = append(keys, certs...) })
	for _, algorithm := range []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoRSASHA512v01, ssh.KeyAlgoED25519} {
		checker := &ssh.CertChecker{
			IsHostAuthority: func(k ssh.PublicKey, _ string) bool { return string(k.Marshal()) == string(ca.PublicKey().Marshal()) },
			HostKeyFallback: ssh.InsecureIgnoreHostKey(),
		}
		if algorithm != ssh.KeyAlgoED25519 {
			checker.HostKeyFallback = nil
		}
		_, port, _ := strings.Cut(w.addr, ":")
		c, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{
			User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.user)}, HostKeyAlgorithms: []string{algorithm},
			HostKeyCallback: func(_ string, a net.Addr, k ssh.PublicKey) error {
				return checker.CheckHostKey("localhost:"+port, a, k)
			},
		})
		if err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		c.Close()
	}
	legacy := ssh.CertAlgoRSAv01
	if _, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{User: "acme", HostKeyAlgorithms: []string{legacy}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}); err == nil {
		t.Errorf("%s was offered", legacy)
	}
}

// TestLoginOfOneWhoLeaves: who proves himself and goes at once has logged in; it is
// told, and is no fault of his.
func TestLoginOfOneWhoLeaves(t *testing.T) {
	var in atomic.Int32
	w := strictWorld(t, auth.Account{}, Events{LoggedIn: func(Conn, string) { in.Add(1) }})
	const n = 50
	for range n {
		w.dial("acme").Close()
	}
	w.settle()
	if in.Load() != n || strings.Contains(w.log.String(), "handshake failed") {
		t.Errorf("%d logins were told, want %d", in.Load(), n)
	}
}
