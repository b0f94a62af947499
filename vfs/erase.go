package vfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// Erased is one thing that Erase removed.
type Erased struct {
	Name   string // within the tenant's area
	Upload string // ID; empty where no receipt tells it
	SHA256 string // of an accepted bundle's bytes
	Size   int64  // bytes of a bundle, or kept of an unfinished upload
	Kind   Remains
}

// Remains says what was removed.
type Remains string

// The kinds of what is removed.
const (
	Bundle     Remains = "bundle"     // with its receipt and index
	Unfinished Remains = "unfinished" // what was kept of an upload
	Receipts   Remains = "receipts"   // of refusals, without a bundle
)

// Erase removes for good what a tenant has, or what lies in one directory of its
// area: bundles with all their documents, unfinished uploads, receipts of refusals,
// and the directories. tell is called for each that is gone. It serves an
// operator's order and no View leads to it; nobody may upload meanwhile: an upload
// that is running is an error. After an error the rest is still there, and Erase
// can be called again.
func (t *Tree) Erase(ctx context.Context, tenant auth.Tenant, dir string, tell func(Erased)) error {
	e, ok := t.cfg.Store.(store.Eraser)
	if !ok {
		return errors.New("erase: this storage removes nothing that was accepted")
	}
	if _, err := auth.ParseTenant(string(tenant)); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	a := t.area(tenant)
	top := a.key(dir)
	if err := top.CheckObject(); err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	w := &erasure{area: a, store: e, tell: tell}
	for _, step := range []func(context.Context, store.Key) error{w.unfinished, w.bundles, w.records, w.directory} {
		if err := step(ctx, top); err != nil {
			return fmt.Errorf("erase: %w", err)
		}
	}
	return nil
}

// erasure is one run of Erase.
type erasure struct {
	area  *area
	store store.Eraser
	tell  func(Erased)
}

// name is a key within the tenant's area.
func (w *erasure) name(key store.Key) string {
	return strings.TrimPrefix(string(key), string(w.area.tenant)+"/")
}

// unfinished forgets the suspended uploads at and below top.
func (w *erasure) unfinished(ctx context.Context, top store.Key) error {
	if name, ok := w.running(top); ok {
		return fmt.Errorf("%s is being sent: stop the daemon first", name)
	}
	list, err := collect(w.area.tree.store.Suspended(ctx))
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Name != top && !strings.HasPrefix(string(s.Name), string(top)+"/") {
			continue
		}
		if err := w.forget(ctx, s); err != nil {
			return err
		}
		w.tell(Erased{Name: w.name(s.Name), Upload: string(s.ID), Size: s.Size, Kind: Unfinished})
	}
	return nil
}

// forget holds the upload's name meanwhile. Of two uploads under one name the area
// knows one.
func (w *erasure) forget(ctx context.Context, s store.Suspended) error {
	l, err := w.area.hold(ctx, w.name(s.Name))
	if err != nil {
		return err
	}
	err = w.area.forget(ctx, s.ID)
	l.giveBack(err == nil && l.kept != nil && l.kept.id == s.ID)
	return err
}

// running finds an upload at or below top that is open.
func (w *erasure) running(top store.Key) (string, bool) {
	w.area.mu.Lock()
	defer w.area.mu.Unlock()
	for name, e := range w.area.names {
		key := w.area.key(name)
		if e.live != nil && (key == top || strings.HasPrefix(string(key), string(top)+"/")) {
			return name, true
		}
	}
	return "", false
}

// collect takes all of a listing before anything in it is removed. What is not
// there has nothing in it.
func collect[T any](list iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range list {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// bundles removes the bundles and directories below dir.
func (w *erasure) bundles(ctx context.Context, dir store.Key) error {
	children, err := collect(w.area.tree.store.List(ctx, dir))
	if err != nil {
		return err
	}
	for _, i := range children {
		var err error
		if i.Dir {
			err = errors.Join(w.bundles(ctx, i.Key), w.records(ctx, i.Key), w.directory(ctx, i.Key))
		} else {
			err = w.bundle(ctx, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *erasure) bundle(ctx context.Context, i store.Info) error {
	gone := Erased{Name: w.name(i.Key), Size: i.Size, Kind: Bundle}
	// A receipt that cannot be read does not keep its bundle.
	if doc, err := w.area.tree.store.Record(ctx, i.Key, acceptedDoc); err == nil {
		var r Receipt
		if json.Unmarshal(doc, &r) == nil {
			gone.Upload, gone.SHA256 = r.ID, r.SHA256
		}
	}
	err := w.store.Erase(ctx, i.Key)
	w.area.tree.readers.forget(i.Key)
	if err != nil {
		return err
	}
	w.tell(gone)
	return nil
}

// records removes the documents below dir that have no bundle.
func (w *erasure) records(ctx context.Context, dir store.Key) error {
	children, err := collect(w.area.tree.store.Records(ctx, dir))
	if err != nil {
		return err
	}
	for _, i := range children {
		if i.Dir {
			if err := w.records(ctx, i.Key); err != nil {
				return err
			}
		}
		if err := w.directory(ctx, i.Key); err != nil {
			return err
		}
		if len(i.Docs) > 0 {
			w.tell(Erased{Name: w.name(i.Key), Kind: Receipts})
		}
	}
	return nil
}

// directory removes what is left at a key.
func (w *erasure) directory(ctx context.Context, key store.Key) error {
	if err := w.store.Erase(ctx, key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
