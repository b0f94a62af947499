package vfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"
	"time"

	"bundleup/auth"
	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// customer is a tenant's area as its own accounts see it: bundles and unfinished
// uploads by name, size and time, receipts to read, nothing else. Another tenant
// does not exist. For an upload token the directory of its case is the whole of
// it: /X.tgz and /CASE/X.tgz are the same there, and nothing else exists.
type customer struct {
	outcomes          // what STAT answers from
	sent     outcomes // the bundles that this connection brought
	area     *area
	base     string // the one directory of the area that there is; "" for all of it
	account  *auth.Account
	peer     Peer
}

func newCustomer(a *area, account *auth.Account, p Peer) *customer {
	return &customer{area: a, base: account.Case, account: account, peer: p}
}

// locate says what a peer's path means: a name in the area, or one in its receipts.
func (c *customer) locate(name string) (rel string, receipt bool) {
	rel, receipt = inReceipts(clean(name))
	if c.base != "" && rel != c.base && !strings.HasPrefix(rel, c.base+"/") {
		rel = path.Join(c.base, rel)
	}
	return rel, receipt
}

// begun reports whether rel is a directory that can be listed: a token's own need
// not be there before its first bundle.
func (c *customer) begun(ctx context.Context, rel string) bool {
	if rel != c.base || c.base == "" {
		return true
	}
	ok, err := c.area.directory(ctx, rel)
	return ok || err != nil
}

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

// limits are what a bundle of this account may be.
func (c *customer) limits() bundle.Limits {
	l := c.area.tree.cfg.Check
	if n := c.account.MaxSize; n > 0 {
		l.MaxSize = min(n, cmp.Or(l.MaxSize, bundle.DefaultLimits().MaxSize))
	}
	return l
}

// renamed publishes a suspended upload, which must be whole, as dst.
func (a *area) renamed(ctx context.Context, k *kept, src, dst string, limits bundle.Limits) (*Receipt, error) {
	w, state, _, err := a.tree.store.Resume(ctx, k.id)
	if err != nil {
		return nil, internal("rename", src, err)
	}
	defer w.Close()
	check := newCheck(limits)
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

// inReceipts cuts the receipts directory off; ok says that it was there.
func inReceipts(rel string) (sub string, ok bool) {
	if rel == receiptsDir {
		return "", true
	}
	return strings.CutPrefix(rel, receiptsDir+"/")
}

// internal hides a failure of ours from the peer; the log gets the cause.
func internal(op, name string, cause error) error {
	if e := (*Error)(nil); errors.As(cause, &e) {
		return e
	}
	if errors.Is(cause, store.ErrFull) {
		return &Error{Kind: Full, Op: op, Name: name, Text: "the server's disk is full: nothing was lost: try again later", Err: cause}
	}
	if errors.Is(cause, store.ErrUnavailable) {
		return &Error{Kind: Internal, Op: op, Name: name, Text: "the server's storage is not answering: nothing was lost: try again later", Err: cause}
	}
	return &Error{Kind: Internal, Op: op, Name: name, Text: "the server's storage failed: nothing was lost: try again later", Err: cause}
}
