package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"bundleup/vfs/store"
)

// Guarantees is what a storage was seen to honour.
type Guarantees struct {
	// Create: a put with If-None-Match fails where there is an object. Names
	// of several nodes depend on it.
	Create bool
	// Replace: a put with If-Match fails where the object has changed. Leases
	// and fencing depend on it.
	Replace bool
	// Read: a get with If-Match fails where the object has changed.
	Read bool
	// CRC32C and MD5: a body that does not have the digest of its header is
	// refused. With neither, an error on the way goes unnoticed.
	CRC32C, MD5 bool
	// List and Uploads: objects and multipart uploads can be listed; the
	// latter is for the janitor only.
	List, Uploads bool
}

// MultiNode says whether several daemons may share the storage.
func (g Guarantees) MultiNode() bool { return g.Create && g.Replace }

// ErrOneNode says that the storage ignores conditions that several daemons need.
var ErrOneNode = errors.New("the storage ignores conditional writes, so only one daemon may use it")

// Probe asks the storage what it honours, with a few small objects below probe/
// that it removes again. An error is one of access, not a missing guarantee.
func Probe(ctx context.Context, opts Options) (Guarantees, error) {
	err := opts.check()
	var s *Store
	if err == nil {
		s, err = connect(ctx, opts)
	}
	if err == nil {
		err = s.probe(ctx)
	}
	if err != nil {
		return Guarantees{}, fmt.Errorf("probe bucket %q: %w", opts.Bucket, err)
	}
	return s.found, nil
}

// adapt probes and draws the consequences.
func (s *Store) adapt(ctx context.Context) error {
	if err := s.probe(ctx); err != nil {
		return err
	}
	switch {
	case s.found.CRC32C:
		s.sum = sumCRC32C
	case s.found.MD5:
		s.sum = sumMD5
	}
	if s.found.MultiNode() {
		return nil
	}
	if !s.opts.SingleNode {
		return ErrOneNode
	}
	s.unconditional = &emulation{}
	return nil
}

func (s *Store) probe(ctx context.Context) error {
	key := probeDir + s.owner
	one, two := bytesBody([]byte("one")), bytesBody([]byte("two"))
	etag, err := s.putObject(ctx, key, one, always, nil)
	if err != nil {
		return err
	}
	defer s.delete(context.WithoutCancel(ctx), key)
	if _, err := s.putObject(ctx, key, two, always, nil); err != nil {
		return err
	}
	g := &s.found
	stale := make([]byte, 3)
	err = errors.Join(
		refused(&g.Create, s.try(ctx, key, bytesBody([]byte("three")), absent)),
		refused(&g.Replace, s.try(ctx, key, bytesBody([]byte("four")), matching(etag))),
		refused(&g.Read, s.getRange(ctx, key, etag, stale, 0)),
	)
	if err == nil && g.Replace {
		// One that refuses every condition, quoted or not, is of no use.
		var now string
		if now, err = s.putObject(ctx, key, two, always, nil); err == nil {
			g.Replace = s.try(ctx, key, two, matching(now)) == nil
		}
	}
	if err != nil {
		return err
	}
	s.probeDigests(ctx, key)
	_, err = s.list(ctx, probeDir, "", "", "")
	g.List = err == nil
	_, err = s.uploads(ctx)
	g.Uploads = err == nil
	if !g.List {
		return errors.New("objects cannot be listed: s3:ListBucket is missing")
	}
	return nil
}

func (s *Store) try(ctx context.Context, key string, b body, cond condition) error {
	_, err := s.putObject(ctx, key, b, cond, nil)
	return err
}

// refused notes whether a condition was honoured. Any other failure than that is
// returned.
func refused(honoured *bool, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errConflict):
		*honoured = true
		return nil
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, fs.ErrNotExist), errors.Is(err, context.Canceled):
		return err
	}
	return nil // such as 501 for a header that is not implemented
}

// probeDigests sends bodies that do not have their digests.
func (s *Store) probeDigests(ctx context.Context, key string) {
	quick := *s.client
	quick.tries = 1
	for sum, honoured := range map[digest]*bool{sumCRC32C: &s.found.CRC32C, sumMD5: &s.found.MD5} {
		quick.sum = sum
		good, bad := bytesBody([]byte("good")), bytesBody([]byte("bad"))
		bad.crc++
		if sum == sumMD5 {
			bad.r = &fickle{first: []byte("bad"), then: []byte("BAD")}
		}
		_, gerr := quick.putObject(ctx, key, good, always, nil)
		_, berr := quick.putObject(ctx, key, bad, always, nil)
		*honoured = gerr == nil && berr != nil
	}
}

// fickle reads as first for the digest, and then as something else.
type fickle struct {
	first, then []byte
	reads       int
}

func (f *fickle) ReadAt(p []byte, off int64) (int, error) {
	src := f.then
	if f.reads == 0 {
		src = f.first
	}
	if off == 0 {
		f.reads++
	}
	return bytes.NewReader(src).ReadAt(p, off)
}
