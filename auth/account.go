// Package auth says who somebody is: accounts, tenants and roles, and whether
// a key or a password proves one of them. It decides nothing about what an
// account may see or do; that is package vfs.
package auth

import "golang.org/x/crypto/ssh"

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

// Tenant names a customer organisation; it is one directory name. Make one
// with ParseTenant only.
type Tenant string

// Account is a login. It is immutable once it is in a Directory.
type Account struct {
	Name   string
	Role   Role
	Tenant Tenant // of a customer; empty for support

	// Tenants limits what a support account sees; empty means every tenant.
	Tenants []Tenant
	// Expand lists what is inside a bundle beside the bundle (support).
	Expand bool

	Keys     []ssh.PublicKey
	Password string // argon2id hash in PHC form; empty: no password login
}
