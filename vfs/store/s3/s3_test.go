package s3

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bundleup/vfs/store"
	"bundleup/vfs/store/storetest"
)

// tiny is a schedule for tests: the uploads of the suite have several parts.
const tiny = -1

func TestMain(m *testing.M) {
	schedules[least] = schedule{{10_000, 5 * mib}}
	schedules[tiny] = schedule{{3, 4}, {3, 8}, {4, 16}, {9990, 4096}}
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret12",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		os.Setenv(k, v)
	}
	os.Exit(m.Run())
}

// hand is a clock that a test moves on.
type hand struct{ ahead atomic.Int64 }

func (h *hand) now() time.Time          { return time.Now().Add(time.Duration(h.ahead.Load())) }
func (h *hand) advance(d time.Duration) { h.ahead.Add(int64(d)) }

// options are those of a test's Store on a fake.
func options(t testing.TB, endpoint string) Options {
	return Options{
		Bucket: "test", Endpoint: endpoint, PathStyle: true, Spool: t.TempDir(),
		Lease: 10 * time.Second, Timeout: 2 * time.Second, Memory: 64 * mib,
	}
}

func openStore(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// suite runs the promises; a reopening is another process after the lease of the
// one before.
func suite(t *testing.T, open func(t *testing.T) Options) {
	storetest.Run(t, func(t *testing.T) storetest.Reopen {
		opts := open(t)
		clock := &hand{}
		opts.Now = clock.now
		var s *Store
		return func() store.Store {
			if s != nil {
				s.Close() // the dead renew no leases
			}
			clock.advance(opts.Lease + time.Second)
			s = openStore(t, opts)
			return s
		}
	})
}

func TestSuite(t *testing.T) {
	for _, tc := range []struct {
		name string
		fake func(*fakeS3)
		opts func(*Options)
	}{
		{"one request", nil, nil},
		{"parts", nil, func(o *Options) { o.schedule, o.block = tiny, 4 }},
		{"parts without memory", nil, func(o *Options) { o.schedule, o.block, o.Memory = tiny, 4, 4 }},
		{"like Ceph", func(f *fakeS3) { f.ignoreComplete, f.refuseQuoted, f.ignoreCRC = true, true, true },
			func(o *Options) { o.schedule, o.block = tiny, 4 }},
		{"without conditions", func(f *fakeS3) { f.ignoreConditions = true },
			func(o *Options) { o.schedule, o.block, o.SingleNode = tiny, 4, true }},
		{"with a prefix", nil, func(o *Options) { o.Prefix = "of/mine/" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			suite(t, func(t *testing.T) Options {
				f := newFake()
				if tc.fake != nil {
					tc.fake(f)
				}
				opts := options(t, f.serve(t))
				if tc.opts != nil {
					tc.opts(&opts)
				}
				return opts
			})
		})
	}
}

// TestGateway runs the promises on real gateways over one directory: those of the
// variable, a comma between. Every opening takes the next one.
func TestGateway(t *testing.T) {
	list := gateways(t)
	var made atomic.Int64
	suite(t, func(t *testing.T) Options {
		n := made.Add(1)
		opts := options(t, list[int(n)%len(list)])
		opts.Prefix = fmt.Sprintf("%s-%d-%d", strings.ToLower(t.Name()), time.Now().UnixNano(), n)
		return opts
	})
}

func gateways(t testing.TB) []string {
	t.Helper()
	list := os.Getenv("BUNDLEUP_S3_ENDPOINTS")
	if list == "" {
		t.Skip("BUNDLEUP_S3_ENDPOINTS is not set: make test-s3 sets it")
	}
	return strings.Split(list, ",")
}
