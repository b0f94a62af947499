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
		if n == 1 {
			r.Promised = a.promised(ctx, r.Name)
		}
	}
	return nil, fmt.Errorf("publish %q: %d bundles have that name: %w", r.Name, maxNumbered, store.ErrExist)
}

// promised reports that a name which cannot be had has no bundle.
func (a *area) promised(ctx context.Context, name string) bool {
	o, err := a.open(ctx, name)
	if err == nil {
		o.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
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
	meta := store.Meta{ModTime: mtime, Docs: map[string][]byte{acceptedDoc: doc}, Aside: journalDoc}
	start := a.tree.cfg.Now()
	err = w.Seal(ctx, a.key(r.StoredAs), meta)
	a.tree.observe("seal", start, err)
	if err != nil {
		return err
	}
	a.tree.readers.prepare(a.key(r.StoredAs))
	return nil
}

// receipt is the one of the bundle that stands under the name.
func (a *area) receipt(ctx context.Context, name string) (*Receipt, error) {
	doc, err := a.tree.store.Record(ctx, a.key(name), acceptedDoc)
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
	return a.tree.store.PutRecord(ctx, a.key(receiptKey(r.Name)), refusedDoc, doc)
}

func encodeReceipt(r *Receipt) ([]byte, error) {
	doc, err := json.MarshalIndent(r, "", "  ")
	return append(doc, '\n'), err
}
