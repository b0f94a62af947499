package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// area is one tenant's unfinished uploads, by name. Sealed bundles live in the
// store alone.
//
// Lock order: an Upload's mutex is taken before area.mu, never after.
type area struct {
	tree       *Tree
	tenant     auth.Tenant
	publishing *locks // by name; held while a bundle is sealed under it
	used       ledger // what counts against the tenant's quota
	// retired is when the retention was last looked at; the janitor's alone.
	retired time.Time

	mu    sync.Mutex // guards names and the entries
	names map[string]*entry
}

// entry is what an area knows about one unfinished name: the upload that is
// running, and what an earlier one left. One of them is set. A held entry has no
// running upload.
type entry struct {
	live *Upload
	kept *kept
	held *hold
}

// kept is a suspended upload.
type kept struct {
	id    store.ID
	size  int64
	saved time.Time
	mtime time.Time // of the bundle to be, where a client sent it after the close
}

// adopt takes over an upload that an earlier process left. Of two under one
// name the one with more bytes stays; the janitor finds the other one in the store.
func (a *area) adopt(name string, k *kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.names[name]; e != nil && e.kept.size >= k.size {
		return
	}
	a.names[name] = &entry{kept: k}
}

// claim makes u the running upload of its name and tells what is kept there. A
// stale upload of the same account is told to stop first: clients reconnect
// while the server still waits for their old connection (rclone).
func (a *area) claim(ctx context.Context, u *Upload) (*kept, error) {
	for {
		a.mu.Lock()
		e := a.names[u.name]
		if e == nil {
			e = &entry{}
			a.names[u.name] = e
		}
		old, held := e.live, e.held
		if old == nil && held == nil {
			e.live = u
			a.mu.Unlock()
			return e.kept, nil
		}
		a.mu.Unlock()
		err := error(nil)
		if held != nil {
			err = held.end(ctx)
		} else {
			err = old.yieldTo(ctx, u.account.Name, u.name)
		}
		if err != nil {
			return nil, err
		}
	}
}

// release ends u's claim. With k the name stays, as a suspended upload.
func (a *area) release(u *Upload, k *kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.names[u.name]
	if e == nil || e.live != u {
		return
	}
	e.live, e.kept = nil, k
	if k == nil {
		delete(a.names, u.name)
	}
}

// info describes the unfinished upload of a name.
func (a *area) info(name string) (*Info, bool) {
	a.mu.Lock()
	e := a.names[name]
	var live *Upload
	var k *kept
	if e != nil {
		live, k = e.live, e.kept
	}
	a.mu.Unlock()
	switch {
	case live != nil:
		return live.Info(), true
	case k != nil:
		return k.info(name), true
	}
	return nil, false
}

func (k *kept) info(name string) *Info {
	t := k.saved
	if !k.mtime.IsZero() {
		t = k.mtime
	}
	return &Info{name: path.Base(name), size: k.size, mode: modeUpload, time: t}
}

// touch keeps a modification time for a suspended upload.
func (a *area) touch(name string, t time.Time) bool {
	a.mu.Lock()
	e := a.names[name]
	var live *Upload
	if e != nil {
		live = e.live
		if e.kept != nil {
			e.kept.mtime = t
		}
	}
	a.mu.Unlock()
	if live != nil {
		live.Touch(t)
	}
	return e != nil
}

// unfinished lists the unfinished uploads in dir, sorted by name.
func (a *area) unfinished(dir string) []*Info {
	a.mu.Lock()
	var names []string
	for name := range a.names {
		if d := strings.TrimSuffix(name, path.Base(name)); strings.TrimSuffix(d, "/") == dir {
			names = append(names, name)
		}
	}
	a.mu.Unlock()
	slices.Sort(names)
	list := make([]*Info, 0, len(names))
	for _, name := range names {
		if i, ok := a.info(name); ok {
			list = append(list, i)
		}
	}
	return list
}

// forget throws a suspended upload's bytes away; one that is not there is
// forgotten already.
func (a *area) forget(ctx context.Context, id store.ID) error {
	w, _, _, err := a.tree.store.Resume(ctx, id)
	if errors.Is(err, store.ErrState) {
		var r interface{ Close() error }
		if w, r, _, err = a.tree.store.Recover(ctx, id); err == nil {
			r.Close()
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forget upload %s: %w", id, err)
	}
	return errors.Join(w.Discard(ctx), w.Close())
}

// sealed describes a bundle of the area.
func (a *area) sealed(ctx context.Context, name string) (*Info, error) {
	o, err := a.open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	i := o.Info()
	return &Info{name: path.Base(name), size: i.Size, mode: modeBundle, time: i.ModTime}, nil
}

func (a *area) open(ctx context.Context, name string) (store.Object, error) {
	key := a.key(name)
	if name == "" || key.Check() != nil || !isBundleName(name) {
		return nil, fs.ErrNotExist
	}
	return a.tree.store.Open(ctx, key)
}

// directory reports whether dir exists; the root always does.
func (a *area) directory(ctx context.Context, dir string) (bool, error) {
	key := a.key(dir)
	if dir == "" {
		return true, nil
	}
	if key.Check() != nil {
		return false, nil
	}
	for _, err := range a.tree.store.List(ctx, key) {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	return true, nil
}
