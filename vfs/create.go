package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Create opens a name for an upload and takes it over from a stale connection.
func (c *customer) Create(ctx context.Context, name string, f Flags) (*Upload, error) {
	rel, receipt := c.locate(name)
	if c.account.Expired(c.area.tree.cfg.Now()) {
		return nil, &Error{Kind: Denied, Op: "open", Name: rel, Text: "this login has expired: nothing new can be sent with it: ask for a new one"}
	}
	if receipt {
		return nil, &Error{Kind: Refused, Op: "open", Name: rel, Text: "receipts are written by the server: upload elsewhere"}
	}
	if err := checkUploadName(rel); err != nil {
		return nil, &Error{Kind: Refused, Op: "open", Name: rel, Text: err.Error(), Err: err}
	}
	if err := c.parent(ctx, "open", rel); err != nil {
		return nil, err
	}
	if err := c.admit(ctx, rel, f); err != nil {
		return nil, err
	}
	twin, err := c.area.afford(ctx, rel)
	if err != nil {
		return nil, err
	}
	u := &Upload{view: c, area: c.area, account: c.account, name: rel, flags: f, since: c.area.tree.cfg.Now(), twin: twin}
	k, err := c.area.claim(ctx, u)
	if err != nil {
		return nil, err
	}
	c.area.used.begin(k)
	u.kept = k
	if k != nil {
		u.charged = k.size
	}
	if k != nil && !f.Trunc {
		u.received.Store(k.size)
	}
	if !f.Trunc {
		c.forgetOutcome(rel)
	}
	return u, nil
}

// admit weighs the open flags against what stands under the name.
func (c *customer) admit(ctx context.Context, rel string, f Flags) error {
	if err := c.area.refresh(ctx, "open", rel); err != nil {
		return err
	}
	_, unfinished := c.area.info(rel)
	i, err := c.area.stat(ctx, rel)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	exists := unfinished || err == nil
	switch {
	case err == nil && i.IsDir():
		return &Error{Kind: Refused, Op: "open", Name: rel, Text: rel + " is a directory"}
	case exists && f.Excl:
		return &Error{Kind: Exists, Op: "open", Name: rel, Text: rel + " exists already"}
	case !exists && !f.Create:
		return missing("open", rel)
	}
	return nil
}

// parent reports why nothing can be made under rel's directory.
func (c *customer) parent(ctx context.Context, op, rel string) error {
	dir := path.Dir("/" + rel)[1:]
	if dir == c.base {
		return nil
	}
	ok, err := c.area.directory(ctx, dir)
	if err != nil {
		return internal(op, rel, err)
	}
	if !ok {
		return &Error{Kind: NotExist, Op: op, Name: rel, Text: fmt.Sprintf("there is no directory /%s: make it first, or upload to /", dir)}
	}
	return nil
}

// Mkdir makes a directory in the tenant's area.
func (c *customer) Mkdir(ctx context.Context, name string) error {
	rel, receipt := c.locate(name)
	err := checkDirName(rel)
	if receipt {
		err = checkDirName(receiptsDir)
	}
	if err != nil {
		return &Error{Kind: Refused, Op: "mkdir", Name: rel, Text: err.Error(), Err: err}
	}
	if err := c.parent(ctx, "mkdir", rel); err != nil {
		return err
	}
	if _, err := c.area.stat(ctx, rel); err == nil {
		return &Error{Kind: Exists, Op: "mkdir", Name: rel, Text: rel + " exists already"}
	}
	if err := c.area.tree.store.Mkdir(ctx, c.area.key(rel)); err != nil {
		return internal("mkdir", rel, err)
	}
	return nil
}
