package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"bundleup/vfs/store"
)

// maxInline is the length up to which the bytes behind the last full part are
// saved within the state, in bytes.
const maxInline = mib

// writer implements store.Writer, Checkpointer, Aimer and AsideWriter. One part is
// filled while one is on its way; the worker does what must not keep the peer
// waiting, in order. As one job waits at most, the state of a part is durable
// before Checkpoint returns for the part behind it: whoever takes a state whenever
// one is due has never more than two parts that a crash could cost.
type writer struct {
	s     *Store
	id    store.ID
	name  store.Key
	aims  []store.Key
	sched schedule

	// Of the goroutine that uses the Writer.
	off    int64 // bytes written
	fill   *part // nil at the start of a part
	due    bool  // a part was handed on since the last state
	closed bool
	aside  aside

	jobs    chan func() // nil without a worker
	worker  sync.WaitGroup
	pending sync.WaitGroup // jobs handed on and not done

	mu     sync.Mutex // guards all below; held during requests for the state
	st     state      // as it is in S3, if etag is set
	etag   string     // of the state object; "" before the first one
	parts  []partRef  // that S3 has
	failed error      // sticky
}

// Create implements store.Store. Nothing is sent before the first part is full or
// the first Save.
func (s *Store) Create(ctx context.Context, id store.ID, name store.Key) (store.Writer, error) {
	w, err := s.create(ctx, id, name)
	if err != nil {
		return nil, fmt.Errorf("create upload %s: %w", id, err)
	}
	return w, nil
}

func (s *Store) create(ctx context.Context, id store.ID, name store.Key) (*writer, error) {
	if err := cmp.Or(ctx.Err(), id.Check(), name.Check()); err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errors.New("name is the root")
	}
	if err := s.checkKey(pendingKey(name, id)); err != nil {
		return nil, err
	}
	w := s.newWriter(id, name)
	w.st = state{ID: id, Name: name, Phase: phaseDraft, Owner: s.owner, Schedule: s.opts.schedule}
	if name.CheckObject() == nil {
		w.aims = []store.Key{name}
	}
	if !s.register(w) {
		return nil, fs.ErrExist
	}
	return w, nil
}

func (s *Store) newWriter(id store.ID, name store.Key) *writer {
	w := &writer{s: s, id: id, name: name, sched: schedules[s.opts.schedule]}
	w.aside.init(s, id)
	return w
}

func (s *Store) register(w *writer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[w.id] != nil {
		return false
	}
	s.open[w.id] = w
	return true
}

func (s *Store) unregister(w *writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[w.id] == w {
		delete(s.open, w.id)
	}
}

// Aim implements store.Aimer.
func (w *writer) Aim(keys ...store.Key) {
	w.aims = slices.Clone(keys)
	for i, k := range keys {
		if k.CheckObject() != nil {
			w.aims = w.aims[:i]
			return
		}
	}
}

// wrap adds what was being done to an error.
func (w *writer) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s upload %s: %w", op, w.id, err)
}

// ready says whether the upload can still be written, saved or sealed.
func (w *writer) ready(ctx context.Context) error {
	if w.closed {
		return fs.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.broken()
}

func (w *writer) broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// fail makes an error sticky and returns the first one.
func (w *writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
	return w.failed
}

// Write implements store.Writer. It waits while the part before the last full one
// is on its way.
func (w *writer) Write(p []byte) (int, error) {
	err := w.ready(context.Background())
	done := 0
	for err == nil && done < len(p) {
		var n int
		n, err = w.write(p[done:])
		done += n
		w.off += int64(n)
		if err != nil && !errors.Is(err, fs.ErrClosed) {
			err = w.fail(err)
		}
	}
	return done, w.wrap("write", err)
}

// write takes what fits into the part that is filled.
func (w *writer) write(p []byte) (int, error) {
	if w.whole() {
		return 0, errors.New("the upload was sealed halfway and takes no more bytes")
	}
	if w.fill == nil {
		number := w.sched.full(w.off) + 1
		size := w.sched.size(number)
		if size == 0 {
			return 0, errors.New("the upload is larger than its parts can hold")
		}
		w.fill = newPart(w.s.memory, w.s.opts.Spool, number, size)
	}
	n, err := w.fill.Write(p[:min(int64(len(p)), w.fill.room())])
	if err == nil && w.fill.room() == 0 {
		full := w.fill
		w.fill, w.due = nil, true
		w.hand(func(ctx context.Context) error { return w.sendPart(ctx, full) }, full.free)
	}
	return n, err
}

func (w *writer) whole() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st.Whole
}

// hand gives the worker a job: f, unless something has failed, and at any rate
// after. It waits while a job is done and another one waits already.
func (w *writer) hand(f func(ctx context.Context) error, after func()) {
	if w.jobs == nil {
		jobs := make(chan func(), 1)
		w.jobs = jobs
		w.worker.Go(func() {
			for job := range jobs {
				job()
			}
		})
	}
	w.pending.Add(1)
	w.jobs <- func() {
		defer w.pending.Done()
		defer after()
		if w.broken() != nil {
			return
		}
		if err := f(context.Background()); err != nil {
			w.fail(err)
		}
	}
}

// drain waits for what was handed on, and tells what failed.
func (w *writer) drain() error {
	w.pending.Wait()
	return w.broken()
}

// sendPart is the worker's main job.
func (w *writer) sendPart(ctx context.Context, p *part) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	key, uploadID := w.st.Target, w.st.UploadID
	w.mu.Unlock()
	ref, err := w.s.send(ctx, key, uploadID, p.number, p.body())
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parts = append(w.parts[:p.number-1], ref)
	return nil
}

// begin makes the multipart upload, if there is none: at the first free name of
// those aimed at, else at a private key. Its draft of a state lets others clear it
// away.
func (w *writer) begin(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.st.UploadID != "" {
		return nil
	}
	next := w.st
	next.Target, next.Reserved = uploadKey(w.id, dataName), ""
	for _, aim := range w.aims {
		if w.s.checkKey(bundleKey(aim)) != nil {
			continue
		}
		ok, err := w.s.reserve(ctx, aim, w.id)
		if err != nil {
			return err
		}
		if ok {
			next.Target, next.Reserved = bundleKey(aim), aim
			break
		}
	}
	var err error
	if next.UploadID, err = w.s.client.begin(ctx, next.Target, w.id); err != nil {
		return err
	}
	return w.swapLocked(ctx, next)
}

// swapLocked makes next the upload's state. The caller holds mu.
func (w *writer) swapLocked(ctx context.Context, next state) error {
	next.Serial++
	next.Until = w.s.lease()
	etag, err := w.s.swapState(ctx, &next, w.etag)
	if err != nil {
		if w.failed == nil {
			w.failed = err
		}
		return err
	}
	w.st, w.etag = next, etag
	return nil
}

// Save implements store.Writer.
func (w *writer) Save(ctx context.Context, saved []byte) error {
	err := w.ready(ctx)
	if err == nil {
		err = w.drain()
	}
	if err == nil {
		err = w.save(ctx, saved)
	}
	return w.wrap("save", err)
}

func (w *writer) save(ctx context.Context, saved []byte) error {
	t, err := w.tail(ctx)
	if err != nil {
		return w.fail(err)
	}
	w.due = false
	return w.record(ctx, slices.Clone(saved), t, w.aside.flush(ctx))
}

// tail is the bytes behind the last full part, as a state keeps them.
type tail struct {
	off    int64 // of the whole upload
	size   int64
	inline []byte
	key    string
}

// tail saves the bytes of the part that is filled, in an object of their own where
// they are many.
func (w *writer) tail(ctx context.Context) (tail, error) {
	t := tail{off: w.off}
	if w.fill == nil {
		return t, nil
	}
	t.size = w.fill.size
	if t.size <= maxInline {
		t.inline = make([]byte, t.size)
		_, err := io.ReadFull(w.fill.body().reader(), t.inline)
		return t, err
	}
	w.mu.Lock()
	t.key = uploadKey(w.id, fmt.Sprintf("%s%d-%d", tailName, w.st.Epoch, w.st.Serial+1))
	w.mu.Unlock()
	_, err := w.s.put(ctx, t.key, w.fill.body(), always, nil)
	return t, err
}

// record writes the state that the bytes up to t.off belong to. The pointer comes
// first: a state that cannot be found by its name would be of no use.
func (w *writer) record(ctx context.Context, saved []byte, t tail, a asideMark) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return w.failed
	}
	if w.st.Phase == phaseDraft {
		if _, err := w.s.put(ctx, pendingKey(w.name, w.id), bytesBody(nil), always, nil); err != nil {
			w.failed = err
			return err
		}
	}
	next, old := w.st, w.st.TailKey
	next.Phase, next.Seal = phaseSaved, nil
	next.Off, next.Saved, next.saved = t.off, w.s.clock.Now().UTC(), saved
	next.Tail, next.TailKey, next.tail = t.size, t.key, t.inline
	next.Aside, next.Lost = a.refs, a.lost
	if !next.Whole {
		next.Parts = slices.Clone(w.parts)
	}
	if err := w.swapLocked(ctx, next); err != nil {
		return err
	}
	if old != "" && old != t.key {
		w.s.delete(ctx, old) // what stays is cleared away at the end
	}
	return nil
}

// Due implements store.Checkpointer.
func (w *writer) Due() bool { return w.due }

// Checkpoint implements store.Checkpointer.
func (w *writer) Checkpoint(saved []byte) error {
	err := w.ready(context.Background())
	if err == nil && w.fill != nil && w.fill.size > maxInline {
		return w.Save(context.Background(), saved)
	}
	var t tail
	if err == nil {
		t, err = w.tail(context.Background())
	}
	if err != nil {
		return w.wrap("save", err)
	}
	saved, w.due = slices.Clone(saved), false
	chunk := w.aside.cut()
	w.hand(func(ctx context.Context) error {
		return w.record(ctx, saved, t, w.aside.send(ctx, chunk))
	}, chunk.free)
	return nil
}

// Kept implements store.Checkpointer.
func (w *writer) Kept() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st.Off
}
