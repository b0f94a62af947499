// Package auth says who somebody is: accounts, tenants and roles, and whether
// a key or a password proves one of them. It decides nothing about what an
// account may see or do; that is package vfs.
//
// It guarantees that a Directory never changes and holds nothing that was not
// checked; that a Registry answers an unknown user and a wrong credential with
// the same error and, for passwords, after the same work; and that the memory
// and CPU which strangers can make it spend on passwords are bounded.
//
// It deliberately reads no file and knows no format: callers hand it plain
// values, and find by InvalidError where a wrong one came from.
package auth

import (
	"fmt"
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
}
