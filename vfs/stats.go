package vfs

import (
	"context"
	"sync/atomic"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// Stats are what a Tree counts for metrics. Counters only grow, from the start of
// the process.
type Stats struct {
	Running   int64 // uploads at this moment
	Suspended int64 // unfinished uploads that can be resumed
	Kept      int64 // their bytes
	Orphans   int64 // those of tenants that are gone: nobody can continue them
	Received  int64 // counter: bytes of uploads that came in
	Sent      int64 // counter: bytes handed out to support accounts
}

// counters are the part of Stats that is counted as it happens.
type counters struct{ received, sent atomic.Int64 }

// Stats is the count of this moment.
func (t *Tree) Stats() Stats {
	s := Stats{Received: t.count.received.Load(), Sent: t.count.sent.Load()}
	tenants := make(map[auth.Tenant]bool)
	for _, name := range t.cfg.Tenants() {
		tenants[name] = true
	}
	for _, a := range t.allAreas() {
		a.mu.Lock()
		for _, e := range a.names {
			if e.live != nil {
				s.Running++
			} else if e.kept != nil {
				s.Suspended++
				s.Kept += e.kept.size
				if !tenants[a.tenant] {
					s.Orphans++
				}
			}
		}
		a.mu.Unlock()
	}
	return s
}

// Space is how many bytes the medium has left and has in all; ok is false where it
// does not tell.
func (t *Tree) Space(ctx context.Context) (free, size uint64, ok bool) {
	s, can := t.cfg.Store.(store.Spacer)
	if !can {
		return 0, 0, false
	}
	free, err := s.Free(ctx)
	if err != nil {
		return 0, 0, false
	}
	if s, can := t.cfg.Store.(store.Sizer); can {
		size, err = s.Size(ctx)
	}
	return free, size, err == nil
}

// allAreas are those of this moment.
func (t *Tree) allAreas() []*area {
	t.mu.Lock()
	defer t.mu.Unlock()
	areas := make([]*area, 0, len(t.areas))
	for _, a := range t.areas {
		areas = append(areas, a)
	}
	return areas
}
