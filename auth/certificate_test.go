package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// certify makes a certificate that is good, but for what change does before it is
// signed.
func certify(t testing.TB, ca ssh.Signer, change func(*ssh.Certificate), principals ...string) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: newSigner(t).PublicKey(), Serial: 17, CertType: ssh.UserCert, KeyId: "ann", ValidPrincipals: principals,
		ValidAfter: uint64(tokenNow.Add(-time.Hour).Unix()), ValidBefore: uint64(tokenNow.Add(time.Hour).Unix()),
	}
	if change != nil {
		change(c)
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return c
}

// certWorld is a registry with three accounts that trusts one authority.
func certWorld(t testing.TB, ca ssh.Signer, revoked string) *Registry {
	t.Helper()
	r := newRegistry(t,
		Account{Name: "acme-ci", Role: Customer, Tenant: "acme", From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		Account{Name: "globex", Role: Customer, Tenant: "acme"},
		Account{Name: "desk", Role: Support, Tenants: []Tenant{"acme"}})
	r.now = func() time.Time { return tokenNow }
	keys, err := ParseRevokedKeys(revoked)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.SetTrust(Trust{Authorities: []ssh.PublicKey{newSigner(t).PublicKey(), ca.PublicKey()}, Revoked: keys}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPrincipals(t *testing.T) {
	ca := newSigner(t)
	r := certWorld(t, ca, "")
	for _, c := range []struct{ principals, user, want string }{
		{"acme-ci", "acme-ci", "acme-ci"},
		{"nobody acme-ci", "acme-ci", "acme-ci"},
		{"customer:acme", "acme-ci", "acme-ci"},
		{"customer:acme", "globex", "globex"}, // the account, which is acme's
		{"customer:acme", "acme", "acme"},     // no account of that name
		{"support", "desk", "desk"},
		{"support", "support", "support"},
		{"acme-ci", "globex", ""},
		{"acme-ci", "acme", ""},
		{"acme", "acme", ""}, // an account's name, and there is none
		{"customer:globex", "globex", ""},
		{"customer:globex", "acme-ci", ""},
		{"customer:acme", "desk", ""},
		{"customer:acme", "support", ""},
		{"customer:acme", "customer:acme", ""},
		{"customer:nosuch", "nosuch", ""},
		{"customer:", "", ""},
		{"customer:../x", "../x", ""},
		{"support", "acme-ci", ""},
		{"support", "root", ""},
		{"SUPPORT", "support", ""},
		{"*", "acme-ci", ""},
		{"acme-c?", "acme-ci", ""},
		{"", "acme-ci", ""}, // no principals
	} {
		cert := certify(t, ca, nil, strings.Fields(c.principals)...)
		checkLogin(t, c.user+" with "+c.principals, c.want)(r.PublicKey(c.user, cert))
	}
}

func TestSupportPrincipalIsNoCustomersName(t *testing.T) {
	_, err := NewDirectory(acme, []Account{{Name: "support", Role: Customer, Tenant: "acme"}})
	if invalid := (*InvalidError)(nil); !errors.As(err, &invalid) || invalid.Field != "name" {
		t.Errorf("got %v, want a refusal of the name", err)
	}
	r := newRegistry(t, Account{Name: "support", Role: Support, Tenants: []Tenant{"acme"}})
	a := mapPrincipal(r.Directory(), "support", "support")
	if a == nil || len(a.Tenants) != 1 {
		t.Errorf("got %+v, want the account of that name with its tenants", a)
	}
}

func TestCertificateRefusals(t *testing.T) {
	ca, other := newSigner(t), newSigner(t)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weakCA, err := ssh.NewSignerFromKey(weak)
	if err != nil {
		t.Fatal(err)
	}
	sha1, err := ssh.NewSignerWithAlgorithms(weakCA.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	r := certWorld(t, ca, "")
	if err := r.SetTrust(Trust{Authorities: []ssh.PublicKey{ca.PublicKey(), weakCA.PublicKey()}}); err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) uint64 { return uint64(tokenNow.Add(d).Unix()) }
	option := func(name, value string) func(*ssh.Certificate) {
		return func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{name: value} }
	}
	for _, c := range []struct {
		what   string
		ca     ssh.Signer
		change func(*ssh.Certificate)
		want   string
	}{
		{"good", ca, nil, "globex"},
		{"of an rsa authority", weakCA, nil, "globex"},
		{"for ever", ca, func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, ssh.CertTimeInfinity }, "globex"},
		{"from somewhere", ca, option("source-address", "192.0.2.0/24,2001:db8::1"), "globex"},
		{"of another authority", other, nil, ""},
		{"signed with SHA-1", sha1, nil, ""},
		{"for a host", ca, func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, ""},
		{"over", ca, func(c *ssh.Certificate) { c.ValidBefore = at(0) }, ""},
		{"not yet valid", ca, func(c *ssh.Certificate) { c.ValidAfter = at(time.Second) }, ""},
		{"with a command", ca, option("force-command", "true"), ""},
		{"with an unknown option", ca, option("x@example.com", ""), ""},
		{"from nonsense", ca, option("source-address", "everywhere"), ""},
		{"from nowhere", ca, option("source-address", ""), ""},
		{"from a bad network", ca, option("source-address", "192.0.2.1/24"), ""},
	} {
		cert := certify(t, c.ca, c.change, "globex")
		checkLogin(t, c.what, c.want)(r.PublicKey("globex", cert))
	}
	changed := certify(t, ca, nil, "globex")
	changed.ValidPrincipals = []string{"globex", "support"}
	checkLogin(t, "changed", "")(r.PublicKey("globex", changed))
	unsigned := certify(t, ca, nil, "globex")
	unsigned.Signature = nil
	checkLogin(t, "unsigned", "")(r.PublicKey("globex", unsigned))
}

func TestCertificateNarrows(t *testing.T) {
	ca := newSigner(t)
	r := certWorld(t, ca, "")
	for _, c := range []struct{ source, want string }{
		{"10.1.0.0/16", "10.1.0.0/16"}, {"0.0.0.0/0", "10.0.0.0/8"}, {"192.0.2.0/24,10.2.3.4", "10.2.3.4/32"}, {"192.0.2.0/24", ""},
	} {
		cert := certify(t, ca, func(x *ssh.Certificate) { x.CriticalOptions = map[string]string{"source-address": c.source} }, "acme-ci")
		a, err := r.PublicKey("acme-ci", cert)
		switch {
		case c.want == "" && err != ErrDenied:
			t.Errorf("%s: got %v, %v, want ErrDenied", c.source, a, err)
		case c.want != "" && (err != nil || len(a.From) != 1 || a.From[0].String() != c.want || !a.Expires.Equal(tokenNow.Add(time.Hour))):
			t.Errorf("%s: got %+v, %v, want from %s and an hour", c.source, a, err, c.want)
		}
	}
	if a := r.Directory().Account("acme-ci"); !a.Expires.IsZero() || len(a.From) != 1 || a.From[0].Bits() != 8 {
		t.Errorf("the directory's account was changed: %+v", a)
	}
}

func TestRevoked(t *testing.T) {
	ca, plain := newSigner(t), newKey(t)
	cert := certify(t, ca, nil, "globex")
	fingerprint, line := ssh.FingerprintSHA256(cert.Key), string(ssh.MarshalAuthorizedKey(cert.Key))
	for _, c := range []struct {
		list    string
		revoked bool
	}{
		{"", false}, {"# serial: 17\n\n", false}, {"serial: 16\nserial: 18-99\nid: bob\n", false}, {"hash: " + ssh.FingerprintSHA256(plain), false},
		{"serial: 17", true}, {"serial:1-17", true}, {"id: ann", true}, {"hash: " + fingerprint, true}, {"key: " + line, true},
		{"hash: " + ssh.FingerprintSHA256(ca.PublicKey()), true}, {"serial: 1\r\nid: ann\r\n", true},
	} {
		want := map[bool]string{false: "globex"}[c.revoked]
		checkLogin(t, c.list, want)(certWorld(t, ca, c.list).PublicKey("globex", cert))
	}
	r := newRegistry(t, Account{Name: "acme", Role: Customer, Tenant: "acme", Keys: []ssh.PublicKey{plain}})
	keys, err := ParseRevokedKeys("hash: " + ssh.FingerprintSHA256(plain))
	if err != nil {
		t.Fatal(err)
	}
	checkLogin(t, "acme", "acme")(r.PublicKey("acme", plain))
	if err := r.SetTrust(Trust{Revoked: keys}); err != nil {
		t.Fatal(err)
	}
	checkLogin(t, "acme", "")(r.PublicKey("acme", plain))
}

func TestParseRevokedKeysRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nonsense", "line 1: "}, {"# fine\nserial: x", "line 2: serial"}, {"serial: 9-1", "line 1: serial"}, {"serial: -1", "serial"},
		{"id:", "id"}, {"hash: MD5:x", "hash"}, {"hash: SHA256:short", "hash"}, {"key: x", "key"}, {"sha1: x", "sha1"},
		{strings.Repeat("serial: 1\n", maxSerialRanges+1), "join them"},
	} {
		if r, err := ParseRevokedKeys(c.text); err == nil || !strings.Contains(err.Error(), c.want) || r.Len() != 0 {
			t.Errorf("%.40q: got %d entries, %v; want %q", c.text, r.Len(), err, c.want)
		}
	}
}

func FuzzPrincipals(f *testing.F) {
	for _, s := range []string{"acme-ci", "customer:acme", "support", "customer:", "", "support\x00"} {
		f.Add("acme-ci", s)
		f.Add("support", s)
	}
	ca := newSigner(f)
	d := certWorld(f, ca, "").Directory()
	f.Fuzz(func(t *testing.T, user, principal string) {
		a := mapPrincipal(d, user, principal)
		if a == nil {
			return
		}
		if a.Name != user {
			t.Fatalf("%q with %q is %q", user, principal, a.Name)
		}
		asked := principal == user && d.Account(user) != nil ||
			principal == "support" && a.Role == Support ||
			principal == "customer:"+string(a.Tenant) && a.Role == Customer
		if _, known := d.Tenant(a.Tenant); !asked || a.Role == Customer && !known {
			t.Errorf("%q with %q is %+v", user, principal, a)
		}
	})
}

func FuzzRevokedKeys(f *testing.F) {
	f.Add("serial: 1-5\nid: x\n# c\n")
	f.Add("hash: SHA256:" + strings.Repeat("A", 43))
	f.Add("key: ssh-ed25519 AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRevokedKeys(s)
		if err != nil && r.Len() != 0 {
			t.Errorf("%q: %d entries with %v", s, r.Len(), err)
		}
		if again, err2 := ParseRevokedKeys(s + "\n# end"); err == nil && (err2 != nil || again.Len() != r.Len()) {
			t.Errorf("%q: %d entries, with a comment behind %d, %v", s, r.Len(), again.Len(), err2)
		}
	})
}

func TestAdmit(t *testing.T) {
	net := func(list ...string) (p []netip.Prefix) {
		for _, s := range list {
			n, err := ParseNetwork(s)
			if err != nil {
				t.Fatal(err)
			}
			p = append(p, n)
		}
		return p
	}
	for _, c := range []struct {
		what string
		a    Account
		from string
		ok   bool
	}{
		{"anywhere", Account{}, "203.0.113.9", true},
		{"a network", Account{From: net("192.0.2.0/24", "2001:db8::/32")}, "192.0.2.77", true},
		{"the other network", Account{From: net("192.0.2.0/24", "2001:db8::/32")}, "2001:db8::1%eth0", true},
		{"IPv4 in IPv6", Account{From: net("192.0.2.7")}, "::ffff:192.0.2.7", true},
		{"elsewhere", Account{From: net("192.0.2.0/24")}, "192.0.3.1", false},
		{"no address", Account{From: net("0.0.0.0/0", "::/0")}, "", false},
		{"disabled", Account{Disabled: true}, "192.0.2.1", false},
		{"expires later", Account{Expires: tokenNow.Add(1)}, "192.0.2.1", true},
		{"expires now", Account{Expires: tokenNow}, "192.0.2.1", false},
	} {
		addr, _ := netip.ParseAddr(c.from)
		if err := c.a.Admit(addr, tokenNow); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrDenied) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.ok)
		}
	}
}

func TestNext(t *testing.T) {
	two := []Method{PublicKey, Password}
	for _, c := range []struct {
		require, proved []Method
		want            Method
		more            bool
	}{
		{nil, nil, "", true}, {nil, two[:1], "", false},
		{two, nil, PublicKey, true}, {two, two[:1], Password, true}, {two, two, "", false},
		{two[1:], nil, Password, true}, {two[1:], two[1:], "", false},
	} {
		a := Account{Require: c.require}
		if m, more := a.Next(c.proved); m != c.want || more != c.more {
			t.Errorf("require %v, proved %v: got %q, %v", c.require, c.proved, m, more)
		}
	}
}

func TestAdmitAlone(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		require []Method
		ok      bool
	}{{nil, true}, {[]Method{Password}, true}, {[]Method{PublicKey}, false}, {[]Method{Password, PublicKey}, false}, {[]Method{PublicKey, Password}, false}} {
		a := Account{Require: c.require}
		if err := a.AdmitAlone(Password, from, tokenNow); (err == nil) != c.ok {
			t.Errorf("require %v: got %v", c.require, err)
		}
	}
	if err := (&Account{Disabled: true}).AdmitAlone(Password, from, tokenNow); err == nil {
		t.Error("a disabled account was let in")
	}
}

func TestDirectoryRefusesRestrictions(t *testing.T) {
	for field, a := range map[string]Account{
		"require":      {Require: []Method{PublicKey, PublicKey}},
		"require ":     {Require: []Method{Password}},
		"require  ":    {Require: []Method{"hostbased"}},
		"from":         {From: make([]netip.Prefix, 65)},
		"from ":        {From: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}},
		"max_sessions": {MaxSessions: -1},
		"bandwidth":    {Bandwidth: MinBandwidth - 1},
		"name":         {Case: "8423"},
	} {
		a.Name, a.Role, a.Tenant = "x", Customer, "acme"
		_, err := NewDirectory(acme, []Account{a})
		if invalid := (*InvalidError)(nil); !errors.As(err, &invalid) || invalid.Field != strings.TrimSpace(field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	from := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	d, err := NewDirectory(acme, []Account{{Name: "x", Role: Customer, Tenant: "acme", From: from}})
	if err != nil {
		t.Fatal(err)
	}
	from[0] = netip.MustParsePrefix("0.0.0.0/0")
	if got := d.Account("x").From; !slices.Equal(got, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}) {
		t.Errorf("the directory shares its caller's slice: %v", got)
	}
}

// FuzzCertificate offers anything as a key or a certificate: nobody whom no
// authority has vouched for is let in, and nothing panics.
func FuzzCertificate(f *testing.F) {
	ca, key := newSigner(f), newKey(f)
	d, err := NewDirectory([]TenantInfo{{Name: "acme"}}, []Account{{Name: "acme", Role: Customer, Tenant: "acme"}})
	if err != nil {
		f.Fatal(err)
	}
	r, err := NewRegistry(d, 1)
	if err != nil {
		f.Fatal(err)
	}
	if err := r.SetTrust(Trust{Authorities: []ssh.PublicKey{ca.PublicKey()}}); err != nil {
		f.Fatal(err)
	}
	// Signed by nobody: an authority's signature cannot be made up.
	c := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, KeyId: "k", ValidPrincipals: []string{"acme", "customer:acme"}, ValidBefore: ssh.CertTimeInfinity,
		SignatureKey: ca.PublicKey(), Signature: &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 64)},
		Permissions: ssh.Permissions{CriticalOptions: map[string]string{sourceAddress: "192.0.2.0/24,::1"}},
	}
	f.Add(c.Marshal())
	f.Add(key.Marshal())
	f.Fuzz(func(t *testing.T, wire []byte) {
		k, err := ssh.ParsePublicKey(wire)
		if err != nil {
			return
		}
		if a, err := r.PublicKey("acme", k); err == nil {
			t.Errorf("let in as %+v", a)
		}
	})
}
