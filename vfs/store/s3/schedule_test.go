package s3

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// TestSchedule: every schedule has 10,000 parts that S3 takes and 5 TiB, its
// functions agree about every part, and the two parts that a crash may cost are few
// beside what was sent before.
func TestSchedule(t *testing.T) {
	for version, s := range schedules {
		if version < 0 {
			continue // for tests
		}
		total, n := int64(0), 0
		for size := s.size(1); size > 0; size = s.size(n + 1) {
			n++
			if s.start(n) != total || s.full(total) != n-1 || s.full(total+size-1) != n-1 || size < 5*mib || size > 5<<30 {
				t.Fatalf("schedule %d, part %d: start %d, want %d; full %d; size %d", version, n, s.start(n), total, s.full(total), size)
			}
			if twice := size + s.size(max(n-1, 1)); version == currentSchedule && twice > max(16*mib, total/100) {
				t.Fatalf("part %d at %d: a crash costs %d bytes", n, total, twice)
			}
			total += size
		}
		if n != 10_000 || total < 5<<40 {
			t.Errorf("schedule %d: %d parts with %d bytes, want 10000 and 5 TiB", version, n, total)
		}
	}
}

// scaled is the current schedule with a few bytes for every part.
const scaled = -3

// TestWholeSchedule sends an upload through all steps of the schedule to the last
// byte of the last part, with another node going on in every step.
func TestWholeSchedule(t *testing.T) {
	var small schedule
	for i, st := range schedules[currentSchedule] {
		small = append(small, step{st.count, int64(i + 1)})
	}
	schedules[scaled] = small
	total := small.start(10_001)
	data := make([]byte, total)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	opts := options(t, newFake().serve(t))
	opts.schedule, opts.block = scaled, 8
	nodes := []*Store{openStore(t, opts), openStore(t, opts)}
	id, w := mustCreate(t, nodes[0], "acme/X.tgz", nil)
	for k, off := 0, int64(0); off < total; k++ {
		end := small.start(1000*k+500) + 1
		if k == len(small)-1 {
			end = total
		}
		_, err := w.Write(data[off:end])
		do(t, err)
		if off = end; off == total {
			break
		}
		do(t, w.Save(t.Context(), []byte("state")), w.Close())
		if w, _, off, err = nodes[(k+1)%2].Resume(t.Context(), id); err != nil || off != end {
			t.Fatalf("resume in step %d: %d, %v, want %d", k+1, off, err, end)
		}
	}
	do(t, w.Save(t.Context(), []byte("state")))
	do(t, w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}}))
	check(t, nodes[0], "acme/X.tgz", data)

	_, w = mustCreate(t, nodes[0], "acme/Y.tgz", data)
	if _, err := w.Write([]byte{0}); err == nil {
		t.Error("a byte behind the last part was taken")
	}
	do(t, w.Discard(t.Context()))
}

// transmit sends as vfs does: a state whenever one is due, and a write counts when
// both have returned.
func transmit(w store.Writer, data []byte, acked func(n int64)) error {
	for i := range data {
		if _, err := w.Write(data[i : i+1]); err != nil {
			return err
		}
		if c := w.(store.Checkpointer); c.Due() {
			if err := c.Checkpoint([]byte("state")); err != nil {
				return err
			}
		}
		acked(int64(i + 1))
	}
	return nil
}

// before is where the part begins that lies before the one with the last of n bytes:
// what a crash after n bytes may not cost.
func before(s schedule, n int64) int64 {
	if n == 0 {
		return 0
	}
	return s.start(max(s.full(n-1), 1))
}

// TestCrashCostsTwoParts looks after every single byte at what is durable, while the
// storage takes every part so late as it can: a crash at that moment costs less than
// the part that is filled and the one on its way.
func TestCrashCostsTwoParts(t *testing.T) {
	sched := schedules[tiny]
	data := bytes.Repeat([]byte("0123456789"), 10)
	var mu sync.Mutex
	moved := sync.NewCond(&mu)
	acked, ended := int64(0), false
	f := newFake()
	part := 0
	f.before = func(r *http.Request) {
		if !requests["part"](r) {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		part++
		for acked < sched.start(part+2)-1 && !ended {
			moved.Wait()
		}
	}
	opts := options(t, f.serve(t))
	opts.schedule, opts.block, opts.Timeout = tiny, 4, time.Minute
	s := openStore(t, opts)
	id, w := mustCreate(t, s, "acme/X.tgz", nil)
	worst := int64(0)
	err := transmit(w, data, func(n int64) {
		kept := f.kept(t, id)
		if kept < before(sched, n) {
			t.Errorf("after %d bytes %d are kept, want %d", n, kept, before(sched, n))
		}
		worst = max(worst, n-kept)
		mu.Lock()
		acked = n
		moved.Signal()
		mu.Unlock()
	})
	mu.Lock()
	ended = true
	moved.Signal()
	mu.Unlock()
	do(t, err, w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}}))
	check(t, s, "acme/X.tgz", data)
	// The tests' parts of 16 bytes are the largest that were sent.
	if worst != 2*16-1 {
		t.Errorf("at the worst moment %d bytes were not kept, want %d", worst, 2*16-1)
	}
}

// kept is how much of an upload another node would find.
func (f *fakeS3) kept(t *testing.T, id store.ID) int64 {
	t.Helper()
	f.mu.Lock()
	o, ok := f.objects[uploadKey(id, stateName)]
	f.mu.Unlock()
	if !ok {
		return 0
	}
	st, err := decodeState(o.data)
	do(t, err)
	if st.Phase == phaseDraft {
		return 0
	}
	return st.Off
}

// TestCrashCountsBytes kills a daemon before each of its requests while a client
// sends, goes on with another one, and counts the bytes that are sent twice.
func TestCrashCountsBytes(t *testing.T) {
	sched := schedules[tiny]
	data := bytes.Repeat([]byte("0123456789"), 12)
	for at := 0; ; at++ {
		clock := &hand{}
		target := newFake().serve(t)
		fault, url := newFaults(t, target)
		opts := options(t, url)
		opts.schedule, opts.block, opts.Now, opts.Tries = tiny, 4, clock.now, 1
		a := openStore(t, opts)
		id, w := mustCreate(t, a, "acme/X.tgz", nil)
		fault.dieAfter(at)
		sent := int64(0)
		died := transmit(w, data, func(n int64) { sent = n })
		if died == nil {
			died = w.Save(t.Context(), []byte("state"))
		}
		if died == nil && !fault.dead() {
			fault.on("", 0, nil)
			do(t, w.Discard(t.Context()))
			break
		}
		w.Close()
		clock.advance(time.Minute)
		opts.Endpoint = target
		b := openStore(t, opts)
		w, _, off, err := b.Resume(t.Context(), id)
		if errors.Is(err, fs.ErrNotExist) {
			_, w = mustCreate(t, b, "acme/X.tgz", nil)
		} else {
			do(t, err)
		}
		if off < before(sched, sent) {
			t.Errorf("killed at request %d: %d of %d bytes are sent twice, want %d at most", at, sent-off, sent, sent-before(sched, sent))
		}
		do(t, transmit(w, data[off:], func(int64) {}))
		do(t, w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: map[string][]byte{"receipt.json": []byte("{}")}}))
		check(t, b, "acme/X.tgz", data)
	}
}
