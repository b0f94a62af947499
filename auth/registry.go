package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// ErrDenied says that a login is refused. It never tells whether the user name,
// the key or the password was wrong.
var ErrDenied = errors.New("no such account and credential")

// maxHashes bounds how many passwords may be hashed at once.
const maxHashes = 64

// Registry answers logins from the Directory and the Trust of the moment, which
// can be exchanged at any time: a login sees one or the other. It is safe for
// concurrent use. Whom it finds must still be let in by Account.Admit, and may
// have to prove more: Account.Next.
type Registry struct {
	directory atomic.Pointer[Directory]
	trust     atomic.Pointer[Trust]
	turns     chan struct{} // one element for each password being hashed
	seed      maphash.Seed
	decoy     *phc // hashed for unknown users where nobody has a password
	derive    func(password []byte, h *phc) []byte
	now       func() time.Time
}

// NewRegistry returns a Registry that hashes at most that many passwords at
// once, from 1 to 64. Each takes 19 MiB, or what the accounts' hashes say.
func NewRegistry(d *Directory, hashes int) (*Registry, error) {
	if d == nil {
		return nil, errors.New("new registry: a directory is needed")
	}
	if hashes < 1 || hashes > maxHashes {
		return nil, fmt.Errorf("new registry: %d passwords at once: want 1 to %d", hashes, maxHashes)
	}
	decoy := &phc{cost: presetCost, salt: make([]byte, saltSize), sum: make([]byte, sumSize)}
	if _, err := rand.Read(decoy.salt); err != nil {
		return nil, fmt.Errorf("new registry: %w", err)
	}
	r := &Registry{turns: make(chan struct{}, hashes), seed: maphash.MakeSeed(), decoy: decoy, derive: derive, now: time.Now}
	r.Set(d)
	r.trust.Store(&Trust{})
	return r, nil
}

// Set exchanges the Directory, which must not be nil. Connections that are
// logged in keep the Account that they have.
func (r *Registry) Set(d *Directory) { r.directory.Store(d) }

// SetTrust exchanges what proves a login beside the accounts. At first that is
// nothing. What the Trust cannot hold is an error, and the old one stays.
func (r *Registry) SetTrust(t Trust) error {
	if err := t.check(); err != nil {
		return fmt.Errorf("set trust: %w", err)
	}
	r.trust.Store(&t)
	return nil
}

// Directory is the one in force.
func (r *Registry) Directory() *Directory { return r.directory.Load() }

// Account finds an account by name in the Directory of the moment; nil if there is
// none.
func (r *Registry) Account(name string) *Account { return r.Directory().Account(name) }

// PublicKey finds the account of user if it lists key, or if key is a certificate
// that lets user in as it; else ErrDenied. A certificate narrows the account that is
// returned. It proves nothing: the caller checks the signature.
func (r *Registry) PublicKey(user string, key ssh.PublicKey) (*Account, error) {
	if key == nil {
		return nil, ErrDenied
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		return r.certificate(user, cert)
	}
	if r.trust.Load().Revoked.key(key) {
		return nil, ErrDenied
	}
	wire := key.Marshal()
	a := r.Directory().Account(user)
	if a == nil || !a.lists(wire) {
		return nil, ErrDenied
	}
	return a, nil
}

// Password finds the account of user if password is its password, or if both are
// an upload token; else ErrDenied. It waits for its turn to hash until ctx ends. A
// user that is unknown or has no password, and a token that is forged, expired or
// revoked, cost the same as a wrong password.
func (r *Registry) Password(ctx context.Context, user string, password []byte) (*Account, error) {
	if len(password) > MaxPassword {
		return nil, ErrDenied
	}
	d := r.Directory()
	if a := r.token(d, user, password); a != nil {
		return a, nil
	}
	e := d.accounts[user]
	known := e != nil && e.password != nil
	var want *phc
	if known {
		want = e.password
	} else {
		want = r.standIn(d, user)
	}
	got, err := r.hash(ctx, password, want)
	if err != nil {
		return nil, fmt.Errorf("check password: %w", err)
	}
	if same := subtle.ConstantTimeCompare(got, want.sum) == 1; !same || !known {
		return nil, ErrDenied
	}
	return &e.account, nil
}

// hash waits for a turn and hashes with want's salt and cost.
func (r *Registry) hash(ctx context.Context, password []byte, want *phc) ([]byte, error) {
	// A select with both ready takes either: a peer that is gone must not cost
	// a hash.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case r.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.turns }()
	return r.derive(password, want), nil
}

// standIn is what to hash for a user without a password: somebody's hash, the
// same for the user at every try. So the costs of unknown users are spread like
// those of real ones, also where a file holds hashes of several costs.
func (r *Registry) standIn(d *Directory, user string) *phc {
	if len(d.hashes) == 0 {
		return r.decoy
	}
	return d.hashes[maphash.String(r.seed, user)%uint64(len(d.hashes))]
}
