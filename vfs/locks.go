package vfs

import "sync"

// locks is a set of mutexes by name that holds only those in use.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	sync.Mutex
	users int // guarded by locks.mu
}

func newLocks() *locks { return &locks{held: make(map[string]*lock)} }

// lock takes the name's mutex and returns its release.
func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	m := l.held[name]
	if m == nil {
		m = &lock{}
		l.held[name] = m
	}
	m.users++
	l.mu.Unlock()
	m.Lock()
	return func() {
		m.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if m.users--; m.users == 0 {
			delete(l.held, name)
		}
	}
}
