package vfs

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"bundleup/vfs/store"
)

// Digest names a hash function that Sum can give. Clients choose the weak ones by
// themselves to find errors of transport; nothing here trusts them.
type Digest string

// The digests, by their usual names.
const (
	MD5    Digest = "md5"
	SHA1   Digest = "sha1"
	SHA256 Digest = "sha256"
)

// New makes the hash; nil for an unknown name.
func (d Digest) New() hash.Hash {
	switch d {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	}
	return nil
}

// Summer is the optional capability of a View to tell the digest of a bundle, in
// hex: for a customer of his own, also under the name he sent it by, and of an
// unfinished upload's kept bytes; for support of every bundle.
type Summer interface {
	Sum(ctx context.Context, name string, d Digest) (string, error)
}

// maxSums is how many bundles are read for their digests at once.
const maxSums = 2

// Sum tells the digest of what the connection sent under the name, or of what
// stands there.
func (c *customer) Sum(ctx context.Context, name string, d Digest) (string, error) {
	rel, receipt := c.locate(name)
	if receipt {
		return "", missing("sum", rel)
	}
	if out, ok := c.outcome(rel); ok && out.err != nil {
		return "", out.err
	}
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.area.refresh(ctx, "sum", rel); err != nil {
		return "", err
	}
	l, err := c.area.holdToRead(ctx, rel, cancel)
	switch {
	case err != nil:
		return "", err
	case l.live != nil:
		return "", &Error{Kind: Refused, Op: "sum", Name: rel, Text: rel + " is still being sent"}
	case l.kept != nil:
		defer l.giveBack(false)
		return c.area.sumKept(reading, rel, l.kept, d)
	}
	if out, ok := c.sent.outcome(rel); ok {
		rel = out.as
	}
	return c.area.sum(ctx, rel, d)
}

// Sum tells the digest of a bundle or of a file inside.
func (s *support) Sum(ctx context.Context, name string, d Digest) (string, error) {
	if w, sub, ok := s.inside("sum", name); ok {
		return w.sum(ctx, sub, d)
	}
	a, rel, err := s.locate("sum", name)
	if err != nil {
		return "", err
	}
	return a.sum(ctx, rel, d)
}

// sum reads the bundle, unless the receipt knows.
func (a *area) sum(ctx context.Context, rel string, d Digest) (string, error) {
	o, err := a.open(ctx, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return "", missing("sum", rel)
	}
	if err != nil {
		return "", internal("sum", rel, err)
	}
	defer o.Close()
	if r, err := a.receipt(ctx, rel); err == nil && d == SHA256 {
		return r.SHA256, nil
	}
	sum, err := a.tree.digest(ctx, io.NewSectionReader(o, 0, o.Info().Size), d)
	if err != nil {
		return "", internal("sum", rel, err)
	}
	return sum, nil
}

// sum reads a file inside.
func (w *within) sum(ctx context.Context, sub string, d Digest) (string, error) {
	f, err := w.open(ctx, sub)
	if err != nil {
		return "", err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return "", err
	}
	sum, err := w.area.tree.digest(ctx, io.NewSectionReader(f, 0, i.Size()), d)
	if err != nil {
		return "", w.explained(err)
	}
	return sum, nil
}

// sumKept reads what is kept of an unfinished upload, until ctx says that somebody
// goes on with it.
func (a *area) sumKept(ctx context.Context, rel string, k *kept, d Digest) (string, error) {
	w, r, _, err := a.tree.store.Recover(ctx, k.id)
	if errors.Is(err, store.ErrState) {
		return "", &Error{Kind: Refused, Op: "sum", Name: rel, Text: rel + " is not complete: it has no digest before it is", Err: err}
	}
	if err != nil {
		return "", internal("sum", rel, err)
	}
	defer w.Close()
	defer r.Close()
	sum, err := a.tree.digest(ctx, io.LimitReader(r, k.size), d)
	if context.Cause(ctx) == errTaken {
		return "", &Error{Kind: Refused, Op: "sum", Name: rel, Text: rel + " was opened or ended meanwhile: it has no digest now"}
	}
	if err != nil {
		return "", internal("sum", rel, err)
	}
	return sum, nil
}

// digest hashes r, when it is its turn, until ctx ends.
func (t *Tree) digest(ctx context.Context, r io.Reader, d Digest) (string, error) {
	h := d.New()
	if h == nil {
		return "", fmt.Errorf("digest %q is not known", d)
	}
	select {
	case t.sums <- struct{}{}:
		defer func() { <-t.sums }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if _, err := io.CopyBuffer(h, &untilDone{ctx, r}, make([]byte, 256<<10)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// untilDone is a reader that a context can stop.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
