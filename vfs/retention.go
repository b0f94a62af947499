package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"bundleup/vfs/store"
)

// retireEvery is how often an area's bundles are held against the retention: each
// receipt is read for it.
const retireEvery = time.Hour

// retire removes the bundles of a tenant whose retention is over, at most a
// thousand a round. What is on hold stays, and so does a bundle whose receipt
// cannot be read: nothing else says when it was accepted.
func (a *area) retire(ctx context.Context) error {
	terms, now := a.terms(), a.tree.cfg.Now()
	e, can := a.tree.cfg.Store.(store.Eraser)
	if terms.Retention == 0 || !can || now.Before(a.retired.Add(retireEvery)) {
		return nil
	}
	a.retired = now
	old, err := a.acceptedBefore(ctx, now.Add(-terms.Retention), terms.Hold)
	errs := []error{err}
	for _, r := range old {
		if err := a.retireBundle(ctx, e, r); err != nil {
			errs = append(errs, fmt.Errorf("retire bundle %s: %w", a.key(r.StoredAs), err))
		}
	}
	if len(old) == maxExpired {
		a.retired = time.Time{} // the next round goes on
	}
	return errors.Join(errs...)
}

// acceptedBefore gives the receipts of bundles that were accepted before limit and
// are not on hold.
func (a *area) acceptedBefore(ctx context.Context, limit time.Time, hold []string) (old []*Receipt, err error) {
	errEnough := errors.New("enough")
	err = a.walk(ctx, "", func(i store.Info) error {
		name := a.rel(i.Key)
		if onHold(name, hold) {
			return nil
		}
		r, err := a.receipt(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Finished.Before(limit) {
			r.StoredAs, r.Size = name, i.Size
			old = append(old, r)
		}
		if len(old) == maxExpired {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return old, fmt.Errorf("look for bundles of %s to retire: %w", a.tenant, err)
	}
	return old, nil
}

// retireBundle removes one. Nobody publishes under its name meanwhile.
func (a *area) retireBundle(ctx context.Context, e store.Eraser, r *Receipt) error {
	defer a.publishing.lock(r.StoredAs)()
	err := e.Erase(ctx, a.key(r.StoredAs))
	a.tree.readers.forget(a.key(r.StoredAs))
	if err != nil {
		return err
	}
	a.used.gone(r.Size)
	a.tree.cfg.Events.retired(UploadID{ID: r.ID, Tenant: string(a.tenant), Account: r.Account, Name: r.StoredAs})
	return nil
}

// onHold reports whether a bundle lies in or below one of the directories; "/" is
// the whole area.
func onHold(name string, hold []string) bool {
	for _, dir := range hold {
		if dir = clean(dir); dir == "" || name == dir || strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}
