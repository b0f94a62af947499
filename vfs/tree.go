package vfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"bundleup/auth"
	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// Storage is what a Tree needs of its medium.
type Storage interface {
	store.Store
	store.Resumer
	store.Recorder
	store.LargeRecorder
}

// Config is what NewTree needs. Every field without a default must be set.
type Config struct {
	// Store keeps bundles, unfinished uploads and receipts.
	Store Storage
	// Check limits what a bundle may be; zero fields take their defaults.
	Check bundle.Limits
	// Tenants gives all tenants of the moment, for support accounts that see
	// every one. It is called often and must be fast.
	Tenants func() []auth.Tenant
	// Keep is how long an unfinished upload is kept. Default 7 days.
	Keep time.Duration
	// KeepRefused is how long the receipt of a refusal is kept. Default 90 days.
	KeepRefused time.Duration
	// Checkpoint is how many received bytes may pass between two saved
	// states: what a killed daemon can cost an upload. Default 64 MiB.
	Checkpoint int64
	// Cache is how much inflated data of bundles that are read inside is kept in
	// memory, in bytes. Default 64 MiB.
	Cache int64
	// Scratch makes temporary room, such as a file, where the index of a bundle
	// with very many entries is sorted. Default memory, 150 bytes an entry.
	Scratch func() (Scratch, error)
	// Terms is what was agreed with a tenant: quota, retention, holds. It is
	// called often and must be fast. Nil: no terms.
	Terms func(auth.Tenant) auth.TenantInfo
	// Reserve is how many bytes of the medium stay free of uploads: receipts,
	// saved states and logs must still find room. Default 0, at which only a
	// full medium stops them.
	Reserve int64
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Events are told what happens; nil functions are skipped.
	Events Events
	// Meter is told what things take; nil functions are skipped.
	Meter Meter
}

// Tree is every tenant's area over one store. It is safe for concurrent use.
type Tree struct {
	cfg   Config
	store *measured // over cfg.Store, which has the optional capabilities
	count counters
	sums  chan struct{} // one for each bundle that is read for its digest

	tracers bundle.Tracers // of the checks of all uploads

	readers *readers

	mu    sync.Mutex // guards areas
	areas map[auth.Tenant]*area
}

// NewTree reads which uploads are suspended in the store and returns the Tree
// over it.
func NewTree(ctx context.Context, cfg Config) (*Tree, error) {
	if cfg.Store == nil || cfg.Tenants == nil {
		return nil, errors.New("new tree: Store and Tenants must be set")
	}
	if cfg.Keep < 0 || cfg.KeepRefused < 0 || cfg.Checkpoint < 0 || cfg.Cache < 0 || cfg.Reserve < 0 {
		return nil, errors.New("new tree: Keep, KeepRefused, Checkpoint, Cache and Reserve must not be negative")
	}
	setDefault(&cfg.Keep, 7*24*time.Hour)
	setDefault(&cfg.KeepRefused, 90*24*time.Hour)
	setDefault(&cfg.Checkpoint, 64<<20)
	setDefault(&cfg.Cache, 64<<20)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Tree{cfg: cfg, sums: make(chan struct{}, maxSums), areas: make(map[auth.Tenant]*area)}
	t.store = &measured{t}
	cfg.Store = t.store // the readers need no optional capability
	t.readers = newReaders(cfg)
	return t, t.load(ctx)
}

// Close ends what the Tree does in the background and closes what it has open.
// Views must not be used any more.
func (t *Tree) Close() { t.readers.close() }

func setDefault[T comparable](p *T, d T) {
	var zero T
	if *p == zero {
		*p = d
	}
}

// load fills the areas with what earlier processes left unfinished.
func (t *Tree) load(ctx context.Context) error {
	for s, err := range t.store.Suspended(ctx) {
		if err != nil {
			return fmt.Errorf("list suspended uploads: %w", err)
		}
		tenant, name, ok := strings.Cut(string(s.Name), "/")
		if !ok {
			continue
		}
		t.area(auth.Tenant(tenant)).adopt(name, &kept{id: s.ID, size: s.Size, saved: s.Saved})
	}
	return nil
}

// area is the tenant's, made on first use.
func (t *Tree) area(tenant auth.Tenant) *area {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.areas[tenant]
	if a == nil {
		a = &area{tree: t, tenant: tenant, names: make(map[string]*entry), publishing: newLocks()}
		t.areas[tenant] = a
	}
	return a
}

// View is what the account sees on one connection. It is the one place where a
// role decides; an account without a role gets an error.
func (t *Tree) View(a *auth.Account, p Peer) (View, error) {
	switch a.Role {
	case auth.Customer:
		if a.Tenant == "" {
			return nil, fmt.Errorf("view of account %q: a customer needs a tenant", a.Name)
		}
		return newCustomer(t.area(a.Tenant), a, p), nil
	case auth.Support:
		return &support{tree: t, account: a, peer: p}, nil
	}
	return nil, fmt.Errorf("view of account %q: role %v may do nothing", a.Name, a.Role)
}

// tenants lists what the support account may see, sorted.
func (t *Tree) tenants(a *auth.Account) []auth.Tenant {
	list := a.Tenants
	if len(list) == 0 {
		list = t.cfg.Tenants()
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
