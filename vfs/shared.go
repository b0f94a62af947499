package vfs

import (
	"context"
	"errors"
	"io/fs"
	"path"

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
	found, err := a.find(ctx, path.Dir("/" + name)[1:], path.Base(name))
	if err != nil {
		return internal(op, name, err)
	}
	a.learn(name, found[name])
	return nil
}

// refreshDir learns what is kept in a directory.
func (a *area) refreshDir(ctx context.Context, dir string) error {
	if a.finder() == nil || a.key(dir).Check() != nil {
		return nil
	}
	found, err := a.find(ctx, dir, "")
	if err != nil {
		return internal("list", dir, err)
	}
	for _, i := range a.unfinished(dir) {
		if name := path.Join(dir, i.Name()); found[name] == nil {
			a.learn(name, nil)
		}
	}
	for name, k := range found {
		a.learn(name, k)
	}
	return nil
}

// find asks the store. Of two uploads under one name the one with more bytes counts,
// as in adopt.
func (a *area) find(ctx context.Context, dir, base string) (map[string]*kept, error) {
	found := map[string]*kept{}
	for s, err := range a.finder().Find(ctx, a.key(dir), base) {
		if err != nil {
			return nil, err
		}
		name := path.Join(dir, s.Name.Base())
		if k := found[name]; k == nil || k.size < s.Size {
			found[name] = &kept{id: s.ID, size: s.Size, saved: s.Saved}
		}
	}
	return found, nil
}

// learn replaces what the area knows of a name by what the store said; k may be nil.
// What this process is busy with it knows better.
func (a *area) learn(name string, k *kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.names[name]
	switch {
	case e != nil && (e.live != nil || e.held != nil):
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
