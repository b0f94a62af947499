package auth

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// The principals of a certificate that stand for more than one account. Any other
// is the name of an account.
const (
	supportPrincipal  = "support"
	customerPrincipal = "customer:" // and a tenant
)

// maxPrincipals bounds how many principals of a certificate are looked at.
const maxPrincipals = 256

// certificate finds the account that a certificate lets user in as: its principals
// must name the account, or its role and tenant. Without an account of that name,
// "customer:T" lets T in as a customer of the tenant T, and "support" lets support
// in. The error is ErrDenied.
func (r *Registry) certificate(user string, cert *ssh.Certificate) (*Account, error) {
	trust := r.trust.Load()
	if !trust.vouches(cert) || len(cert.ValidPrincipals) > maxPrincipals {
		return nil, ErrDenied
	}
	a, principal := mapPrincipals(r.Directory(), user, cert.ValidPrincipals)
	if a == nil {
		return nil, ErrDenied
	}
	checker := ssh.CertChecker{SupportedCriticalOptions: []string{sourceAddress}, Clock: r.now}
	if checker.CheckCert(principal, cert) != nil {
		return nil, ErrDenied
	}
	return narrowed(a, cert)
}

// vouches reports whether a user certificate is signed by a trusted authority, in
// a way that is not broken, and neither it nor the authority was revoked.
func (t *Trust) vouches(cert *ssh.Certificate) bool {
	switch {
	case cert.CertType != ssh.UserCert, cert.SignatureKey == nil, cert.Signature == nil:
		return false
	case cert.Signature.Format == ssh.KeyAlgoRSA: // with SHA-1
		return false
	case checkKey(cert.Key) != nil || checkKey(cert.SignatureKey) != nil:
		return false
	case t.Revoked.certificate(cert):
		return false
	}
	ca := cert.SignatureKey.Marshal()
	return slices.ContainsFunc(t.Authorities, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), ca) })
}

// mapPrincipals finds the account that one of the principals lets user in as, and
// that principal; nil if there is none, as in a certificate without principals.
func mapPrincipals(d *Directory, user string, principals []string) (*Account, string) {
	for _, p := range principals {
		if a := mapPrincipal(d, user, p); a != nil {
			return a, p
		}
	}
	return nil, ""
}

func mapPrincipal(d *Directory, user, principal string) *Account {
	a := d.Account(user)
	tenant, isTenant := strings.CutPrefix(principal, customerPrincipal)
	switch {
	case isTenant && a != nil && a.Role == Customer && string(a.Tenant) == tenant:
		return a
	case isTenant && a == nil && user == tenant:
		if _, ok := d.Tenant(Tenant(tenant)); ok {
			return &Account{Name: tenant, Role: Customer, Tenant: Tenant(tenant)}
		}
	case principal == supportPrincipal && a != nil && a.Role == Support:
		return a
	case principal == supportPrincipal && a == nil && user == supportPrincipal:
		return &Account{Name: supportPrincipal, Role: Support}
	case a != nil && principal == user:
		return a
	}
	return nil
}

// sourceAddress is the critical option that limits where a certificate is used
// (OpenSSH, PROTOCOL.certkeys).
const sourceAddress = "source-address"

// narrowed is the account as far as the certificate allows it: from its source
// addresses and until it ends.
func narrowed(a *Account, cert *ssh.Certificate) (*Account, error) {
	out := *a
	if list, ok := cert.CriticalOptions[sourceAddress]; ok {
		networks, err := parseNetworks(strings.Split(list, ","))
		if err != nil {
			return nil, ErrDenied
		}
		if out.From = intersect(a.From, networks); len(out.From) == 0 {
			return nil, ErrDenied
		}
	}
	// CheckCert has bounded ValidBefore, but for "for ever".
	if cert.ValidBefore != ssh.CertTimeInfinity {
		end := time.Unix(int64(cert.ValidBefore), 0)
		if out.Expires.IsZero() || end.Before(out.Expires) {
			out.Expires = end
		}
	}
	return &out, nil
}

// parseNetworks reads 1 to 64 addresses and networks.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	if len(list) > maxNetworks {
		return nil, fmt.Errorf("%d networks: at most %d are allowed", len(list), maxNetworks)
	}
	networks := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		p, err := ParseNetwork(s)
		if err != nil {
			return nil, err
		}
		networks = append(networks, p)
	}
	return networks, nil
}

// ParseNetwork reads an address, or a network such as 192.0.2.0/24 or
// 2001:db8::/32 with nothing behind its prefix.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%s is not a network: write it like 192.0.2.0/24 or 2001:db8::/32", quote(s))
	}
	return p, nil
}

// intersect is what lies in both lists of networks; an empty first list means all.
func intersect(a, b []netip.Prefix) []netip.Prefix {
	if len(a) == 0 {
		return b
	}
	var both []netip.Prefix
	for _, p := range a {
		for _, q := range b {
			switch {
			case !p.Overlaps(q):
			case p.Bits() > q.Bits():
				both = append(both, p)
			default:
				both = append(both, q)
			}
		}
	}
	return both
}
