// Package s3 keeps sealed objects in any S3-compatible object store, for any
// number of daemons at once.
//
//	bundles/acme/case-17/X.tgz          sealed objects, nothing else
//	records/acme/case-17/X.tgz/NAME     their documents, and those of refusals
//	names/acme/case-17/.X.tgz           who has the name: a claim
//	uploads/ID/state, tail-N, data      an unfinished upload
//	pending/acme/case-17/.X.tgz/ID      finds it by name
//	probe/NODE                          what the storage honours, asked at start
//
// What it guarantees: an object is in bundles only when it was sealed; a name is
// claimed by a put with If-None-Match, so of several daemons one wins; an upload's
// state is replaced only by who knows its ETag, so a writer that was taken for
// dead is fenced; and whatever a crash left is brought to an end by whoever meets
// it next. Parts are counted as kept only when the state that lists them is
// written, and a crash costs two of them at most: the one that is filled and the one
// on its way. The memory of parts and reads is bounded by one budget whatever the
// number of uploads.
//
// What it leaves out: it reads nothing back to check it, so the bytes of an
// unfinished multipart upload cannot be recovered without their state. Sealing
// under another name than the parts were sent for copies within S3.
//
// It needs these permissions: s3:PutObject, GetObject, AbortMultipartUpload,
// ListBucket, ListBucketMultipartUploads, and
// DeleteObject on uploads/, pending/, probe/ and records/; on bundles/ only where
// bundles are removed, or sealed under another name.
package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"bundleup/vfs/store"
)

// Options are the settings of a Store. Bucket must be set. Credentials come from
// where the AWS tools look for them: the environment, files, the instance's role.
type Options struct {
	Bucket string
	// Prefix is put before every key, with a slash between.
	Prefix string
	// Region may be empty where the environment tells it; with an Endpoint it
	// is us-east-1 then.
	Region string
	// Endpoint is the URL of a storage that is not AWS.
	Endpoint string
	// PathStyle puts the bucket into the path, not into the host's name.
	PathStyle bool
	// SingleNode promises that no other daemon uses the bucket and prefix, and
	// permits a storage that ignores conditions.
	SingleNode bool
	// Lease is how long an upload stays with a daemon that shows no sign of
	// life. Default 20 s, at least 1 s.
	Lease time.Duration
	// Memory bounds what parts and reads hold at once, in bytes; what goes
	// beyond it is spooled. Default 128 MiB, at least 16 MiB.
	Memory int64
	// Spool is the directory for parts that do not fit into memory. Default
	// the system's for temporary files.
	Spool string
	// Timeout is for one try of a request, beside the time for its bytes.
	// Default 15 s.
	Timeout time.Duration
	// Tries is how often a request is tried at most. Default 3.
	Tries int
	// Orphans is the age from which on a multipart upload that belongs to no
	// upload is aborted. Default 24 h.
	Orphans time.Duration
	// Now is the clock; nil follows the storage's.
	Now func() time.Time

	schedule int // for tests; 0 is the current one
	block    int
	local    func() time.Time
}

// Report counts what Open found and repaired.
type Report struct {
	Suspended  int // uploads that can be resumed
	Sealed     int // half-done seals that were completed
	RolledBack int // half-done seals that were taken back
	Removed    int // uploads without a saved state, and orphaned multipart uploads
	Stuck      int // uploads left alone because of Err
	Err        error
}

// Store implements store.Store, Resumer, Finder, Recorder, LargeRecorder and
// Toucher.
type Store struct {
	*client
	opts   Options
	owner  string // this process
	found  Guarantees
	report Report
	memory *budget
	poll   time.Duration
	dirs   dirSet
	claims cache[seenClaim]

	stop context.CancelFunc // ends the heartbeat
	done chan struct{}      // closed when it has ended

	mu   sync.Mutex // guards open; no requests under it
	open map[store.ID]*writer
}

// Open asks the storage what it honours, repairs what a crash left behind, and
// starts the heartbeat that renews the leases of open uploads until Close.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.check(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := connect(ctx, opts)
	if err == nil {
		err = s.start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open store in bucket %q: %w", opts.Bucket, err)
	}
	return s, nil
}

// start is what Open does when the connection stands.
func (s *Store) start(ctx context.Context) error {
	if err := s.adapt(ctx); err != nil {
		return err
	}
	if err := s.Tidy(ctx); err != nil {
		return err
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	go s.heartbeat(beat)
	return nil
}

func (o *Options) check() error {
	setDefault(&o.Lease, 20*time.Second)
	setDefault(&o.Memory, 128*mib)
	setDefault(&o.Timeout, 15*time.Second)
	setDefault(&o.Tries, 3)
	setDefault(&o.Orphans, 24*time.Hour)
	setDefault(&o.schedule, currentSchedule)
	setDefault(&o.block, blockSize)
	setDefault(&o.Spool, os.TempDir())
	if o.local == nil {
		o.local = time.Now
	}
	switch {
	case o.Bucket == "":
		return errors.New("the bucket has no name")
	case o.Lease < time.Second && o.schedule == currentSchedule:
		return fmt.Errorf("a lease of %v is too short: want at least 1s", o.Lease)
	case o.Memory < 16*mib && o.schedule == currentSchedule:
		return fmt.Errorf("%d bytes of memory are too few: want at least 16 MiB", o.Memory)
	case o.Timeout < 0, o.Tries < 0, o.Orphans < 0:
		return errors.New("timeouts and tries must not be negative")
	}
	return nil
}

func setDefault[T comparable](p *T, d T) {
	var zero T
	if *p == zero {
		*p = d
	}
}

// connect makes the client. No request is sent.
func connect(ctx context.Context, opts Options) (*Store, error) {
	loads := []func(*config.LoadOptions) error{
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithLogger(logging.Nop{}), // errors are returned
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if opts.Region != "" {
		loads = append(loads, config.WithRegion(opts.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, loads...)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		if opts.Endpoint == "" {
			return nil, errors.New("the region is not known: set it or AWS_REGION")
		}
		cfg.Region = "us-east-1"
	}
	api := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = opts.PathStyle
		o.Retryer = aws.NopRetryer{} // see client.do
		if opts.Endpoint != "" {
			o.BaseEndpoint = &opts.Endpoint
		}
		if !strings.HasPrefix(opts.Endpoint, "http://") {
			// TLS protects the body, the digest verifies it: no need to
			// read it once more for the signature.
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
	})
	prefix := strings.Trim(opts.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &Store{
		client: &client{
			api: api, bucket: opts.Bucket, prefix: prefix, timeout: opts.Timeout, tries: opts.Tries,
			clock: &clock{now: opts.Now, local: opts.local}, sum: sumNone,
		},
		opts: opts, owner: rand.Text(), memory: newBudget(opts.Memory, opts.block),
		poll: min(opts.Lease/16, 250*time.Millisecond), open: map[store.ID]*writer{},
	}, nil
}

// lease is the end of one that begins now.
func (s *Store) lease() time.Time { return s.clock.Now().Add(s.opts.Lease).UTC() }

// Report tells what Open found. It does not change.
func (s *Store) Report() Report { return s.report }

// Shared says that other daemons may use the same storage.
func (s *Store) Shared() bool { return !s.opts.SingleNode }

// Close ends the heartbeat. Writers and Objects must be closed before.
func (s *Store) Close() error {
	s.stop()
	<-s.done
	return nil
}

// checkKey refuses what S3 cannot name.
func (s *Store) checkKey(key string) error {
	if n := len(s.prefix) + len(key); n > maxObjectKey {
		return fmt.Errorf("the key has %d bytes with its prefix, S3 allows %d", n, maxObjectKey)
	}
	return nil
}

var (
	_ store.Store         = (*Store)(nil)
	_ store.Resumer       = (*Store)(nil)
	_ store.Finder        = (*Store)(nil)
	_ store.Recorder      = (*Store)(nil)
	_ store.LargeRecorder = (*Store)(nil)
	_ store.Toucher       = (*Store)(nil)
	_ store.Eraser        = (*Store)(nil)
	_ store.Checkpointer  = (*writer)(nil)
	_ store.Aimer         = (*writer)(nil)
	_ store.AsideWriter   = (*writer)(nil)
)
