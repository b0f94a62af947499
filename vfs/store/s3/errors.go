package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/aws/smithy-go"

	"bundleup/vfs/store"
)

// What a request's answer means to the callers here.
var (
	errConflict = errors.New("the object has changed") // 412: a condition does not hold
	errNoUpload = errors.New("the multipart upload is gone")
	errParts    = errors.New("parts were overwritten by another writer")
	errFenced   = errors.New("another server took the upload over")
)

// status is an answer's HTTP status; 0 where there was no answer.
func status(err error) int {
	var r interface{ HTTPStatusCode() int }
	if errors.As(err, &r) {
		return r.HTTPStatusCode()
	}
	return 0
}

// classify adds to a failed request's error the sentinel that it means.
func classify(err error) error {
	if kind := kindOf(err); kind != nil {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

func kindOf(err error) error {
	code := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	switch code {
	case "NoSuchKey", "NotFound":
		return fs.ErrNotExist
	case "NoSuchUpload":
		return errNoUpload
	case "InvalidPart", "InvalidPartOrder":
		return errParts
	case "PreconditionFailed":
		return errConflict
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "InsufficientStorage":
		return store.ErrFull
	case "NoSuchBucket", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return nil
	}
	return kindOfStatus(status(err))
}

func kindOfStatus(code int) error {
	switch {
	case code == 404:
		return fs.ErrNotExist
	case code == 412:
		return errConflict
	case code == 507:
		return store.ErrFull
	case code == 0, code == 200, code == 206, code == 408, code == 409, code == 429, code >= 500:
		// Without an answer, cut short, or with an error behind "200 OK", as
		// CompleteMultipartUpload may give. 409 is a race that S3 asks to retry.
		return store.ErrUnavailable
	}
	return nil
}

// mayRetry says whether the same request can end otherwise.
func mayRetry(err error) bool {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "RequestTimeTooSkewed", "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch":
			return true
		}
	}
	return errors.Is(err, store.ErrUnavailable)
}

// ended says that the caller's context is the reason, not the storage.
func ended(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	return err
}
