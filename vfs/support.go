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
	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// support sees every tenant's bundles, or those of the tenants its account
// lists, and can change nothing. Receipts are reachable at /TENANT/receipts/,
// though not listed beside the bundles.
//
// Every bundle has two names: X.tgz is its bytes, X.tgz.d a directory of what is
// inside. One of them is listed, so that who copies a tenant's directory has
// everything once: X.tgz, or X.tgz.d for an account that expands. The other one is
// reachable all the same.
type support struct {
	denyAll
	tree    *Tree
	account *auth.Account
	peer    Peer
	waiting listeners
}

// inside finds the bundle that a path leads into.
func (s *support) inside(op, name string) (w *within, sub string, ok bool) {
	a, rel, err := s.locate(op, name)
	if err != nil {
		return nil, "", false
	}
	outer, sub, ok := CutBundle(rel)
	return &within{view: s, area: a, name: outer, op: op, path: name}, sub, ok
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
	if w, sub, ok := s.inside("stat", name); ok {
		return w.stat(ctx, sub, true)
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
		} else if w, sub, ok := s.inside("list", dir); ok {
			w.list(ctx, sub)(yield)
			return
		}
		for i, err := range seq {
			if !yield(s.expanded(readOnly(i)), err) {
				return
			}
		}
	}
}

// expanded shows a bundle as what is inside, to an account that expands.
func (s *support) expanded(i fs.FileInfo) fs.FileInfo {
	if !s.account.Expand || i == nil || i.IsDir() || !isBundleName(i.Name()) {
		return i
	}
	return &Info{name: i.Name() + insideSuffix, mode: modeReadDir, time: i.ModTime()}
}

// Lstat implements Linker.
func (s *support) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	if w, sub, ok := s.inside("stat", name); ok {
		return w.stat(ctx, sub, false)
	}
	return s.Stat(ctx, name)
}

// Readlink implements Linker. Links are inside bundles only.
func (s *support) Readlink(ctx context.Context, name string) (string, error) {
	if w, sub, ok := s.inside("readlink", name); ok {
		return w.readlink(ctx, sub)
	}
	if _, err := s.Stat(ctx, name); err != nil {
		return "", err
	}
	return "", &Error{Kind: Refused, Op: "readlink", Name: name, Text: "that is not a symbolic link"}
}

// Bundle implements Bundler.
func (s *support) Bundle(ctx context.Context, name string) (*bundle.Reader, func(), error) {
	a, rel, err := s.locate("open", name)
	if err != nil {
		return nil, nil, err
	}
	w := &within{view: s, area: a, name: rel, op: "open", path: name}
	r, err := w.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	return r.Reader, func() { s.tree.readers.release(r) }, nil
}

// Open opens a bundle, what is inside or a receipt.
func (s *support) Open(ctx context.Context, name string) (File, error) {
	a, rel, err := s.locate("open", name)
	if err != nil {
		return nil, err
	}
	if sub, ok := inReceipts(rel); ok && sub != "" {
		return a.openReceipt(ctx, sub)
	}
	if w, sub, ok := s.inside("open", name); ok {
		return w.open(ctx, sub)
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
