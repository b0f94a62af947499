package vfs

import "sync"

// listeners are the channels of a connection on which a person may be waiting. It is
// safe for concurrent use.
type listeners struct {
	mu   sync.Mutex // guards all below
	next int
	all  map[int]func(string)
}

// Announce implements Announcer.
func (s *support) Announce(to func(line string)) (stop func()) {
	l := &s.waiting
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[int]func(string))
	}
	id := l.next
	l.next++
	l.all[id] = to
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, id)
	}
}

// announce tells all of them.
func (s *support) announce(line string) {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	for _, to := range s.waiting.all {
		to(line)
	}
}
