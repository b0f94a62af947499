package sshd

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// Why a connection was not let in.
var (
	errFull        = errors.New("too many connections")
	errSourceFull  = errors.New("too many connections from this source")
	errStartups    = errors.New("too many connections that have not logged in")
	errAccountFull = errors.New("too many connections of this account")
)

// gate counts connections. Its tables have an entry only for what is connected.
type gate struct {
	limits Limits
	roll   func() int // a random number from 0 to 99

	mu       sync.Mutex // guards all below, and every seat
	open     int
	startups int
	sources  map[netip.Prefix]int
	accounts map[string]int
}

func newGate(l Limits, roll func() int) *gate {
	return &gate{limits: l, roll: roll, sources: make(map[netip.Prefix]int), accounts: make(map[string]int)}
}

// seat is one connection's place. It begins as a startup.
type seat struct {
	gate    *gate
	source  netip.Prefix
	account string // empty until it logged in
	left    bool
}

// enter takes a seat, or says why there is none.
func (g *gate) enter(source netip.Prefix) (*seat, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.open >= g.limits.Connections:
		return nil, errFull
	case g.sources[source] >= g.limits.ConnectionsPerSource:
		return nil, errSourceFull
	case g.dropEarly():
		return nil, errStartups
	}
	g.open++
	g.startups++
	g.sources[source]++
	return &seat{gate: g, source: source}, nil
}

// dropEarly is should_drop_connection of OpenSSH's sshd.c.
func (g *gate) dropEarly() bool {
	s := g.limits.Startups
	switch {
	case g.startups < s.Start:
		return false
	case g.startups >= s.Full:
		return true
	}
	p := s.Rate + (100-s.Rate)*(g.startups-s.Start)/(s.Full-s.Start)
	return g.roll() < p
}

// login makes the startup a connection of account, which may have at most limit,
// where that is more than 0.
func (s *seat) login(account string, limit int) error {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case s.account == account:
		return nil
	case s.left || s.account != "" || g.accounts[account] >= g.limits.ConnectionsPerAccount:
		return errAccountFull
	case limit > 0 && g.accounts[account] >= limit:
		return errAccountFull
	}
	s.account = account
	g.accounts[account]++
	g.startups--
	return nil
}

// leave gives the seat back.
func (s *seat) leave() {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	g.open--
	release(g.sources, s.source)
	if s.account == "" {
		g.startups--
	} else {
		release(g.accounts, s.account)
	}
}

func release[K comparable](counts map[K]int, k K) {
	if counts[k]--; counts[k] <= 0 {
		delete(counts, k)
	}
}

// source is whom connections are counted for: an IPv4 address, or an IPv6 /64,
// since that much belongs to any one customer.
func source(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
