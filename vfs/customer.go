package vfs

import (
	"cmp"
	"context"
	"path"
	"strings"

	"bundleup/auth"
	"bundleup/vfs/bundle"
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

// limits are what a bundle of this account may be.
func (c *customer) limits() bundle.Limits {
	l := c.area.tree.cfg.Check
	if n := c.account.MaxSize; n > 0 {
		l.MaxSize = min(n, cmp.Or(l.MaxSize, bundle.DefaultLimits().MaxSize))
	}
	return l
}

// inReceipts cuts the receipts directory off; ok says that it was there.
func inReceipts(rel string) (sub string, ok bool) {
	if rel == receiptsDir {
		return "", true
	}
	return strings.CutPrefix(rel, receiptsDir+"/")
}
