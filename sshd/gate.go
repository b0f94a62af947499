package sshd

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Why a connection was not let in, or had to go.
var (
	errFull           = errors.New("too many connections")
	errSourceFull     = errors.New("too many connections from this source")
	errSourceStartups = errors.New("too many connections from this source that have not logged in")
	errStartups       = errors.New("too many connections that have not logged in")
	errAccountFull    = errors.New("too many connections of this account")
	errEvicted        = errors.New("made room for a source that has fewer connections that have not logged in")
)

// gate counts connections and open files. Its tables have an entry only for
// what is connected.
//
// Who floods must not keep others out: where there is no room for another
// startup, one of the source with the most of them has to go.
type gate struct {
	limits Limits
	roll   func() int // a random number from 0 to 99

	mu       sync.Mutex // guards all below, and every seat
	open     int
	startups *list.List // of *seat, the oldest first
	evicted  int        // seats that were taken away and whose connections have not ended
	sources  map[netip.Prefix]*crowd
	accounts map[string]*holding
}

// crowd is what one source has.
type crowd struct{ open, startups int }

// holding is what one account has.
type holding struct{ connections, handles int }

func newGate(l Limits, roll func() int) *gate {
	return &gate{limits: l, roll: roll, startups: list.New(), sources: make(map[netip.Prefix]*crowd), accounts: make(map[string]*holding)}
}

// seat is one connection's place. It begins as a startup.
type seat struct {
	gate    *gate
	source  netip.Prefix
	crowd   *crowd
	capped  bool   // the limits per source apply
	evict   func() // ends the connection; must not block
	startup *list.Element
	account string // empty until it logged in
	left    bool
	evicted bool
	heard   atomic.Int64 // bytes that its peer has sent
}

// maxEvicting is how many startups may have lost their seat and not ended yet, for
// each that there may be.
const maxEvicting = 8

// enter takes a seat for a connection from source, or says why there is none.
// The limits per source do not apply where capped is false.
func (g *gate) enter(source netip.Prefix, capped bool, evict func()) (*seat, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	has := 0
	if capped {
		if err := g.fits(source); err != nil {
			return nil, err
		}
		has = g.startupsOf(source)
		if g.dropEarly(has) {
			return nil, errStartups
		}
	}
	if err := g.makeRoom(has); err != nil {
		return nil, err
	}
	s := &seat{gate: g, capped: capped, evict: evict}
	g.open++
	s.startup = g.startups.PushBack(s)
	s.join(source)
	return s, nil
}

// The following want g.mu held.

func (g *gate) startupsOf(source netip.Prefix) int {
	if c := g.sources[source]; c != nil {
		return c.startups
	}
	return 0
}

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
// source with no startups is let in, one with an average number or more of them
// meets the full probability.
func (g *gate) dropEarly(has int) bool {
	l, n := g.limits.Startups, g.startups.Len()
	if n < l.Start || has == 0 {
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
	if average := (n + crowds - 1) / crowds; has < average {
		p = p * has / average
	}
	return g.roll() < p
}

// makeRoom takes a startup's seat away where there is none left: of the source
// that has the most; of several, the one whose peer has sent the least: an honest
// one is soon past a silent or slow one; of those, the oldest. A newcomer whose
// source has as many finds no room.
func (g *gate) makeRoom(has int) error {
	full := g.open >= g.limits.Connections
	if !full && g.startups.Len() < g.limits.Startups.Full {
		return nil
	}
	var victim *seat
	for e := g.startups.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*seat); victim == nil || s.goesBefore(victim) {
			victim = s
		}
	}
	switch {
	case victim != nil && victim.crowd.startups > has && g.evicted < maxEvicting*g.limits.Startups.Full:
		victim.remove()
		victim.evicted = true
		g.evicted++
		victim.evict()
		return nil
	case full:
		return errFull
	}
	return errStartups
}

// goesBefore says that s has to make room rather than the older seat o.
func (s *seat) goesBefore(o *seat) bool {
	if s.crowd.startups != o.crowd.startups {
		return s.crowd.startups > o.crowd.startups
	}
	return s.heard.Load() < o.heard.Load()
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
	h := g.accounts[s.account]
	h.connections--
	g.tidy(s.account, h)
}

func (g *gate) tidy(account string, h *holding) {
	if *h == (holding{}) {
		delete(g.accounts, account)
	}
}

// The following take g.mu.

// name moves the startup to the source that its balancer named, or says why it
// may not stay.
func (s *seat) name(source netip.Prefix, capped bool) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.left {
		return errEvicted
	}
	if capped {
		if err := g.fits(source); err != nil {
			return err
		}
	}
	s.part()
	s.capped = capped
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
	h := g.accounts[account]
	if h == nil {
		h = new(holding)
	}
	most := g.limits.ConnectionsPerAccount
	if limit > 0 {
		most = min(most, limit)
	}
	if s.left || s.account != "" || h.connections >= most {
		return errAccountFull
	}
	h.connections++
	g.accounts[account] = h
	s.crowd.startups--
	g.startups.Remove(s.startup)
	s.account = account
	return nil
}

// takeHandle counts a file or directory that the seat's account opens; false
// means that it has too many.
func (s *seat) takeHandle() bool {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.accounts[s.account]
	if h == nil || h.handles >= g.limits.HandlesPerAccount {
		return false
	}
	h.handles++
	return true
}

// giveHandle gives back what takeHandle took.
func (s *seat) giveHandle() {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.accounts[s.account]
	h.handles--
	g.tidy(s.account, h)
}

// leave gives the seat back, once the connection has ended. It tells whether the
// seat had been taken away.
func (s *seat) leave() (evicted bool) {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.evicted {
		g.evicted--
		s.evicted = false
		return true
	}
	if !s.left {
		s.remove()
	}
	return false
}
