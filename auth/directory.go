package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/crypto/ssh"
)

// maxKeys bounds the keys of an account: each key that a peer offers is compared
// with all of them.
const maxKeys = 64

// maxNetworks bounds the networks of an account.
const maxNetworks = 64

// MinBandwidth is the least that an account can be bounded to, in bytes per
// second: below, a packet takes longer than a client waits for its answer.
const MinBandwidth = 16 << 10

// Directory is every tenant and account of one moment. It never changes and is
// safe for concurrent use. Lookups take constant time.
type Directory struct {
	names    []Tenant // sorted
	tenants  map[Tenant]TenantInfo
	accounts map[string]*entry
	hashes   []*phc // of all passwords, in the order of the accounts
}

// entry is an account with what a login needs of it.
type entry struct {
	account  Account
	password *phc // nil: no password login
}

// InvalidError is a mistake in what NewDirectory is given.
type InvalidError struct {
	List  string // "tenants" or "accounts"
	Index int    // in that list, from 0
	Field string // the key in the accounts file: "name", "role", "tenant", "require", "quota", ...
	Err   error
}

// Error tells the place and the mistake.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s[%d].%s: %v", e.List, e.Index, e.Field, e.Err)
}

// Unwrap gives the mistake alone.
func (e *InvalidError) Unwrap() error { return e.Err }

// NewDirectory checks tenants and accounts and returns a Directory of them. The
// slices are copied, those of the accounts too.
//
// Names are unique. A customer has a tenant, and neither Tenants nor Expand; a
// support account has no Tenant. Every tenant that an account names exists. An
// account without key and password is let in: only a certificate opens it. The name
// "support" is for support accounts, for certificates give it to them. One
// key may be listed by several accounts, of several tenants too: the user name
// of a login selects the account, the key only proves it.
//
// The error is the first mistake, an *InvalidError.
func NewDirectory(tenants []TenantInfo, accounts []Account) (*Directory, error) {
	d := &Directory{
		names:    make([]Tenant, 0, len(tenants)),
		tenants:  make(map[Tenant]TenantInfo, len(tenants)),
		accounts: make(map[string]*entry, len(accounts)),
	}
	for i, t := range tenants {
		if field, err := d.addTenant(t); err != nil {
			return nil, &InvalidError{List: "tenants", Index: i, Field: field, Err: err}
		}
	}
	slices.Sort(d.names)
	entries := make([]entry, len(accounts))
	for i, a := range accounts {
		entries[i].account = a
		if field, err := d.addAccount(&entries[i]); err != nil {
			return nil, &InvalidError{List: "accounts", Index: i, Field: field, Err: err}
		}
	}
	return d, nil
}

// addTenant returns the wrong field with the error.
func (d *Directory) addTenant(t TenantInfo) (string, error) {
	if _, err := ParseTenant(string(t.Name)); err != nil {
		return "name", err
	}
	if _, ok := d.tenants[t.Name]; ok {
		return "name", fmt.Errorf("tenant %q is listed twice", t.Name)
	}
	for field, n := range map[string]int64{"quota": t.Quota, "quota_files": t.QuotaFiles, "quota_daily": t.QuotaDaily} {
		if n < 0 {
			return field, fmt.Errorf("tenant %q: less than 0", t.Name)
		}
	}
	if t.Retention < 0 {
		return "retention", fmt.Errorf("tenant %q: less than 0", t.Name)
	}
	d.tenants[t.Name] = t
	d.names = append(d.names, t.Name)
	return "", nil
}

// addAccount returns the wrong field with the error.
func (d *Directory) addAccount(e *entry) (field string, err error) {
	a := &e.account
	if err := CheckAccountName(a.Name); err != nil {
		return "name", err
	}
	if d.accounts[a.Name] != nil {
		return "name", fmt.Errorf("account %q is listed twice", a.Name)
	}
	if field, err := d.checkRole(a); err != nil {
		return field, fmt.Errorf("account %q: %w", a.Name, err)
	}
	if err := checkKeys(a.Keys); err != nil {
		return "keys", fmt.Errorf("account %q: %w", a.Name, err)
	}
	if a.Password != "" {
		if e.password, err = parsePHC(a.Password); err != nil {
			return "password", fmt.Errorf("account %q: %w", a.Name, err)
		}
		d.hashes = append(d.hashes, e.password)
	}
	if field, err := checkRestrictions(a); err != nil {
		return field, fmt.Errorf("account %q: %w", a.Name, err)
	}
	a.Tenants, a.Keys = slices.Clone(a.Tenants), slices.Clone(a.Keys)
	a.Require, a.From = slices.Clone(a.Require), slices.Clone(a.From)
	d.accounts[a.Name] = e
	return "", nil
}

func checkKeys(keys []ssh.PublicKey) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d keys: at most %d are allowed", len(keys), maxKeys)
	}
	for _, k := range keys {
		if k == nil {
			return errors.New("a key is missing")
		}
		if err := checkKey(k); err != nil {
			return err
		}
	}
	return nil
}

// checkRestrictions looks at what narrows a login.
func checkRestrictions(a *Account) (field string, err error) {
	switch {
	case a.Case != "" || a.Token != TokenID{} || a.MaxSize != 0:
		return "name", errors.New("a token is not an account")
	case len(a.Require) > 2 || len(a.Require) == 2 && a.Require[0] == a.Require[1]:
		return "require", errors.New("each method can be required once")
	case slices.ContainsFunc(a.Require, func(m Method) bool { return m != PublicKey && m != Password }):
		return "require", errors.New("want publickey, password or both")
	case slices.Contains(a.Require, Password) && a.Password == "":
		return "require", errors.New("a password is required, and the account has none")
	case len(a.From) > maxNetworks:
		return "from", fmt.Errorf("%d networks: at most %d are allowed", len(a.From), maxNetworks)
	case slices.ContainsFunc(a.From, func(p netip.Prefix) bool { return !p.IsValid() || p != p.Masked() }):
		return "from", errors.New("a network is not an address with its prefix's bits only")
	case a.MaxSessions < 0:
		return "max_sessions", errors.New("less than 0")
	case a.Bandwidth != 0 && a.Bandwidth < MinBandwidth:
		return "bandwidth", fmt.Errorf("less than %d bytes per second", MinBandwidth)
	}
	return "", nil
}

// checkRole looks at what the role allows and needs.
func (d *Directory) checkRole(a *Account) (field string, err error) {
	switch a.Role {
	case Customer:
		return d.checkCustomer(a)
	case Support:
		if a.Tenant != "" {
			return "tenant", errors.New("a support account has no tenant: list what it sees under tenants, or nothing for all")
		}
		for _, t := range a.Tenants {
			if _, ok := d.tenants[t]; !ok {
				return "tenants", unknownTenant(t)
			}
		}
		return "", nil
	}
	return "role", errors.New("the role is neither customer nor support")
}

func (d *Directory) checkCustomer(a *Account) (field string, err error) {
	_, known := d.tenants[a.Tenant]
	switch {
	case a.Tenant == "":
		return "tenant", errors.New("a customer account needs a tenant")
	case !known:
		return "tenant", unknownTenant(a.Tenant)
	case a.Name == supportPrincipal:
		return "name", errors.New("only a support account can have this name")
	case len(a.Tenants) > 0:
		return "tenants", errors.New("a customer account has one tenant: name it under tenant")
	case a.Expand:
		return "expand", errors.New("only a support account can expand bundles")
	}
	return "", nil
}

func unknownTenant(t Tenant) error {
	return fmt.Errorf("tenant %s is not listed under tenants", quote(string(t)))
}

// Tenants lists all tenants, sorted. The caller must not change the slice.
func (d *Directory) Tenants() []Tenant { return d.names }

// Tenant finds a tenant by name.
func (d *Directory) Tenant(name Tenant) (TenantInfo, bool) {
	t, ok := d.tenants[name]
	return t, ok
}

// Account finds an account by name; nil if there is none.
func (d *Directory) Account(name string) *Account {
	if e := d.accounts[name]; e != nil {
		return &e.account
	}
	return nil
}

// Len is the number of accounts.
func (d *Directory) Len() int { return len(d.accounts) }
