package s3

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// twoNodes are two daemons over one fake, with one clock.
func twoNodes(t *testing.T, change func(*fakeS3)) (a, b *Store, f *fakeS3, clock *hand) {
	t.Helper()
	f, clock = newFake(), &hand{}
	if change != nil {
		change(f)
	}
	opts := options(t, f.serve(t))
	opts.schedule, opts.block, opts.Now = tiny, 4, clock.now
	return openStore(t, opts), openStore(t, opts), f, clock
}

func mustCreate(t *testing.T, s *Store, key store.Key, data []byte) (store.ID, store.Writer) {
	t.Helper()
	id := store.NewID(time.Now())
	w, err := s.Create(t.Context(), id, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	return id, w
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestZombieIsFenced: a daemon that was taken for dead wakes up: whatever it tries
// fails, and what the other one sealed stays.
func TestZombieIsFenced(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 6)
	for name, act := range map[string]func(store.Writer) error{
		"save":       func(w store.Writer) error { return w.Save(t.Context(), nil) },
		"seal":       func(w store.Writer) error { return w.Seal(t.Context(), "acme/X.tgz", store.Meta{}) },
		"discard":    func(w store.Writer) error { return w.Discard(t.Context()) },
		"checkpoint": func(w store.Writer) error { w.(store.Checkpointer).Checkpoint(nil); return w.Save(t.Context(), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _, clock := twoNodes(t, nil)
			id, w := mustCreate(t, a, "acme/X.tgz", data[:30])
			do(t, w.Save(t.Context(), []byte("state")))
			a.stop() // the heart stops
			<-a.done
			clock.advance(time.Minute)
			w2, state, off, err := b.Resume(t.Context(), id)
			if err != nil || string(state) != "state" || off != 30 {
				t.Fatalf("resume = %q, %d, %v", state, off, err)
			}
			if err := act(w); !errors.Is(err, errFenced) && !errors.Is(err, store.ErrExist) {
				t.Errorf("the zombie got %v", err)
			}
			w.Close()
			_, err = w2.Write(data[30:])
			do(t, err, w2.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}}))
			check(t, a, "acme/X.tgz", data)
		})
	}
}

// TestLeaseIsRespected: an upload whose owner lives is busy, however the clocks of
// the nodes go; when it was released the other node goes on at once.
func TestLeaseIsRespected(t *testing.T) {
	f := newFake()
	opts := options(t, f.serve(t))
	opts.schedule, opts.block, opts.Lease = tiny, 4, time.Second
	a, b := openStore(t, opts), openStore(t, opts)
	id, w := mustCreate(t, a, "acme/X.tgz", []byte("0123456789"))
	do(t, w.Save(t.Context(), nil))
	if _, _, _, err := b.Resume(t.Context(), id); !errors.Is(err, store.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
	do(t, w.Close())
	w, _, off, err := b.Resume(t.Context(), id)
	if err != nil || off != 10 {
		t.Fatalf("after the release: %d, %v", off, err)
	}
	do(t, w.Discard(t.Context()))
	if left := f.keys("uploads/"); len(left) > 0 || len(f.uploads) > 0 {
		t.Errorf("left behind: %v, %d multipart uploads", left, len(f.uploads))
	}
}

// TestSkewedClock: the storage's clock counts, a node's own may be wrong by hours.
// A gateway would judge signatures by the clock that it has, so this is for the fake.
func TestSkewedClock(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 50)
	for _, skew := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		fault, url := newFaults(t, newFake().serve(t))
		fault.skew = skew
		opts := options(t, url)
		opts.schedule, opts.block, opts.Lease = tiny, 4, time.Second
		s := openStore(t, opts)
		if d := time.Until(s.clock.Now()) - skew; d < -time.Hour || d > time.Hour {
			t.Errorf("the clock is %v from the storage's", d)
		}
		upload(t, s, "acme/X.tgz", data)
		check(t, s, "acme/X.tgz", data)
	}
}

// TestSkewedNodes: nodes whose own clocks are hours apart judge a lease alike, for
// both follow the storage's, which they know to a second.
func TestSkewedNodes(t *testing.T) {
	for _, skew := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			opts := options(t, newFake().serve(t))
			opts.schedule, opts.block, opts.Lease = tiny, 4, 5*time.Second
			a := openStore(t, opts)
			opts.local = func() time.Time { return time.Now().Add(skew) }
			b := openStore(t, opts)
			id, w := mustCreate(t, a, "acme/X.tgz", []byte("0123456789"))
			do(t, w.Save(t.Context(), nil))
			if _, _, _, err := b.Resume(t.Context(), id); !errors.Is(err, store.ErrBusy) {
				t.Errorf("a clock that is %v off: got %v, want ErrBusy", skew, err)
			}
			do(t, w.Close())
			w, _, off, err := b.Resume(t.Context(), id)
			if err != nil || off != 10 {
				t.Fatalf("a clock that is %v off, after the release: %d, %v", skew, off, err)
			}
			if _, _, _, err := a.Resume(t.Context(), id); !errors.Is(err, store.ErrBusy) {
				t.Errorf("the other way round: got %v, want ErrBusy", err)
			}
			do(t, w.Discard(t.Context()))
		})
	}
}

// TestOneWinner: of many seals of one name on two nodes one wins, also where only
// the claims are atomic.
func TestOneWinner(t *testing.T) {
	a, b, _, _ := twoNodes(t, func(f *fakeS3) { f.ignoreComplete = true })
	var won sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		s := []*Store{a, b}[i%2]
		data := bytes.Repeat([]byte{byte('a' + i)}, 50)
		_, w := mustCreate(t, s, "acme/X.tgz", data)
		wg.Go(func() {
			err := w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}})
			if err == nil {
				won.Store(i, data)
			} else if !errors.Is(err, store.ErrExist) {
				t.Error(err)
			} else if err := w.Discard(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	winners := 0
	won.Range(func(_, data any) bool {
		winners++
		check(t, b, "acme/X.tgz", data.([]byte))
		return true
	})
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
}

// TestUnderAnotherName: what was sent for one name is copied to another one, and
// nothing is left at the first.
func TestUnderAnotherName(t *testing.T) {
	a, b, f, _ := twoNodes(t, nil)
	data := bytes.Repeat([]byte("0123456789"), 10)
	_, w := mustCreate(t, a, "acme/X.tgz", data)
	do(t, w.Seal(t.Context(), "acme/Y.tgz", store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}}))
	check(t, b, "acme/Y.tgz", data)
	if _, err := b.Open(t.Context(), "acme/X.tgz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first name: %v", err)
	}
	if left := f.keys("bundles/"); len(left) != 1 {
		t.Errorf("bundles: %v", left)
	}
}

// TestCrashAnywhere stops a daemon before each of its requests, lets another one
// tidy up after the lease, and looks: the bundle is there whole or not at all, and
// what was saved can be resumed.
func TestCrashAnywhere(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 6)
	for _, to := range []store.Key{"acme/X.tgz", "acme/Y.tgz"} {
		for at := 0; ; at++ {
			fake, clock := newFake(), &hand{}
			target := fake.serve(t)
			fault, url := newFaults(t, target)
			opts := options(t, url)
			opts.schedule, opts.block, opts.Now, opts.Tries = tiny, 4, clock.now, 1
			a := openStore(t, opts)
			id := store.NewID(time.Now())
			w, err := a.Create(t.Context(), id, "acme/X.tgz")
			do(t, err)
			fault.dieAfter(at)
			w.Write(data[:30])
			saved := w.Save(t.Context(), []byte("kept"))
			w.Write(data[30:])
			sealed := w.Seal(t.Context(), to, store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}})
			clock.advance(time.Minute)
			opts.Endpoint = target
			b := openStore(t, opts)
			if err := b.Report().Err; err != nil {
				t.Fatalf("request %d: %v", at, err)
			}
			_, err = b.Open(t.Context(), to)
			there := err == nil
			switch {
			case there:
				check(t, b, to, data)
			case sealed == nil:
				t.Fatalf("request %d: it was sealed and is not there: %v", at, err)
			case saved == nil:
				w, state, off, err := b.Resume(t.Context(), id)
				if err != nil || string(state) != "kept" || off != 30 {
					t.Fatalf("request %d: resume = %q, %d, %v", at, state, off, err)
				}
				_, err = w.Write(data[off:])
				do(t, err, w.Seal(t.Context(), to, store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}}))
				check(t, b, to, data)
			}
			if !fault.dead() {
				break
			}
		}
	}
}

// TestEntryCostsLittle counts the requests of reading at one place, and of reading
// a whole bundle.
func TestEntryCostsLittle(t *testing.T) {
	f := newFake()
	s := openStore(t, options(t, f.serve(t)))
	data := make([]byte, 40*mib)
	for i := range data {
		data[i] = byte(i >> 12)
	}
	_, w := mustCreate(t, s, "acme/X.tgz", data)
	do(t, w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
	o, err := s.Open(t.Context(), "acme/X.tgz")
	do(t, err)
	defer o.Close()
	gets := func() int { f.mu.Lock(); defer f.mu.Unlock(); return f.count["get"] }
	before := gets()
	p := make([]byte, 32<<10)
	for off := int64(20 * mib); off < 20*mib+600<<10; off += int64(len(p)) {
		_, err := o.ReadAt(p, off)
		do(t, err)
	}
	if n := gets() - before; n > 1 {
		t.Errorf("an entry of 600 KiB costs %d requests", n)
	}
	before = gets()
	got, err := io.ReadAll(io.NewSectionReader(o, 0, int64(len(data))))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if n := gets() - before; n > 10 {
		t.Errorf("40 MiB cost %d requests", n)
	}
}

// TestMemoryIsBounded sends many uploads at once with a budget for two parts: the
// rest is spooled, and nobody waits for another.
func TestMemoryIsBounded(t *testing.T) {
	opts := options(t, newFake().serve(t))
	opts.schedule, opts.block, opts.Memory = tiny, 4, 16
	s := openStore(t, opts)
	data := bytes.Repeat([]byte("0123456789"), 30)
	var open []store.Writer
	for range 50 {
		_, w := mustCreate(t, s, "acme/X.tgz", data[:2])
		open = append(open, w)
	}
	for i, w := range open {
		_, err := w.Write(data[2:])
		do(t, err)
		if i == 0 {
			do(t, w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
			continue
		}
		do(t, w.Discard(t.Context()))
	}
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if s.memory.most > 4 || s.memory.used != 0 {
		t.Errorf("%d blocks in use at once, want 4; %d left", s.memory.most, s.memory.used)
	}
}

// TestProbe: each guarantee that is missing is seen, and only what several daemons
// need keeps the Store from opening.
func TestProbe(t *testing.T) {
	all := Guarantees{Create: true, Replace: true, Read: true, CRC32C: true, MD5: true, List: true, Uploads: true}
	for _, tc := range []struct {
		name    string
		fake    func(*fakeS3)
		missing func(*Guarantees)
		opens   error
	}{
		{"all", func(*fakeS3) {}, func(*Guarantees) {}, nil},
		{"conditions", func(f *fakeS3) { f.ignoreConditions = true }, func(g *Guarantees) { g.Create, g.Replace = false, false }, ErrOneNode},
		{"If-None-Match", func(f *fakeS3) { f.ignoreNoneMatch = true }, func(g *Guarantees) { g.Create = false }, ErrOneNode},
		{"If-Match", func(f *fakeS3) { f.ignoreMatch = true }, func(g *Guarantees) { g.Replace = false }, ErrOneNode},
		{"If-Match of gets", func(f *fakeS3) { f.ignoreGetMatch = true }, func(g *Guarantees) { g.Read = false }, nil},
		{"CRC32C", func(f *fakeS3) { f.ignoreCRC = true }, func(g *Guarantees) { g.CRC32C = false }, nil},
		{"MD5", func(f *fakeS3) { f.ignoreMD5 = true }, func(g *Guarantees) { g.MD5 = false }, nil},
		{"both digests", func(f *fakeS3) { f.ignoreCRC, f.ignoreMD5 = true, true }, func(g *Guarantees) { g.CRC32C, g.MD5 = false, false }, nil},
		{"list of uploads", func(f *fakeS3) { f.noUploads = true }, func(g *Guarantees) { g.Uploads = false }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFake()
			tc.fake(f)
			opts := options(t, f.serve(t))
			want := all
			tc.missing(&want)
			if g, err := Probe(t.Context(), opts); err != nil || g != want {
				t.Errorf("got %+v, %v, want %+v", g, err, want)
			}
			s, err := Open(t.Context(), opts)
			if !errors.Is(err, tc.opens) {
				t.Errorf("open: %v, want %v", err, tc.opens)
			}
			if err == nil {
				s.Close()
			}
		})
	}
	f := newFake()
	f.noList = true
	if _, err := Probe(t.Context(), options(t, f.serve(t))); err == nil || !strings.Contains(err.Error(), "ListBucket") {
		t.Errorf("without the right to list: %v", err)
	}
}

// TestBlocksAreReused: the blocks that were ever made are no more than the budget
// has, and those that nobody needs any more are let go.
func TestBlocksAreReused(t *testing.T) {
	b := newBudget(100, 1)
	seen := map[*byte]bool{}
	for range 5 {
		var taken [][]byte
		for p := b.get(); p != nil; p = b.get() {
			seen[&p[0]] = true
			taken = append(taken, p)
		}
		b.put(taken)
	}
	if len(seen) != 100 || len(b.spare) != 100 {
		t.Errorf("%d blocks were made and %d are kept, want 100", len(seen), len(b.spare))
	}
	b.trim()
	if len(b.spare) != 100 {
		t.Errorf("%d blocks are kept just after they were in use", len(b.spare))
	}
	b.trim()
	if len(b.spare) != maxSpare || b.left != 100 {
		t.Errorf("%d blocks are kept when idle, want %d; %d left", len(b.spare), maxSpare, b.left)
	}
}

func TestErase(t *testing.T) {
	a, b, f, _ := twoNodes(t, nil)
	_, w := mustCreate(t, a, "acme/case/X.tgz", []byte("0123456789"))
	do(t, w.Seal(t.Context(), "acme/case/X.tgz", store.Meta{Docs: map[string][]byte{"r": nil}}))
	if err := b.Erase(t.Context(), "acme/case"); !errors.Is(err, errNotEmpty) {
		t.Errorf("a directory that is not empty: %v", err)
	}
	do(t, b.Erase(t.Context(), "acme/case/X.tgz"), b.Erase(t.Context(), "acme/case"))
	if err := b.Erase(t.Context(), "acme/case"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("again: %v", err)
	}
	if left := append(f.keys("bundles/"), f.keys("records/")...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	_, w = mustCreate(t, a, "acme/case/Y.tgz", []byte("0123456789"))
	do(t, w.Seal(t.Context(), "acme/case/Y.tgz", store.Meta{}))
	for _, err := range b.List(t.Context(), "acme/case") {
		do(t, err)
	}
}
