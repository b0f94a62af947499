package vfs

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"

	"bundleup/vfs/store"
)

// Stat answers what this connection was last told about the name, then what is
// being sent or kept, then what was accepted.
func (c *customer) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	rel, receipt := c.locate(name)
	switch {
	case rel == c.base && receipt:
		return c.area.statReceipt(ctx, "")
	case rel == c.base:
		return &Info{name: "/", mode: modeDir, time: c.area.tree.cfg.Now()}, nil
	case receipt:
		return c.area.statReceipt(ctx, rel)
	}
	if out, ok := c.outcome(rel); ok {
		if out.err != nil {
			return nil, out.err
		}
		return out.info, nil
	}
	if err := c.area.refresh(ctx, "stat", rel); err != nil {
		return nil, err
	}
	if i, ok := c.area.info(rel); ok {
		return i, nil
	}
	return c.area.stat(ctx, rel)
}

// stat describes a bundle or a directory of the area.
func (a *area) stat(ctx context.Context, rel string) (fs.FileInfo, error) {
	i, err := a.sealed(ctx, rel)
	if err == nil {
		return i, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, internal("stat", rel, err)
	}
	ok, err := a.directory(ctx, rel)
	if err != nil {
		return nil, internal("stat", rel, err)
	}
	if !ok {
		return nil, missing("stat", rel)
	}
	return &Info{name: path.Base(rel), mode: modeDir, time: a.tree.cfg.Now()}, nil
}

// List merges what is sealed with what is unfinished.
func (c *customer) List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	rel, receipt := c.locate(dir)
	var sealed iter.Seq2[fs.FileInfo, error] = func(func(fs.FileInfo, error) bool) {}
	if c.begun(ctx, rel) && receipt {
		sealed = c.area.listReceipts(ctx, rel)
	} else if c.begun(ctx, rel) {
		sealed = c.area.list(ctx, rel)
	}
	if receipt {
		return sealed
	}
	return func(yield func(fs.FileInfo, error) bool) {
		if err := c.area.refreshDir(ctx, rel); err != nil {
			yield(nil, err)
			return
		}
		extra := c.area.unfinished(rel)
		if rel == c.base {
			extra = insertInfo(extra, &Info{name: receiptsDir, mode: modeReadDir, time: c.area.tree.cfg.Now()})
		}
		for i, err := range merge(sealed, extra) {
			if err == nil && c.hidden(path.Join(rel, i.Name())) {
				continue
			}
			if !yield(i, err) {
				return
			}
		}
	}
}

// hidden reports a name whose upload this connection saw fail.
func (c *customer) hidden(rel string) bool {
	out, ok := c.outcome(rel)
	return ok && out.err != nil
}

// list yields the bundles and directories of one directory.
func (a *area) list(ctx context.Context, rel string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		if a.key(rel).Check() != nil {
			yield(nil, missing("list", rel))
			return
		}
		for i, err := range a.tree.store.List(ctx, a.key(rel)) {
			if errors.Is(err, fs.ErrNotExist) {
				if rel != "" {
					yield(nil, missing("list", rel))
				}
				return
			}
			if err != nil {
				yield(nil, internal("list", rel, err))
				return
			}
			if !yield(sealedInfo(i), nil) {
				return
			}
		}
	}
}

func sealedInfo(i store.Info) *Info {
	mode := fs.FileMode(modeBundle)
	if i.Dir {
		mode = modeDir
	}
	return &Info{name: i.Key.Base(), size: i.Size, mode: mode, time: i.ModTime}
}

// Open gives a receipt to read. Bundles go one way only.
func (c *customer) Open(ctx context.Context, name string) (File, error) {
	rel, receipt := c.locate(name)
	if receipt {
		return c.area.openReceipt(ctx, rel)
	}
	if _, err := c.Stat(ctx, name); err != nil {
		return nil, err
	}
	return nil, &Error{Kind: Denied, Op: "open", Name: rel,
		Text: "bundles are sent, not read back: the receipt is /" + path.Join(receiptsDir, rel) + ".json"}
}
