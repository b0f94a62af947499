package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"bundleup/vfs/store"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// client speaks S3: every request has a bounded number of tries, each with a time
// limit, and an error that wraps what it means (see errors.go). Keys are relative
// to the prefix, ETags are without quotes: Ceph RGW fails every quoted If-Match.
type client struct {
	api     *s3.Client
	bucket  string
	prefix  string        // "" or with a slash at its end
	timeout time.Duration // of one try, beside the time for its bytes
	tries   int
	clock   *clock
	// sum is the digest that the server was seen to verify; it guards every body.
	sum digest
	// unconditional emulates conditions, for a storage that ignores them and
	// has one daemon only.
	unconditional *emulation
}

// digest names what guards a body on its way.
type digest string

const (
	sumCRC32C digest = "crc32c"
	sumMD5    digest = "md5"
	sumNone   digest = "none"
)

// slowest is the transfer rate in bytes per second below which a try is given up.
const slowest = mib

// do runs one request with its tries.
func (c *client) do(ctx context.Context, what, key string, size int64, f func(ctx context.Context) error) error {
	limit := c.timeout + time.Duration(size/slowest)*time.Second
	for n := 1; ; n++ {
		err := c.once(ctx, limit, f)
		if err == nil {
			return nil
		}
		err = classify(err)
		if ctx.Err() != nil || n == c.tries || !mayRetry(err) {
			return fmt.Errorf("%s %s: %w", what, key, ended(ctx, err))
		}
		select {
		case <-time.After(c.pause(n)):
		case <-ctx.Done():
		}
	}
}

func (c *client) once(ctx context.Context, limit time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// pause is the exponential wait behind try n, with jitter.
func (c *client) pause(n int) time.Duration {
	d := min(c.timeout/64<<n, 5*time.Second)
	return d/2 + rand.N(d/2+1)
}

func (c *client) key(k string) *string { return aws.String(c.prefix + k) }

func etagOf(s *string) string { return strings.Trim(aws.ToString(s), `"`) }

// seen sets the clock by a server's answer.
func (c *client) seen(m middleware.Metadata) {
	if t, ok := awsmiddleware.GetServerTime(m); ok {
		c.clock.heard(t)
	}
}

// condition is what a put demands of the object that is there.
type condition struct {
	absent bool
	etag   string
}

var (
	always = condition{}
	absent = condition{absent: true}
)

// matching is the condition for replacing what has the ETag; "" means nothing.
func matching(etag string) condition { return condition{absent: etag == "", etag: etag} }

// body is what a put sends; it can be read again for another try.
type body struct {
	r    io.ReaderAt
	size int64
	crc  uint32
}

func bytesBody(b []byte) body {
	return body{bytes.NewReader(b), int64(len(b)), crc32.Checksum(b, castagnoli)}
}

func (b body) reader() *io.SectionReader { return io.NewSectionReader(b.r, 0, b.size) }

// guard gives the digest of a body as the headers want it.
func (c *client) guard(b body) (crc, sum *string, err error) {
	switch c.sum {
	case sumCRC32C:
		return aws.String(crcText(b.crc)), nil, nil
	case sumMD5:
		h := md5.New()
		if _, err := io.Copy(h, b.reader()); err != nil {
			return nil, nil, err
		}
		return nil, aws.String(base64.StdEncoding.EncodeToString(h.Sum(nil))), nil
	}
	return nil, nil, nil
}

func crcText(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// put writes an object and returns its ETag.
func (c *client) put(ctx context.Context, key string, b body, cond condition, meta map[string]string) (string, error) {
	if c.unconditional != nil && cond != always {
		return c.unconditional.put(ctx, c, key, b, cond, meta)
	}
	return c.putObject(ctx, key, b, cond, meta)
}

func (c *client) putObject(ctx context.Context, key string, b body, cond condition, meta map[string]string) (etag string, err error) {
	crc, sum, err := c.guard(b)
	if err != nil {
		return "", err
	}
	in := &s3.PutObjectInput{
		Bucket: &c.bucket, Key: c.key(key), ContentLength: &b.size, Metadata: meta,
		ChecksumCRC32C: crc, ContentMD5: sum,
	}
	if cond.absent {
		in.IfNoneMatch = aws.String("*")
	} else if cond.etag != "" {
		in.IfMatch = &cond.etag
	}
	err = c.do(ctx, "put", key, b.size, func(ctx context.Context) error {
		in.Body = b.reader()
		out, err := c.api.PutObject(ctx, in)
		if err == nil {
			etag = etagOf(out.ETag)
			c.seen(out.ResultMetadata)
		}
		return err
	})
	return etag, err
}

// swap writes a small object under a condition. A try whose answer was lost may
// have been applied: what stands there then is what was sent.
func (c *client) swap(ctx context.Context, key string, data []byte, cond condition) (string, error) {
	etag, err := c.put(ctx, key, bytesBody(data), cond, nil)
	if errors.Is(err, fs.ErrNotExist) && cond.etag != "" {
		err = fmt.Errorf("%w: %w", errConflict, err)
	}
	if !errors.Is(err, errConflict) {
		return etag, err
	}
	now, etag, gerr := c.get(ctx, key)
	if gerr == nil && bytes.Equal(now, data) {
		return etag, nil
	}
	return "", err
}

// maxSmall bounds what is read into memory at once, in bytes.
const maxSmall = 256 << 20

// get reads a small object whole.
func (c *client) get(ctx context.Context, key string) (data []byte, etag string, err error) {
	err = c.do(ctx, "get", key, 0, func(ctx context.Context) error {
		out, err := c.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.bucket, Key: c.key(key)})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		size := aws.ToInt64(out.ContentLength)
		if size > maxSmall {
			return fmt.Errorf("%d bytes are too many for a record", size)
		}
		data = make([]byte, size)
		if _, err := io.ReadFull(out.Body, data); err != nil {
			return err
		}
		etag = etagOf(out.ETag)
		c.seen(out.ResultMetadata)
		return nil
	})
	return data, etag, err
}

// getRange reads len(p) bytes at off of the object that has the ETag.
func (c *client) getRange(ctx context.Context, key, etag string, p []byte, off int64) error {
	return c.ranged(ctx, key, etag, off, int64(len(p)), func(r io.Reader) error {
		_, err := io.ReadFull(r, p)
		return err
	})
}

// getTo reads size bytes at off into a part.
func (c *client) getTo(ctx context.Context, key, etag string, p *part, off, size int64) error {
	return c.ranged(ctx, key, etag, off, size, func(r io.Reader) error {
		p.rewind()
		n, err := io.Copy(p, r)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
}

func (c *client) ranged(ctx context.Context, key, etag string, off, size int64, read func(io.Reader) error) error {
	if size == 0 {
		return nil
	}
	in := &s3.GetObjectInput{
		Bucket: &c.bucket, Key: c.key(key), Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+size-1)),
	}
	if etag != "" {
		in.IfMatch = &etag
	}
	return c.do(ctx, "get", key, size, func(ctx context.Context) error {
		out, err := c.api.GetObject(ctx, in)
		if err != nil {
			return err
		}
		defer out.Body.Close()
		if n := aws.ToInt64(out.ContentLength); n != size {
			return fmt.Errorf("%d bytes of %d: %w", n, size, io.ErrUnexpectedEOF)
		}
		return read(out.Body)
	})
}

// head is what stands in an object's headers.
type head struct {
	size int64
	etag string
	time time.Time
	id   store.ID // of the upload that made it; "" for a foreign object
}

const idMeta = "bundleup-id"

func (c *client) head(ctx context.Context, key string) (h head, err error) {
	err = c.do(ctx, "head", key, 0, func(ctx context.Context) error {
		out, err := c.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &c.bucket, Key: c.key(key)})
		if err != nil {
			return err
		}
		h = head{aws.ToInt64(out.ContentLength), etagOf(out.ETag), aws.ToTime(out.LastModified), store.ID(out.Metadata[idMeta])}
		return nil
	})
	return h, err
}

// delete removes an object; one that is not there is fine.
func (c *client) delete(ctx context.Context, key string) error {
	return c.do(ctx, "delete", key, 0, func(ctx context.Context) error {
		_, err := c.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &c.bucket, Key: c.key(key)})
		return err
	})
}

// listed is one object of a listing.
type listed struct {
	key  string // relative to the prefix
	size int64
	etag string
	time time.Time
}

// page is one answer to a listing.
type page struct {
	objects []listed
	next    string // continues the listing; "" at its end
}

// list reads one page of what begins with prefix, behind the key after. With a
// delimiter what lies deeper is left out.
func (c *client) list(ctx context.Context, prefix, delimiter, after, token string) (p page, err error) {
	in := &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: c.key(prefix)}
	if delimiter != "" {
		in.Delimiter = &delimiter
	}
	if after != "" {
		in.StartAfter = c.key(after)
	}
	if token != "" {
		in.ContinuationToken = &token
	}
	err = c.do(ctx, "list", prefix, 0, func(ctx context.Context) error {
		out, err := c.api.ListObjectsV2(ctx, in)
		if err != nil {
			return err
		}
		p = page{next: aws.ToString(out.NextContinuationToken)}
		for _, o := range out.Contents {
			p.objects = append(p.objects, c.listed(o))
		}
		c.seen(out.ResultMetadata)
		return nil
	})
	return p, err
}

// walk yields everything below a prefix.
func (c *client) walk(ctx context.Context, prefix string) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		token := ""
		for {
			p, err := c.list(ctx, prefix, "", "", token)
			if err != nil {
				yield(listed{}, err)
				return
			}
			for _, o := range p.objects {
				if !yield(o, nil) {
					return
				}
			}
			if token = p.next; token == "" {
				return
			}
		}
	}
}

func (c *client) listed(o types.Object) listed {
	return listed{strings.TrimPrefix(aws.ToString(o.Key), c.prefix), aws.ToInt64(o.Size), etagOf(o.ETag), aws.ToTime(o.LastModified)}
}
