package sshd

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"bundleup/auth"
)

// Why a connection was not let in, or had to go.
var (
	errFull           = errors.New("too many connections")
	errSourceFull     = errors.New("too many connections from this source")
	errSourceStartups = errors.New("too many connections from this source that have not logged in")
	errStartups       = errors.New("too many connections that have not logged in")
	errAccountFull    = errors.New("too many connections of this account")
	errEvicted        = errors.New("made room for another connection that has not logged in")
)

// gate counts connections and open files. Its tables have an entry only for
// what is connected, and one for each of a bounded number of regulars.
type gate struct {
	limits Limits
	roll   func() int // a random number from 0 to 99
	now    func() time.Time
	guard  *auth.Guard // locked after mu

	mu       sync.Mutex // guards all below, and every seat
	open     int
	startups *list.List // of *seat, the oldest first
	evicted  int        // seats that were taken away and whose connections have not ended
	sources  map[netip.Prefix]*crowd
	regulars regulars
	handles  map[string]int // of accounts that have some
}

// crowd is what one source has.
type crowd struct{ open, startups int }

func newGate(l Limits, roll func() int, now func() time.Time, guard *auth.Guard) *gate {
	return &gate{
		limits: l, roll: roll, now: now, guard: guard, startups: list.New(), sources: make(map[netip.Prefix]*crowd),
		handles: make(map[string]int),
	}
}

// standing is what a connection's source is to the server.
type standing int

const (
	ordinary standing = iota // limits and penalties per source apply
	exempt                   // they do not
	relay                    // they will, to the source that it names
)

// seat is one connection's place. It begins as a startup.
type seat struct {
	gate     *gate
	source   netip.Prefix
	standing standing
	crowd    *crowd
	since    time.Time
	evict    func() // ends the connection; must not block
	startup  *list.Element
	account  string // empty until it logged in
	left     bool
	evicted  bool
	shut     bool         // the eviction shut its source out
	stage    atomic.Int32 // of the handshake; see room.go
}

// enter takes a seat for a connection from source, or says why there is none.
func (g *gate) enter(source netip.Prefix, st standing, evict func()) (*seat, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	weight := g.weight(source, st)
	if st == ordinary {
		if err := g.fits(source); err != nil {
			return nil, err
		}
		if g.dropEarly(weight) {
			return nil, errStartups
		}
	}
	if st == relay {
		weight = 0 // whom it will name is not known
	}
	if err := g.makeRoom(source, weight); err != nil {
		return nil, err
	}
	s := &seat{gate: g, standing: st, since: g.now(), evict: evict}
	g.open++
	s.startup = g.startups.PushBack(s)
	s.join(source)
	return s, nil
}

// The following want g.mu held.

// fits holds one more connection of source against the limits per source.
func (g *gate) fits(source netip.Prefix) error {
	c := g.sources[source]
	switch {
	case c == nil:
		return nil
	case c.open >= g.limits.ConnectionsPerSource:
		return errSourceFull
	case c.startups >= g.limits.StartupsPerSource:
		return errSourceStartups
	}
	return nil
}

// dropEarly is should_drop_connection of OpenSSH's sshd.c, but for the weight: a
// source that has none is let in, one with as much as the sources have startups
// on average meets the full probability.
func (g *gate) dropEarly(weight int) bool {
	l, n := g.limits.Startups, g.startups.Len()
	if n < l.Start || weight == 0 {
		return false
	}
	p := 100
	if n < l.Full {
		p = l.Rate + (100-l.Rate)*(n-l.Start)/(l.Full-l.Start)
	}
	crowds := 0
	for _, c := range g.sources {
		if c.startups > 0 {
			crowds++
		}
	}
	if average := (n + crowds - 1) / crowds; weight < average {
		p = p * weight / average
	}
	return g.roll() < p
}

// join counts the seat for source.
func (s *seat) join(source netip.Prefix) {
	g := s.gate
	s.source, s.crowd = source, g.sources[source]
	if s.crowd == nil {
		s.crowd = new(crowd)
		g.sources[source] = s.crowd
	}
	s.crowd.open++
	s.crowd.startups++
}

// part counts the seat for its source no longer.
func (s *seat) part() {
	s.crowd.open--
	if s.account == "" {
		s.crowd.startups--
	}
	if s.crowd.open == 0 {
		delete(s.gate.sources, s.source)
	}
}

// remove takes the seat out of every count.
func (s *seat) remove() {
	g := s.gate
	s.left = true
	g.open--
	s.part()
	if s.account == "" {
		g.startups.Remove(s.startup)
		return
	}
	g.guard.Sessions.Give(s.account)
}

// The following take g.mu.

// name moves the startup to the source that its balancer named, or says why it
// may not stay.
func (s *seat) name(source netip.Prefix, st standing) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.left {
		return errEvicted
	}
	if st == ordinary {
		if err := g.fits(source); err != nil {
			return err
		}
	}
	s.part()
	s.standing = st
	s.join(source)
	return nil
}

// login makes the startup a connection of account, which may have at most limit,
// where that is more than 0.
func (s *seat) login(account string, limit int) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.account == account {
		return nil
	}
	most := g.limits.ConnectionsPerAccount
	if limit > 0 {
		most = min(most, limit)
	}
	if s.left || s.account != "" || !g.guard.Sessions.Take(account, most) {
		return errAccountFull
	}
	s.crowd.startups--
	g.startups.Remove(s.startup)
	s.account = account
	g.regulars.add(s.source, g.now())
	return nil
}

// takeHandle counts a file or directory that the seat's account opens; false
// means that it has too many.
func (s *seat) takeHandle() bool {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.account == "" || g.handles[s.account] >= g.limits.HandlesPerAccount {
		return false
	}
	g.handles[s.account]++
	return true
}

// giveHandle gives back what takeHandle took.
func (s *seat) giveHandle() {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.handles[s.account]--; g.handles[s.account] == 0 {
		delete(g.handles, s.account)
	}
}

// leave gives the seat back, once the connection has ended. It tells whether the
// seat had been taken away, and whether that has shut the source out.
func (s *seat) leave() (evicted, shut bool) {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.evicted {
		g.evicted--
		s.evicted = false
		return true, s.shut
	}
	if !s.left {
		s.remove()
	}
	return false, false
}
