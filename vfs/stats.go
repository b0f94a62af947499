package vfs

import "sync/atomic"

// Stats are what a Tree counts for metrics. Counters only grow, from the start of
// the process.
type Stats struct {
	Running   int64 // uploads at this moment
	Suspended int64 // unfinished uploads that can be resumed
	Kept      int64 // their bytes
	Received  int64 // counter: bytes of uploads that came in
	Sent      int64 // counter: bytes handed out to support accounts
}

// counters are the part of Stats that is counted as it happens.
type counters struct{ received, sent atomic.Int64 }

// Stats is the count of this moment.
func (t *Tree) Stats() Stats {
	s := Stats{Received: t.count.received.Load(), Sent: t.count.sent.Load()}
	for _, a := range t.allAreas() {
		a.mu.Lock()
		for _, e := range a.names {
			if e.live != nil {
				s.Running++
			} else if e.kept != nil {
				s.Suspended++
				s.Kept += e.kept.size
			}
		}
		a.mu.Unlock()
	}
	return s
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
