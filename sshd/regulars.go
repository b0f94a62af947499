package sshd

import (
	"container/list"
	"net/netip"
	"time"
)

const (
	// regularFor is how long a source that has logged in is a regular.
	regularFor = 30 * 24 * time.Hour
	// maxRegulars bounds the table, which takes 4 MiB then. The one whose last
	// login is the longest ago is forgotten first: who cannot log in pushes
	// nobody out.
	maxRegulars = 16384
)

// regulars are the sources that have logged in lately. The zero value is ready.
type regulars struct {
	order   list.List // of *regular, the latest first
	sources map[netip.Prefix]*list.Element
}

type regular struct {
	source netip.Prefix
	last   time.Time
}

// add notes a login.
func (r *regulars) add(source netip.Prefix, now time.Time) {
	if e := r.sources[source]; e != nil {
		e.Value.(*regular).last = now
		r.order.MoveToFront(e)
		return
	}
	if r.sources == nil {
		r.sources = make(map[netip.Prefix]*list.Element)
	}
	if r.order.Len() >= maxRegulars {
		delete(r.sources, r.order.Remove(r.order.Back()).(*regular).source)
	}
	r.sources[source] = r.order.PushFront(&regular{source, now})
}

// has tells whether source is one.
func (r *regulars) has(source netip.Prefix, now time.Time) bool {
	e := r.sources[source]
	return e != nil && now.Sub(e.Value.(*regular).last) < regularFor
}
