package vfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"bundleup/vfs/store"
)

const (
	acceptedDoc = "receipt.json" // beside a bundle
	refusedDoc  = "refused.json" // the latest refusal under a name
	// maxNumbered bounds how many bundles may stand beside each other under
	// one name.
	maxNumbered = 10000
)

// publish seals w as the bundle r.Name and returns its receipt. Where that name
// has a bundle, the same bytes give the first receipt and w is discarded; other
// bytes are kept beside it under the next free number.
func (a *area) publish(ctx context.Context, w store.Writer, r Receipt, mtime time.Time) (*Receipt, error) {
	defer a.publishing.lock(r.Name)()
	for n := 1; n <= maxNumbered; n++ {
		r.StoredAs = numbered(r.Name, n)
		if first := a.same(ctx, &r); first != nil {
			return first, w.Discard(ctx)
		}
		err := a.seal(ctx, w, &r, mtime)
		if !errors.Is(err, store.ErrExist) {
			return &r, err
		}
		// Who has the name may have taken it just now, with the same bytes.
		if first := a.same(ctx, &r); first != nil {
			return first, w.Discard(ctx)
		}
	}
	return nil, fmt.Errorf("publish %q: %d bundles have that name: %w", r.Name, maxNumbered, store.ErrExist)
}

// same is the receipt of the bundle that stands where r wants to be, if it has the
// same bytes.
func (a *area) same(ctx context.Context, r *Receipt) *Receipt {
	first, err := a.receipt(ctx, r.StoredAs)
	if err != nil || first.Verdict != Accepted || first.Size != r.Size || first.SHA256 != r.SHA256 {
		return nil
	}
	first.Repeated = true
	return first
}

// seal publishes w under r.StoredAs, with r beside it.
func (a *area) seal(ctx context.Context, w store.Writer, r *Receipt, mtime time.Time) error {
	r.Finished = a.tree.cfg.Now().UTC()
	doc, err := encodeReceipt(r)
	if err != nil {
		return err
	}
	meta := store.Meta{ModTime: mtime, Docs: map[string][]byte{acceptedDoc: doc}}
	return w.Seal(ctx, a.key(r.StoredAs), meta)
}

// receipt is the one of the bundle that stands under the name.
func (a *area) receipt(ctx context.Context, name string) (*Receipt, error) {
	doc, err := a.tree.cfg.Store.Record(ctx, a.key(name), acceptedDoc)
	if err != nil {
		return nil, err
	}
	r := &Receipt{}
	if err := json.Unmarshal(doc, r); err != nil {
		return nil, fmt.Errorf("receipt of %q: %w", name, err)
	}
	return r, nil
}

// fileRefusal keeps the receipt of a refused upload.
func (a *area) fileRefusal(ctx context.Context, r *Receipt) error {
	doc, err := encodeReceipt(r)
	if err != nil {
		return err
	}
	return a.tree.cfg.Store.PutRecord(ctx, a.key(receiptKey(r.Name)), refusedDoc, doc)
}

func encodeReceipt(r *Receipt) ([]byte, error) {
	doc, err := json.MarshalIndent(r, "", "  ")
	return append(doc, '\n'), err
}

// Expire forgets unfinished uploads and receipts of refusals that are older than
// the Config keeps them. It is called from time to time; ctx bounds one round.
func (t *Tree) Expire(ctx context.Context) error {
	now := t.cfg.Now()
	var errs []error
	for _, a := range t.allAreas() {
		errs = append(errs, a.expire(ctx, now.Add(-t.cfg.Keep)))
		a.used.recount()
	}
	return errors.Join(append(errs, t.expireRefusals(ctx, "", now.Add(-t.cfg.KeepRefused)))...)
}

// expire forgets suspended uploads that were saved before limit.
func (a *area) expire(ctx context.Context, limit time.Time) error {
	a.mu.Lock()
	old := make(map[string]*kept)
	for name, e := range a.names {
		if e.live == nil && e.kept.saved.Before(limit) {
			old[name] = e.kept
			delete(a.names, name)
		}
	}
	a.mu.Unlock()
	var errs []error
	for name, k := range old {
		if err := a.forget(ctx, k.id); err != nil {
			a.put(name, k)
			errs = append(errs, err)
			continue
		}
		a.used.gone(k.size)
		a.tree.cfg.Events.expired(UploadID{ID: string(k.id), Tenant: string(a.tenant), Name: name})
	}
	return errors.Join(errs...)
}

// expireRefusals walks the records below dir.
func (t *Tree) expireRefusals(ctx context.Context, dir store.Key, limit time.Time) error {
	for i, err := range t.cfg.Store.Records(ctx, dir) {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return fmt.Errorf("list records of %q: %w", dir, err)
		}
		if filed, ok := i.Docs[refusedDoc]; ok && filed.Before(limit) {
			if err := t.cfg.Store.RemoveRecord(ctx, i.Key, refusedDoc); err != nil {
				return fmt.Errorf("expire refusal of %q: %w", i.Key, err)
			}
		}
		if i.Dir {
			if err := t.expireRefusals(ctx, i.Key, limit); err != nil {
				return err
			}
		}
	}
	return nil
}
