package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bundleup/vfs/store"
)

// partRef is a part that S3 has. Its number is its place in the list: parts are
// consecutive, as S3 demands of those with checksums.
type partRef struct {
	ETag string `json:"e"`
	CRC  uint32 `json:"c"`
}

// begin makes a multipart upload for key. The object will bear
// the ID of the upload, if it has one.
func (c *client) begin(ctx context.Context, key string, id store.ID) (uploadID string, err error) {
	in := &s3.CreateMultipartUploadInput{Bucket: &c.bucket, Key: c.key(key), Metadata: idMetadata(id)}
	if c.sum == sumCRC32C {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	}
	err = c.do(ctx, "begin", key, 0, func(ctx context.Context) error {
		out, err := c.api.CreateMultipartUpload(ctx, in)
		if err == nil {
			uploadID = aws.ToString(out.UploadId)
		}
		return err
	})
	return uploadID, err
}

func idMetadata(id store.ID) map[string]string {
	if id == "" {
		return nil
	}
	return map[string]string{idMeta: string(id)}
}

// send puts one part.
func (c *client) send(ctx context.Context, key, uploadID string, number int, b body) (partRef, error) {
	crc, sum, err := c.guard(b)
	if err != nil {
		return partRef{}, err
	}
	ref := partRef{CRC: b.crc}
	in := &s3.UploadPartInput{
		Bucket: &c.bucket, Key: c.key(key), UploadId: &uploadID, PartNumber: aws.Int32(int32(number)),
		ContentLength: &b.size, ChecksumCRC32C: crc, ContentMD5: sum,
	}
	err = c.do(ctx, "send part", key, b.size, func(ctx context.Context) error {
		in.Body = b.reader()
		out, err := c.api.UploadPart(ctx, in)
		if err == nil {
			ref.ETag = etagOf(out.ETag)
		}
		return err
	})
	return ref, err
}

// copyPart makes a part of n bytes at off of another object.
func (c *client) copyPart(ctx context.Context, key, uploadID string, number int, from, etag string, off, n int64) (partRef, error) {
	source := c.bucket + "/" + strings.ReplaceAll(url.PathEscape(c.prefix+from), "%2F", "/")
	span := fmt.Sprintf("bytes=%d-%d", off, off+n-1)
	in := &s3.UploadPartCopyInput{
		Bucket: &c.bucket, Key: c.key(key), UploadId: &uploadID, PartNumber: aws.Int32(int32(number)),
		CopySource: &source, CopySourceRange: &span, CopySourceIfMatch: &etag,
	}
	var ref partRef
	err := c.do(ctx, "copy part", key, n, func(ctx context.Context) error {
		out, err := c.api.UploadPartCopy(ctx, in)
		if err == nil && out.CopyPartResult == nil {
			err = errors.New("the answer is empty")
		}
		if err != nil {
			return err
		}
		ref.ETag = etagOf(out.CopyPartResult.ETag)
		crc := aws.ToString(out.CopyPartResult.ChecksumCRC32C)
		ref.CRC, err = parseCRC(crc)
		return err
	})
	return ref, err
}

// complete makes the object of its parts, unless there is one. Where the answer
// was lost the object tells: it bears the upload's ID.
func (c *client) complete(ctx context.Context, key, uploadID string, parts []partRef, id store.ID) (head, error) {
	if h, err := c.head(ctx, key); err == nil {
		// Not every server honours the condition below.
		return h, c.mine(h, id)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return head{}, err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &c.bucket, Key: c.key(key), UploadId: &uploadID,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: c.completed(parts)},
	}
	if c.unconditional == nil {
		in.IfNoneMatch = aws.String("*")
	}
	cerr := c.do(ctx, "complete", key, int64(len(parts))*mib/8, func(ctx context.Context) error {
		_, err := c.api.CompleteMultipartUpload(ctx, in)
		return err
	})
	if errors.Is(cerr, errParts) || ctx.Err() != nil {
		return head{}, cerr
	}
	h, err := c.head(ctx, key)
	if err == nil {
		return h, c.mine(h, id)
	}
	if cerr == nil {
		cerr = err
	}
	return head{}, cerr
}

// replace makes the object of its parts whatever was there. A lost answer may have
// been a success: then the multipart upload is gone.
func (c *client) replace(ctx context.Context, key, uploadID string, parts []partRef) error {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &c.bucket, Key: c.key(key), UploadId: &uploadID,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: c.completed(parts)},
	}
	tried := 0
	return c.do(ctx, "complete", key, int64(len(parts))*mib/8, func(ctx context.Context) error {
		_, err := c.api.CompleteMultipartUpload(ctx, in)
		tried++
		if tried > 1 && errors.Is(classify(err), errNoUpload) {
			return nil
		}
		return err
	})
}

// mine says whether an object is the upload's.
func (c *client) mine(h head, id store.ID) error {
	if h.id != id {
		return fmt.Errorf("the object is of another upload: %w", errConflict)
	}
	return nil
}

func (c *client) completed(parts []partRef) []types.CompletedPart {
	list := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		list[i] = types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: aws.String(p.ETag)}
		if c.sum == sumCRC32C {
			list[i].ChecksumCRC32C = aws.String(crcText(p.CRC))
		}
	}
	return list
}

// abort forgets a multipart upload; one that is gone is fine.
func (c *client) abort(ctx context.Context, key, uploadID string) error {
	err := c.do(ctx, "abort", key, 0, func(ctx context.Context) error {
		_, err := c.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &c.bucket, Key: c.key(key), UploadId: &uploadID})
		return err
	})
	if errors.Is(err, errNoUpload) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// copyPiece is how much one request copies within S3, in bytes; copiesAtOnce how
// many of them run side by side.
const (
	copyPiece    = 256 * mib
	copiesAtOnce = 4
)

// copyObject makes key of the object from, without its bytes passing here.
func (c *client) copyObject(ctx context.Context, from string, source head, key string, id store.ID) (head, error) {
	uploadID, err := c.begin(ctx, key, id)
	if err != nil {
		return head{}, err
	}
	parts, err := c.copyParts(ctx, from, source, key, uploadID)
	var h head
	if err == nil {
		h, err = c.complete(ctx, key, uploadID, parts, id)
	}
	if err != nil {
		c.abort(context.WithoutCancel(ctx), key, uploadID)
	}
	return h, err
}

func (c *client) copyParts(ctx context.Context, from string, source head, key, uploadID string) ([]partRef, error) {
	n := int((source.size + copyPiece - 1) / copyPiece)
	parts, errs := make([]partRef, n), make([]error, n)
	inParallel(n, copiesAtOnce, func(i int) {
		off := int64(i) * copyPiece
		size := min(copyPiece, source.size-off)
		parts[i], errs[i] = c.copyPart(ctx, key, uploadID, i+1, from, source.etag, off, size)
	})
	return parts, errors.Join(errs...)
}

// pendingUpload is a multipart upload as the bucket lists it.
type pendingUpload struct {
	key, id string
	began   int64 // Unix seconds
}

// uploads lists the multipart uploads below the prefix. MinIO lists none for the
// prefix of a directory, so all of the bucket's are read.
func (c *client) uploads(ctx context.Context) (all []pendingUpload, err error) {
	in := &s3.ListMultipartUploadsInput{Bucket: &c.bucket}
	for {
		var out *s3.ListMultipartUploadsOutput
		err := c.do(ctx, "list uploads", "", 0, func(ctx context.Context) (err error) {
			out, err = c.api.ListMultipartUploads(ctx, in)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, u := range out.Uploads {
			if key, ok := strings.CutPrefix(aws.ToString(u.Key), c.prefix); ok {
				all = append(all, pendingUpload{key, aws.ToString(u.UploadId), aws.ToTime(u.Initiated).Unix()})
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return all, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}
