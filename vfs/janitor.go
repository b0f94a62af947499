package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// maxExpired bounds what one round removes, of uploads and of receipts: a daemon
// that comes back after a long time has customers to serve as well.
const maxExpired = 1000

// Expire forgets unfinished uploads and receipts of refusals that are older than
// the Config keeps them, and bundles that their tenant's retention is over for, at
// most a thousand of each; the next call goes on. What fails is told at the end and
// does not stop the rest. It is called from time to time by one goroutine; ctx
// bounds one round.
func (t *Tree) Expire(ctx context.Context) error {
	now := t.cfg.Now()
	errs := []error{t.expireUploads(ctx, now.Add(-t.cfg.Keep))}
	for _, tenant := range t.cfg.Tenants() {
		errs = append(errs, t.area(tenant).retire(ctx))
	}
	for _, a := range t.allAreas() {
		a.used.recount()
	}
	return errors.Join(errors.Join(errs...), t.expireRefusals(ctx, now.Add(-t.cfg.KeepRefused)))
}

// expireUploads goes through the store and not through the areas' names: of two
// uploads under one name an area knows only one.
func (t *Tree) expireUploads(ctx context.Context, limit time.Time) error {
	var old []store.Suspended
	for s, err := range t.store.Suspended(ctx) {
		if err != nil {
			return fmt.Errorf("list suspended uploads: %w", err)
		}
		if s.Saved.Before(limit) {
			old = append(old, s)
		}
		if len(old) == maxExpired {
			break
		}
	}
	var errs []error
	for _, s := range old {
		if err := t.expireUpload(ctx, s, limit); err != nil {
			errs = append(errs, fmt.Errorf("expire upload %s: %w", s.ID, err))
		}
	}
	return errors.Join(errs...)
}

// expireUpload forgets one, unless somebody has taken it up since it was listed.
func (t *Tree) expireUpload(ctx context.Context, s store.Suspended, limit time.Time) error {
	tenant, name, ok := strings.Cut(string(s.Name), "/")
	if !ok {
		return nil // no upload of ours has such a name
	}
	a := t.area(auth.Tenant(tenant))
	l, held := a.tryHold(name, nil)
	if held != nil || l.live != nil {
		return nil
	}
	current := l.kept != nil && l.kept.id == s.ID
	if current && !l.kept.saved.Before(limit) {
		l.giveBack(false)
		return nil
	}
	err := a.forget(ctx, s.ID)
	l.giveBack(current && err == nil)
	if errors.Is(err, store.ErrBusy) {
		return nil
	}
	if err == nil && current {
		a.used.gone(l.kept.size)
	}
	if err == nil {
		t.cfg.Events.expired(UploadID{ID: string(s.ID), Tenant: tenant, Name: name})
	}
	return err
}

// expireRefusals forgets receipts of refusals that were filed before limit.
func (t *Tree) expireRefusals(ctx context.Context, limit time.Time) error {
	old, err := t.oldRefusals(ctx, "", limit, nil)
	errs := []error{err}
	for _, key := range old {
		err := t.store.RemoveRecord(ctx, key, refusedDoc)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("expire refusal of %q: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// oldRefusals collects them from the records below dir, which nest as deep as
// customers' directories may.
func (t *Tree) oldRefusals(ctx context.Context, dir store.Key, limit time.Time, old []store.Key) ([]store.Key, error) {
	for i, err := range t.store.Records(ctx, dir) {
		if err != nil {
			return old, fmt.Errorf("list records of %q: %w", dir, err)
		}
		if filed, ok := i.Docs[refusedDoc]; ok && filed.Before(limit) {
			old = append(old, i.Key)
		}
		if i.Dir {
			if old, err = t.oldRefusals(ctx, i.Key, limit, old); err != nil {
				return old, err
			}
		}
		if len(old) >= maxExpired {
			return old[:maxExpired], nil
		}
	}
	return old, nil
}
