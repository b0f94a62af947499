// Package auth says who somebody is: accounts, tenants and roles, and whether
// a key, a certificate, a password or an upload token proves one of them. It
// decides nothing about what an account may see or do; that is package vfs. It also
// keeps what all doors know together of those who knock: see Guard.
//
// It guarantees that a Directory never changes and holds nothing that was not
// checked; that a Registry answers an unknown user and a wrong credential with
// the same error and, for passwords and tokens, after the same work; and that the
// memory and CPU which strangers can make it spend on passwords are bounded.
//
// It deliberately reads no file and knows no format: callers hand it plain
// values, and find by InvalidError where a wrong one came from.
package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// Role is what an account is for. The zero value may do nothing.
type Role int

// The roles.
const (
	None     Role = iota
	Customer      // writes bundles into its tenant's area
	Support       // reads every tenant's area, or those it lists
)

// String is the role's name as the accounts file spells it.
func (r Role) String() string {
	switch r {
	case Customer:
		return "customer"
	case Support:
		return "support"
	}
	return "none"
}

// ParseRole is the inverse of String, for roles that may do something.
func ParseRole(s string) (Role, error) {
	for _, r := range []Role{Customer, Support} {
		if s == r.String() {
			return r, nil
		}
	}
	return None, fmt.Errorf("%q is neither customer nor support", s)
}

// Tenant names a customer organisation; it is one directory name. Make one
// with ParseTenant only.
type Tenant string

// TenantInfo is a tenant with what its operator agreed on.
type TenantInfo struct {
	Name Tenant
	// Quota is how many bytes are kept, bundles and unfinished uploads
	// together; QuotaFiles how many of them, QuotaDaily how many bytes may
	// come in a day (UTC). 0 means no limit.
	Quota, QuotaFiles, QuotaDaily int64
	// Retention is how long a bundle is kept; 0 means for ever.
	Retention time.Duration
	// Hold lists directories whose bundles are kept beyond the retention and
	// cannot be erased, as for a lawsuit; "/" means all.
	Hold []string
}

// Account is a login. It is immutable once it is in a Directory.
type Account struct {
	Name   string
	Role   Role
	Tenant Tenant // of a customer; empty for support

	// Tenants limits what a support account sees; empty means every tenant.
	Tenants []Tenant
	// Expand lists what is inside a bundle beside the bundle (support).
	Expand bool

	// Keys may log in. They are of the kinds that ParseKey lets in.
	Keys     []ssh.PublicKey
	Password string // argon2id hash in PHC form; empty: no password login

	// Require lists the methods that a login must prove, in this order; empty
	// means that any one will do.
	Require []Method
	// From limits the networks that a login may come from; empty: any.
	From []netip.Prefix
	// Expires is the moment from which on the account may do nothing new;
	// zero means never.
	Expires time.Time
	// Disabled refuses every login.
	Disabled bool
	// MaxSessions is how many connections it may have at once; 0 leaves that
	// to the server.
	MaxSessions int
	// Bandwidth bounds bytes per second in each direction, of all its
	// connections together; 0: unbounded.
	Bandwidth int64

	// What an upload token adds; see Token. They are empty for an account of
	// a Directory.
	Case    string // the one directory of the tenant that it may write to
	MaxSize int64  // bytes that one bundle may have; 0: what the server allows
	Token   TokenID
}

// Method is a way to prove who one is.
type Method string

// The methods. A certificate is a public key, and a token a password.
const (
	PublicKey Method = "publickey"
	Password  Method = "password"
)

// ParseMethod reads a method's name, which is that of RFC 4252.
func ParseMethod(s string) (Method, error) {
	if m := Method(s); m == PublicKey || m == Password {
		return m, nil
	}
	return "", fmt.Errorf("%s is neither publickey nor password", quote(s))
}

// Admit says why a login that is proven is refused all the same, or nil: the
// account is disabled or has expired, or the login comes from elsewhere. The error
// wraps ErrDenied and is for the log.
func (a *Account) Admit(from netip.Addr, now time.Time) error {
	from = from.Unmap().WithZone("")
	switch {
	case a.Disabled:
		return fmt.Errorf("%w: the account is disabled", ErrDenied)
	case a.Expired(now):
		return fmt.Errorf("%w: the account has expired", ErrDenied)
	case len(a.From) > 0 && !slices.ContainsFunc(a.From, func(p netip.Prefix) bool { return p.Contains(from) }):
		return fmt.Errorf("%w: the account may not log in from there", ErrDenied)
	}
	return nil
}

// AdmitAlone is Admit for a login that can prove one method and no more, as over
// HTTP: an account that requires another, or two, is refused.
func (a *Account) AdmitAlone(m Method, from netip.Addr, now time.Time) error {
	if next, _ := a.Next(nil); next != "" && next != m || len(a.Require) > 1 {
		return fmt.Errorf("%w: the account requires more than this login can prove", ErrDenied)
	}
	return a.Admit(from, now)
}

// Expired says that now the account may do nothing new.
func (a *Account) Expired(now time.Time) bool { return !a.Expires.IsZero() && !now.Before(a.Expires) }

// Next is the method that a login has to prove after those of proved; ok is false
// when it has proven enough. An empty Method stands for any.
func (a *Account) Next(proved []Method) (m Method, ok bool) {
	switch {
	case len(a.Require) == 0:
		return "", len(proved) == 0
	case len(proved) < len(a.Require):
		return a.Require[len(proved)], true
	}
	return "", false
}
