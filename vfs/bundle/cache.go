package bundle

import (
	"compress/flate"
	"container/list"
	"io"
	"sync"
)

// Cache bounds the memory of what Readers have inflated: of all Readers that
// share it together. It is safe for concurrent use.
type Cache struct {
	mu    sync.Mutex // guards what follows
	limit int
	used  int
	order *list.List // of *cached, the least recently used last
	byKey map[cacheKey]*list.Element
	flate []io.ReadCloser // not in use
}

// cacheKey is a chunk of the archive, by its number, or a block of the index, by
// its place.
type cacheKey struct {
	r     *Reader
	block bool
	at    int64
}

type cached struct {
	key cacheKey
	b   []byte
}

// minCache is the least that a cache holds: a few chunks.
const minCache = 4 << 20

// maxFlate is how many readers for blocks are kept, of 50 KiB.
const maxFlate = 4

// NewCache makes a cache for the given number of bytes, but for at least 4 MiB.
func NewCache(bytes int64) *Cache {
	limit := int(max(min(bytes, 1<<40), minCache))
	return &Cache{limit: limit, order: list.New(), byKey: map[cacheKey]*list.Element{}}
}

// get gives what was put; it must not be changed.
func (c *Cache) get(k cacheKey) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[k]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).b, true
}

func (c *Cache) put(k cacheKey, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[k]; ok {
		return
	}
	c.byKey[k] = c.order.PushFront(&cached{k, b})
	for c.used += cap(b); c.used > c.limit && c.order.Len() > 1; {
		c.drop(c.order.Back())
	}
}

func (c *Cache) drop(e *list.Element) {
	v := c.order.Remove(e).(*cached)
	delete(c.byKey, v.key)
	c.used -= cap(v.b)
}

// forget drops what belongs to r.
func (c *Cache) forget(r *Reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cached).key.r == r {
			c.drop(e)
		}
		e = next
	}
}

// inflater lends a reader of deflated bytes; giveBack ends that.
func (c *Cache) inflater(src io.Reader) io.ReadCloser {
	c.mu.Lock()
	n := len(c.flate)
	if n == 0 {
		c.mu.Unlock()
		return flate.NewReader(src)
	}
	z := c.flate[n-1]
	c.flate = c.flate[:n-1]
	c.mu.Unlock()
	z.(flate.Resetter).Reset(src, nil) // without a dictionary: no error
	return z
}

func (c *Cache) giveBack(z io.ReadCloser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.flate) < maxFlate {
		c.flate = append(c.flate, z)
	}
}
