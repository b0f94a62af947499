package s3

import (
	"sync"

	"bundleup/vfs/store"
)

// maxCached bounds each of the caches, in entries.
const maxCached = 20_000

// cache remembers up to maxCached values, and begins anew when it is full.
type cache[V any] struct {
	mu sync.Mutex // guards m
	m  map[store.Key]V
}

func (c *cache[V]) get(k store.Key) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.m[k]
	return v, ok
}

func (c *cache[V]) set(k store.Key, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxCached {
		c.m = make(map[store.Key]V)
	}
	c.m[k] = v
}

func (c *cache[V]) remove(k store.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, k)
}

// dirSet is the directories known to exist. Another node may have erased one: who
// puts something into a directory asks again.
type dirSet struct{ cache[struct{}] }

func (d *dirSet) has(k store.Key) bool { _, ok := d.get(k); return ok }
func (d *dirSet) add(k store.Key)      { d.set(k, struct{}{}) }
