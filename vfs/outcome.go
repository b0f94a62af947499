package vfs

import "sync"

// maxOutcomes bounds what one connection is remembered for; the oldest go.
const maxOutcomes = 256

// outcome is what a connection was last told about a name it sent: clients
// verify an upload with a STAT, and must find in it what became of their bytes.
type outcome struct {
	err  error // refused or incomplete: STAT says so
	info *Info // kept under another name: STAT shows what was sent
	as   string
	// notice is what a person should read about it.
	notice string
}

// outcomes remembers them by name. It is safe for concurrent use.
type outcomes struct {
	mu    sync.Mutex // guards all below
	names map[string]outcome
	order []string // oldest first
}

func (o *outcomes) remember(name string, out outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.names == nil {
		o.names = make(map[string]outcome)
	}
	if _, ok := o.names[name]; !ok {
		if len(o.order) == maxOutcomes {
			delete(o.names, o.order[0])
			o.order = o.order[1:]
		}
		o.order = append(o.order, name)
	}
	o.names[name] = out
}

func (o *outcomes) forgetOutcome(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.names[name]; !ok {
		return
	}
	delete(o.names, name)
	for i, n := range o.order {
		if n == name {
			o.order = append(o.order[:i], o.order[i+1:]...)
			return
		}
	}
}

func (o *outcomes) outcome(name string) (outcome, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	out, ok := o.names[name]
	return out, ok
}
