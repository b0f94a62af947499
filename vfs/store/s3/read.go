package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"bundleup/vfs/store"
)

// A read fetches a window: a small one at a place where nobody was, and twice the
// size of the one before where reading goes on, so that one entry costs little and
// a whole bundle few requests. Behind a large window the next one is fetched while
// it is read.
const (
	smallWindow = 1 * mib
	largeWindow = 8 * mib
)

// object implements store.Object. The ETag is named at every read: what was opened
// is what is read.
type object struct {
	s    *Store
	key  string
	etag string
	info store.Info

	mu     sync.Mutex // guards what follows; held while a window is fetched
	now    *window    // the one read last
	ahead  *window    // behind it, on its way or there
	closed bool
}

// window is some bytes of the object.
type window struct {
	off  int64
	part *part         // what it holds; its cap is the window's length
	done chan struct{} // closed when the part is filled, or err is set
	err  error
}

func (s *Store) newObject(key, etag string, info store.Info) *object {
	return &object{s: s, key: key, etag: etag, info: info}
}

func (o *object) Info() store.Info { return o.info }

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset", o.info.Key)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, fs.ErrClosed
	}
	done := 0
	for done < len(p) && off < o.info.Size {
		n, err := o.read(p[done:], off)
		done += n
		off += int64(n)
		if errors.Is(err, errConflict) {
			err = fmt.Errorf("%w: %w", store.ErrReplaced, err)
		}
		if err != nil {
			return done, fmt.Errorf("read %s: %w", o.info.Key, err)
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// read copies what the window at off has.
func (o *object) read(p []byte, off int64) (int, error) {
	w, err := o.at(off)
	if err != nil {
		return 0, err
	}
	if w == nil { // no memory: the peer's buffer serves
		p = p[:min(int64(len(p)), o.info.Size-off)]
		return len(p), o.s.getRange(context.Background(), o.key, o.etag, p, off)
	}
	return w.part.ReadAt(p[:min(int64(len(p)), w.end()-off)], off-w.off)
}

func (w *window) end() int64 { return w.off + w.part.cap }

func (w *window) has(off int64) bool { return w != nil && w.off <= off && off < w.end() }

// at gives the window that has off, fetching it if need be; nil without memory.
func (o *object) at(off int64) (*window, error) {
	switch {
	case o.now.has(off):
	case o.ahead.has(off):
		<-o.ahead.done
		o.drop(o.now)
		o.now, o.ahead = o.ahead, nil
	default:
		size := int64(smallWindow)
		if o.now != nil && o.now.end() == off {
			size = min(2*o.now.part.cap, largeWindow)
		}
		o.forget()
		if o.now = o.fetch(off, size); o.now == nil {
			return nil, nil
		}
		<-o.now.done
	}
	if err := o.now.err; err != nil {
		o.forget()
		return nil, err
	}
	if o.ahead == nil && o.now.part.cap == largeWindow && o.now.end() < o.info.Size {
		o.ahead = o.fetch(o.now.end(), largeWindow)
	}
	return o.now, nil
}

// fetch starts to read a window. It is nil if there is no memory for it.
func (o *object) fetch(off, size int64) *window {
	size = min(size, o.info.Size-off)
	part := newWindow(o.s.memory, size)
	if part == nil {
		return nil
	}
	w := &window{off: off, part: part, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = o.fill(part, off)
	}()
	return w
}

// fill reads a window into its blocks, each request as large as it can be.
func (o *object) fill(p *part, off int64) error {
	return o.s.getTo(context.Background(), o.key, o.etag, p, off, p.cap)
}

// drop waits for a window and gives its memory back.
func (o *object) drop(w *window) {
	if w != nil {
		<-w.done
		w.part.free()
	}
}

func (o *object) forget() {
	o.drop(o.now)
	o.drop(o.ahead)
	o.now, o.ahead = nil, nil
}

// Close implements io.Closer.
func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fs.ErrClosed
	}
	o.closed = true
	o.forget()
	return nil
}

// newWindow makes a part that has all its memory, or nil.
func newWindow(b *budget, size int64) *part {
	p := &part{budget: b, cap: size}
	for int64(len(p.blocks)*b.block) < size {
		block := b.get()
		if block == nil {
			p.free()
			return nil
		}
		p.blocks = append(p.blocks, block)
	}
	return p
}

// rewind empties a window for another try; its memory stays.
func (p *part) rewind() { p.size, p.memory, p.crc = 0, 0, 0 }
