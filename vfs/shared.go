package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// Where several processes share the store an area does not know by itself what the
// others left unfinished: it asks the store before it answers.

// finder is the store's, where other processes may use it at this moment.
func (a *area) finder() store.Finder {
	if f, ok := a.tree.cfg.Store.(store.Finder); ok && f.Shared() {
		return f
	}
	return nil
}

// refresh learns what is kept under a name.
func (a *area) refresh(ctx context.Context, op, name string) error {
	if a.finder() == nil || a.key(name).Check() != nil {
		return nil
	}
	before := a.keptUnder(name)
	found, err := a.find(ctx, path.Dir("/" + name)[1:], path.Base(name))
	if err != nil {
		return internal(op, name, err)
	}
	a.learn(name, before, found[name])
	return nil
}

// refreshDir learns what is kept in a directory.
func (a *area) refreshDir(ctx context.Context, dir string) error {
	if a.finder() == nil || a.key(dir).Check() != nil {
		return nil
	}
	before := a.keeps()
	found, err := a.find(ctx, dir, "")
	if err != nil {
		return internal("list", dir, err)
	}
	for name, k := range before {
		if path.Dir("/" + name)[1:] == dir && found[name] == nil {
			a.learn(name, k, nil)
		}
	}
	for name, k := range found {
		a.learn(name, before[name], k)
	}
	return nil
}

// Reload learns anew what the store keeps of unfinished uploads, and has every quota
// counted anew: another process that wrote to the store has ended. Views may be used
// meanwhile, as long as the store says that it is shared.
func (t *Tree) Reload(ctx context.Context) error {
	// Twice, because what is added by the first look may have ended during it.
	for range 2 {
		if err := t.reload(ctx); err != nil {
			return err
		}
	}
	for _, a := range t.allAreas() {
		a.used.recount()
	}
	return nil
}

func (t *Tree) reload(ctx context.Context) error {
	before := map[*area]map[string]*kept{}
	for _, a := range t.allAreas() {
		before[a] = a.keeps()
	}
	found := map[*area]map[string]*kept{}
	for s, err := range t.store.Suspended(ctx) {
		if err != nil {
			return fmt.Errorf("list suspended uploads: %w", err)
		}
		tenant, name, ok := strings.Cut(string(s.Name), "/")
		if !ok {
			continue
		}
		a := t.area(auth.Tenant(tenant))
		if found[a] == nil {
			found[a] = map[string]*kept{}
		}
		addLarger(found[a], name, s)
	}
	for a, names := range before {
		for name, k := range names {
			a.learn(name, k, found[a][name])
		}
	}
	for a, names := range found {
		for name, k := range names {
			if before[a][name] == nil {
				a.learn(name, nil, k)
			}
		}
	}
	return nil
}

func (a *area) keptUnder(name string) *kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.names[name]; e != nil {
		return e.kept
	}
	return nil
}

// keeps is what the area knows to be suspended.
func (a *area) keeps() map[string]*kept {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := make(map[string]*kept, len(a.names))
	for name, e := range a.names {
		if e.kept != nil {
			m[name] = e.kept
		}
	}
	return m
}

// find asks the store. Of two uploads under one name the one with more bytes counts,
// as in adopt.
func (a *area) find(ctx context.Context, dir, base string) (map[string]*kept, error) {
	found := map[string]*kept{}
	for s, err := range a.finder().Find(ctx, a.key(dir), base) {
		if err != nil {
			return nil, err
		}
		addLarger(found, path.Join(dir, s.Name.Base()), s)
	}
	return found, nil
}

func addLarger(found map[string]*kept, name string, s store.Suspended) {
	if k := found[name]; k == nil || k.size < s.Size {
		found[name] = &kept{id: s.ID, size: s.Size, saved: s.Saved}
	}
}

// learn replaces what the area knew of a name before the store was asked by what the
// store said; both may be nil. What this process is busy with, or has ended since, it
// knows better.
func (a *area) learn(name string, before, k *kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.names[name]
	switch {
	case e != nil && (e.live != nil || e.held != nil):
	case e == nil && before != nil, e != nil && e.kept != before:
	case k == nil:
		delete(a.names, name)
	case e == nil:
		a.names[name] = &entry{kept: k}
	default:
		if e.kept.id == k.id {
			k.mtime = e.kept.mtime
		}
		e.kept = k
	}
}

// aim tells a store that chooses early under which names the bundle may end: its
// own, or the first ones beside it where that is taken.
func (u *Upload) aim() {
	w, ok := u.writer.(store.Aimer)
	if !ok {
		return
	}
	var keys []store.Key
	if final := receiptKey(u.name); isBundleName(final) {
		for n := 1; n <= maxAimed; n++ {
			keys = append(keys, u.area.key(numbered(final, n)))
		}
	}
	w.Aim(keys...)
}

// maxAimed is how many names beside each other are aimed at.
const maxAimed = 4

// checkpoint saves the upload's state when it is time: after so many bytes, or with
// every piece of a store that takes pieces.
func (u *Upload) checkpoint() error {
	c, ok := u.writer.(store.Checkpointer)
	if !ok {
		if u.received.Load()-max(u.saved, u.noted) < u.area.tree.cfg.Checkpoint {
			return nil
		}
		return u.saveBeside()
	}
	u.catchUp()
	if !c.Due() {
		return nil
	}
	state, err := u.state()
	if err != nil {
		return err
	}
	return c.Checkpoint(state)
}

// saveBeside is a save that lets the next bytes come meanwhile, where the store can.
func (u *Upload) saveBeside() error {
	s, ok := u.writer.(store.BesideSaver)
	if !ok {
		return u.save(context.Background())
	}
	state, err := u.state()
	if err != nil {
		return err
	}
	start := u.area.tree.cfg.Now()
	err = s.SaveBeside(state)
	u.area.tree.observe("save", start, err)
	u.catchUp()
	u.noted = u.received.Load()
	return err
}

// catchUp learns how much the store has made durable by itself.
func (u *Upload) catchUp() {
	if k, ok := u.writer.(interface{ Kept() int64 }); ok {
		u.saved = max(u.saved, k.Kept())
	}
}

// unreadable ends an upload that can neither be continued nor checked anew.
func (u *Upload) unreadable(ctx context.Context, cause error) error {
	return errors.Join(fs.ErrNotExist, cause, u.area.forget(ctx, u.kept.id))
}
