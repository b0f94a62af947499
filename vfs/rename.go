package vfs

import (
	"context"
	"fmt"
	"path"
	"time"

	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// Rename publishes a finished upload under a bundle's name.
func (c *customer) Rename(ctx context.Context, from, to string) error {
	src, ofReceipts := c.locate(from)
	dst, toReceipts := c.locate(to)
	if ofReceipts || toReceipts {
		return denied("rename", src)
	}
	if out, ok := c.outcome(src); ok && out.err != nil {
		return out.err
	}
	err := checkComponents(path.Dir("/" + dst))
	if err == nil {
		err = checkBundleName(path.Base("/" + dst))
	}
	if err != nil {
		return &Error{Kind: Refused, Op: "rename", Name: src, Text: err.Error(), Err: err}
	}
	if err := c.parent(ctx, "rename", dst); err != nil {
		return err
	}
	if err := c.area.refresh(ctx, "rename", src); err != nil {
		return err
	}
	l, err := c.area.hold(ctx, src)
	switch {
	case err != nil:
		return err
	case l.live != nil:
		return &Error{Kind: Refused, Op: "rename", Name: src, Text: src + " is still being sent: close it, then rename it"}
	case l.kept == nil:
		return c.renameRefused(ctx, src)
	}
	r, err := c.area.renamed(context.WithoutCancel(ctx), l.kept, src, dst, c.limits())
	l.giveBack(err == nil)
	if err != nil {
		return err
	}
	if r.Repeated {
		c.area.used.gone(l.kept.size)
	}
	c.forgetOutcome(src)
	c.published(dst, r)
	return nil
}

// renameRefused says why a name without an unfinished upload is not renamed.
func (c *customer) renameRefused(ctx context.Context, src string) error {
	if _, err := c.area.stat(ctx, src); err != nil {
		return missing("rename", src)
	}
	return &Error{Kind: Denied, Op: "rename", Name: src, Text: src + " is in its place for good: what was accepted is not renamed"}
}

// renamed publishes a suspended upload, which must be whole, as dst.
func (a *area) renamed(ctx context.Context, k *kept, src, dst string, limits bundle.Limits) (*Receipt, error) {
	w, state, _, err := a.tree.store.Resume(ctx, k.id)
	if err != nil {
		return nil, internal("rename", src, err)
	}
	defer w.Close()
	check := a.tree.newCheck(limits)
	d, sum, err := decodeState(state, check)
	if err != nil {
		return nil, internal("rename", src, err)
	}
	m, err := check.Finish()
	if err != nil {
		return nil, &Error{Kind: Refused, Op: "rename", Name: src, Err: err,
			Text: fmt.Sprintf("%s is incomplete: %s bytes are kept: continue there, close it, then rename it", src, commas(k.size))}
	}
	record(w, check).end()
	d.complete(m, sum.Sum(nil))
	d.Receipt.Name = dst
	if !k.mtime.IsZero() {
		d.ModTime = k.mtime
	}
	r, err := a.publish(ctx, w, d.Receipt, d.ModTime)
	if err != nil {
		return nil, internal("rename", src, err)
	}
	return r, nil
}

// published notes on the connection what became of a name, and tells the events.
func (c *customer) published(name string, r *Receipt) {
	c.forgetOutcome(name)
	out := outcome{as: r.StoredAs, notice: r.Notice()}
	if r.StoredAs != name {
		out.info = &Info{name: path.Base(name), size: r.Size, mode: modeBundle, time: r.Finished}
	}
	c.sent.remember(name, out)
	if out.info != nil {
		c.remember(name, out)
	}
	c.area.tree.cfg.Events.accepted(c.peer, r)
}

// Touch keeps a modification time: for an unfinished upload until it is
// published, for a bundle only on the connection that sent it. Elsewhere the
// time is accepted and ignored, because clients give up when it is refused.
func (c *customer) Touch(ctx context.Context, name string, mtime time.Time) error {
	rel, receipt := c.locate(name)
	if receipt || c.area.touch(rel, mtime) {
		return nil
	}
	out, ok := c.sent.outcome(rel)
	t, can := c.area.tree.cfg.Store.(store.Toucher)
	if !ok || !can {
		return nil
	}
	if err := t.Touch(ctx, c.area.key(out.as), mtime); err != nil {
		return internal("setstat", rel, err)
	}
	if out.info != nil {
		i := *out.info
		i.time = mtime
		c.remember(rel, outcome{info: &i, as: out.as})
	}
	return nil
}

// Notice tells what became of a name that this connection published.
func (c *customer) Notice(name string) string {
	rel, _ := c.locate(name)
	out, _ := c.sent.outcome(rel)
	return out.notice
}
