package bundle

import (
	"context"
	"sync"
)

// maxIdle is how many decoders a Reader keeps where they stopped.
const maxIdle = 4

// maxAhead is how far behind a checkpoint a chunk may begin: more than a check
// leaves between two checkpoints, see due and Check.grain.
const maxAhead = 128 << 20

// turn lets one at a time decode from a checkpoint: the next finds what it
// looks for in the cache, or goes on where the last one stopped.
type turn struct {
	sync.Mutex
	waiting int // guarded by the Reader's mu
}

func (r *Reader) begin(point int64) *turn {
	r.mu.Lock()
	t := r.busy[point]
	if t == nil {
		t = &turn{}
		r.busy[point] = t
	}
	t.waiting++
	r.mu.Unlock()
	t.Lock()
	return t
}

func (r *Reader) end(point int64, t *turn) {
	t.Unlock()
	r.mu.Lock()
	if t.waiting--; t.waiting == 0 {
		delete(r.busy, point)
	}
	r.mu.Unlock()
}

// chunk gives a chunk of the unpacked stream, which must not be changed.
func (r *Reader) chunk(n int64) ([]byte, error) {
	k := cacheKey{r, false, n}
	if b, ok := r.cache.get(k); ok {
		return b, nil
	}
	_, point, err := r.chunkAt(n)
	if err != nil {
		return nil, err
	}
	t := r.begin(point)
	defer r.end(point, t)
	if b, ok := r.cache.get(k); ok {
		return b, nil
	}
	u, err := r.from(point, n)
	if err != nil {
		return nil, err
	}
	for {
		at := u.pos / chunkLen
		b, err := r.nextChunk(u, at)
		if err != nil {
			return nil, err
		}
		r.cache.put(cacheKey{r, false, at}, b)
		if at == n {
			r.keep(u)
			return b, nil
		}
	}
}

// nextChunk decodes the chunk at, where u stands.
func (r *Reader) nextChunk(u *unroller, at int64) ([]byte, error) {
	crc, _, err := r.chunkAt(at)
	if err != nil {
		return nil, err
	}
	b := make([]byte, r.chunkSize(at))
	return b, u.chunk(b, crc)
}

// from gives a decoder at the start of chunk n or of one before it: one that
// stopped behind the checkpoint, or one that begins there.
func (r *Reader) from(number, n int64) (*unroller, error) {
	p, err := r.pointAt(number)
	if err != nil {
		return nil, err
	}
	if n*chunkLen < p.out || n*chunkLen-p.out > maxAhead {
		return nil, badIndex("a chunk is too far from its checkpoint")
	}
	if u := r.resume(p.out, n); u != nil {
		return u, nil
	}
	u, err := r.unroll(p)
	if err != nil {
		return nil, err
	}
	start := (p.out + chunkLen - 1) / chunkLen * chunkLen
	if err := u.discard(start); err != nil {
		return nil, damaged(start, err)
	}
	return u, nil
}

// resume takes the idle decoder that is nearest before chunk n, and behind an
// offset.
func (r *Reader) resume(least, n int64) *unroller {
	r.mu.Lock()
	defer r.mu.Unlock()
	best := -1
	for i, u := range r.idle {
		if u.pos >= least && u.pos <= n*chunkLen && (best < 0 || u.pos > r.idle[best].pos) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	u := r.idle[best]
	r.idle = append(r.idle[:best], r.idle[best+1:]...)
	return u
}

// keep keeps a decoder where it is, instead of the one that was kept first.
func (r *Reader) keep(u *unroller) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || u.pos >= r.header.manifest.Unpacked {
		return
	}
	if len(r.idle) >= maxIdle {
		r.idle = append(r.idle[:0], r.idle[1:]...)
	}
	r.idle = append(r.idle, u)
}

// blame says whether the archive or the index is wrong about the chunk at start.
func (r *Reader) blame(start int64) error {
	for _, s := range []section{chunkSection, pointSection, windowSection} {
		if err := r.verify(context.Background(), s); err != nil {
			return err
		}
	}
	return &DamageError{Offset: start, Reason: "the archive is damaged: its checksum does not match"}
}

// readAt reads the unpacked stream; b must lie inside of it.
func (r *Reader) readAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		if at < 0 || at >= r.header.manifest.Unpacked {
			return n, badIndex("an entry is out of range")
		}
		chunk, err := r.chunk(at / chunkLen)
		if err != nil {
			return n, err
		}
		c := copy(b[n:], chunk[at%chunkLen:])
		n += c
		at += int64(c)
	}
	return n, nil
}
