package vfs

import (
	"context"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// support sees every tenant's bundles, or those of the tenants its account
// lists, and can change nothing. Receipts are reachable at /TENANT/receipts/,
// though not listed beside the bundles.
type support struct {
	denyAll
	tree    *Tree
	account *auth.Account
	peer    Peer
}

// locate finds the area that a path lies in; rel is the path within it.
func (s *support) locate(op, name string) (a *area, rel string, err error) {
	tenant, rel, _ := strings.Cut(clean(name), "/")
	if _, ok := slices.BinarySearch(s.tree.tenants(s.account), auth.Tenant(tenant)); !ok {
		return nil, "", missing(op, name)
	}
	return s.tree.area(auth.Tenant(tenant)), rel, nil
}

// Stat describes the root, a tenant, a directory, a bundle or a receipt.
func (s *support) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if clean(name) == "" {
		return s.dir("/"), nil
	}
	a, rel, err := s.locate("stat", name)
	if err != nil {
		return nil, err
	}
	if rel == "" {
		return s.dir(string(a.tenant)), nil
	}
	if sub, ok := inReceipts(rel); ok {
		return a.statReceipt(ctx, sub)
	}
	i, err := a.stat(ctx, rel)
	return readOnly(i), err
}

func (s *support) dir(name string) *Info {
	return &Info{name: name, mode: modeReadDir, time: s.tree.cfg.Now()}
}

// readOnly shows a directory as one that cannot be written to.
func readOnly(i fs.FileInfo) fs.FileInfo {
	if d, ok := i.(*Info); ok && d.IsDir() {
		return &Info{name: d.name, mode: modeReadDir, time: d.time}
	}
	return i
}

// List yields the tenants at the root, and what was accepted below.
func (s *support) List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		if clean(dir) == "" {
			for _, t := range s.tree.tenants(s.account) {
				if !yield(s.dir(string(t)), nil) {
					return
				}
			}
			return
		}
		a, rel, err := s.locate("list", dir)
		if err != nil {
			yield(nil, err)
			return
		}
		seq := a.list(ctx, rel)
		if sub, ok := inReceipts(rel); ok {
			seq = a.listReceipts(ctx, sub)
		}
		for i, err := range seq {
			if !yield(readOnly(i), err) {
				return
			}
		}
	}
}

// Open opens a bundle or a receipt.
func (s *support) Open(ctx context.Context, name string) (File, error) {
	a, rel, err := s.locate("open", name)
	if err != nil {
		return nil, err
	}
	if sub, ok := inReceipts(rel); ok && sub != "" {
		return a.openReceipt(ctx, sub)
	}
	i, err := a.stat(ctx, rel)
	if err != nil {
		return nil, err
	}
	if i.IsDir() {
		return nil, &Error{Kind: Refused, Op: "open", Name: name, Text: "that is a directory"}
	}
	o, err := a.open(ctx, rel)
	if err != nil {
		return nil, internal("open", name, err)
	}
	return &sealedFile{Object: o, view: s, name: path.Join(string(a.tenant), rel)}, nil
}

// sealedFile is a bundle open for reading.
type sealedFile struct {
	store.Object
	view *support
	name string
	read atomic.Int64
}

// ReadAt counts what it hands out.
func (f *sealedFile) ReadAt(p []byte, off int64) (int, error) {
	t := f.view.tree
	start := t.cfg.Now()
	n, err := f.Object.ReadAt(p, off)
	t.observe("read", start, err)
	f.read.Add(int64(n))
	t.count.sent.Add(int64(n))
	return n, err
}

// Stat describes the bundle.
func (f *sealedFile) Stat() (fs.FileInfo, error) { return sealedInfo(f.Object.Info()), nil }

// Close reports what was read.
func (f *sealedFile) Close() error {
	f.view.tree.cfg.Events.read(f.view.peer, f.view.account.Name, f.name, f.read.Load())
	return f.Object.Close()
}
