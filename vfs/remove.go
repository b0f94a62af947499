package vfs

import (
	"context"
)

// Remove forgets an unfinished upload; a running one is ended.
func (c *customer) Remove(ctx context.Context, name string) error {
	rel, receipt := c.locate(name)
	if receipt {
		return denied("remove", rel)
	}
	if out, ok := c.outcome(rel); ok && out.err != nil {
		if _, unfinished := c.area.info(rel); !unfinished {
			return out.err
		}
	}
	if err := c.area.refresh(ctx, "remove", rel); err != nil {
		return err
	}
	l, err := c.area.hold(ctx, rel)
	switch {
	case err != nil:
		return err
	case l.live != nil:
		return l.live.removeBy(context.WithoutCancel(ctx), c.account.Name)
	case l.kept != nil:
		return c.removeKept(context.WithoutCancel(ctx), l)
	}
	return c.removeRefused(ctx, rel)
}

// removeKept forgets a suspended upload.
func (c *customer) removeKept(ctx context.Context, l *lent) error {
	err := c.area.forget(ctx, l.kept.id)
	l.giveBack(err == nil)
	if err != nil {
		return internal("remove", l.name, err)
	}
	c.area.used.gone(l.kept.size)
	c.area.tree.cfg.Events.removed(c.peer, UploadID{ID: string(l.kept.id), Tenant: string(c.area.tenant), Account: c.account.Name, Name: l.name})
	c.forgetOutcome(l.name)
	return nil
}

// removeRefused says why a name without an unfinished upload is not removed.
func (c *customer) removeRefused(ctx context.Context, rel string) error {
	i, err := c.area.stat(ctx, rel)
	switch {
	case err != nil:
		return missing("remove", rel)
	case i.IsDir():
		return &Error{Kind: Denied, Op: "remove", Name: rel, Text: "directories are not removed"}
	}
	return &Error{Kind: Denied, Op: "remove", Name: rel, Text: rel + " was accepted and is kept: send a new one under any name, nothing is overwritten"}
}
