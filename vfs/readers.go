package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

const (
	// maxReaders bounds the bundles that are open for reading inside, in use or
	// kept for the next who asks.
	maxReaders = 64
	// maxIndexing is how many indexes are built from bundles at once: each takes a
	// core.
	maxIndexing = 1
	// maxPending bounds the bundles that wait for Tree.Index. One that finds no
	// place gets its index at its first use.
	maxPending = 1024
	// patience is how long somebody waits for an index before he is told, and
	// between two such lines.
	patience = 2 * time.Second
	between  = 10 * time.Second
)

// errTooMany says that maxReaders bundles are in use.
var errTooMany = errors.New("too many bundles are open")

// readers keeps bundles open for reading inside, the least recently used ones are
// closed. Of many who ask for one bundle the first opens it, and builds its index if
// need be, on a goroutine that goes on when he goes away.
type readers struct {
	cfg      Config
	cache    *bundle.Cache
	indexing chan struct{} // one for each index that is built
	pending  chan store.Key

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup // the opening goroutines

	mu   sync.Mutex // guards all below and the users, last and stale of each reader
	open map[store.Key]*reader
	tick int64
}

// reader is a bundle that is open, or being opened until ready is closed.
type reader struct {
	*bundle.Reader
	key    store.Key
	ready  chan struct{}
	err    error
	object store.Object
	index  store.Object

	total   atomic.Int64 // bytes of the bundle; 0 while nothing is known
	indexed atomic.Int64 // of them, where an index is being built

	users int
	last  int64 // tick of the last use
	stale bool  // no longer in the table: the last user closes it
}

func newReaders(cfg Config) *readers {
	ctx, stop := context.WithCancel(context.Background())
	return &readers{
		cfg: cfg, cache: bundle.NewCache(cfg.Cache), ctx: ctx, stop: stop,
		indexing: make(chan struct{}, maxIndexing), pending: make(chan store.Key, maxPending),
		open: make(map[store.Key]*reader),
	}
}

// acquire opens a bundle, or shares the one that is open; release gives it back.
// tell gets a line now and then while an index is being built.
func (rs *readers) acquire(ctx context.Context, key store.Key, tell func(string)) (*reader, error) {
	r, err := rs.take(key)
	if err != nil {
		return nil, err
	}
	err = rs.wait(ctx, r, tell)
	if err != nil {
		rs.release(r)
		return nil, err
	}
	return r, nil
}

// take finds the bundle's reader or begins to open one.
func (rs *readers) take(key store.Key) (*reader, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.tick++
	r := rs.open[key]
	if r == nil {
		if !rs.makeRoom() {
			return nil, errTooMany
		}
		r = &reader{key: key, ready: make(chan struct{})}
		rs.open[key] = r
		rs.work.Go(func() { rs.start(r) })
	}
	r.users++
	r.last = rs.tick
	return r, nil
}

// makeRoom closes the least recently used reader if the table is full.
func (rs *readers) makeRoom() bool {
	if len(rs.open) < maxReaders {
		return true
	}
	var oldest *reader
	for _, r := range rs.open {
		if r.users == 0 && r.opened() && (oldest == nil || r.last < oldest.last) {
			oldest = r
		}
	}
	if oldest == nil {
		return false
	}
	delete(rs.open, oldest.key)
	oldest.close()
	return true
}

// opened says that the goroutine which opens r has ended.
func (r *reader) opened() bool {
	select {
	case <-r.ready:
		return true
	default:
		return false
	}
}

// wait waits until r is open.
func (rs *readers) wait(ctx context.Context, r *reader, tell func(string)) error {
	next := time.NewTimer(patience)
	defer next.Stop()
	for {
		select {
		case <-r.ready:
			return r.err
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
			tell(r.progress())
			next.Reset(between)
		}
	}
}

// progress is a line for who waits.
func (r *reader) progress() string {
	total := r.total.Load()
	if total == 0 {
		return fmt.Sprintf("%s is being opened", r.key.Base())
	}
	return fmt.Sprintf("%s is read for the first time: its index is made: %d %% of %s bytes", r.key.Base(), r.indexed.Load()*100/total, commas(total))
}

// release ends one use.
func (rs *readers) release(r *reader) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.users--
	if r.users == 0 && r.stale && r.opened() {
		r.close()
	}
}

// start opens r for all who wait. One that cannot be opened is forgotten, so that
// the next who asks tries anew.
func (rs *readers) start(r *reader) {
	r.err = rs.openReader(r)
	close(r.ready)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case r.err != nil:
		rs.drop(r)
	case r.users == 0 && r.stale:
		r.close()
	}
}

// drop takes r out of the table; rs.mu is held.
func (rs *readers) drop(r *reader) {
	if rs.open[r.key] == r {
		delete(rs.open, r.key)
	}
	r.stale = true
	if r.users == 0 {
		r.close()
	}
}

// close closes what is open; nobody uses r any more.
func (r *reader) close() {
	if r.Reader != nil {
		r.Reader.Close()
		r.Reader = nil
	}
	for _, o := range []*store.Object{&r.object, &r.index} {
		if *o != nil {
			(*o).Close()
			*o = nil
		}
	}
}

// forget drops the reader of a bundle that is gone. Who has a file of it open reads it
// to its end.
func (rs *readers) forget(key store.Key) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.open[key]
	if r == nil {
		return
	}
	delete(rs.open, key)
	r.stale = true
	if r.users == 0 && r.opened() {
		r.close()
	}
}

// renew is called by a user whose read showed that the index is damaged: the next
// acquire makes a new one.
func (rs *readers) renew(r *reader) {
	rs.mu.Lock()
	if r.stale {
		rs.mu.Unlock()
		return
	}
	r.stale = true
	delete(rs.open, r.key)
	rs.mu.Unlock()
	// Should this fail, the next one finds the damage again and says so.
	_ = rs.cfg.Store.RemoveRecord(rs.ctx, r.key, indexDoc)
}

// close stops what is under way and closes all.
func (rs *readers) close() {
	rs.stop()
	rs.work.Wait()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for key, r := range rs.open {
		delete(rs.open, key)
		r.close()
	}
}

// openReader opens the bundle and its index, which is made if there is none that is
// of use.
func (rs *readers) openReader(r *reader) error {
	o, err := rs.cfg.Store.Open(rs.ctx, r.key)
	if err != nil {
		return err
	}
	r.object = o
	err = rs.openIndex(r)
	var damaged *bundle.IndexError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damaged) {
		if err = rs.makeIndex(r); err == nil {
			err = rs.openIndex(r)
		}
	}
	if err != nil {
		r.close()
		return fmt.Errorf("open %s inside: %w", r.key, err)
	}
	return nil
}

func (rs *readers) openIndex(r *reader) error {
	index, err := rs.cfg.Store.OpenRecord(rs.ctx, r.key, indexDoc)
	if err != nil {
		return err
	}
	inside, err := bundle.NewReader(r.object, r.object.Info().Size, index, index.Info().Size, bundle.ReaderOptions{Cache: rs.cache})
	if err != nil {
		index.Close()
		return err
	}
	r.Reader, r.index = inside, index
	return nil
}
