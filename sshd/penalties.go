package sshd

import (
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

var errPenalised = errors.New("this source is shut out for what its connections did")

// Penalties shut out sources whose connections do not log in, as OpenSSH's
// PerSourcePenalties do: each failure adds its time to the source's penalty, and
// the source is shut out once that is above Min, until the penalty is over. 0 is
// no penalty for that failure. The zero Penalties take the values of
// DefaultLimits.
type Penalties struct {
	AuthFail      time.Duration // tried to log in and failed; default 5 seconds
	InvalidUser   time.Duration // tried as nobody that is known; default 5 seconds
	NoAuth        time.Duration // left without a try; default 1 second
	GraceExceeded time.Duration // did not log in in time; default 10 seconds
	Crash         time.Duration // made the server panic; default 90 seconds
	Min           time.Duration // default 15 seconds
	Max           time.Duration // the most that adds up, at least Min; default 10 minutes
	// Sources is how many sources are remembered, from 1 to 1,000,000. When
	// there are more, the one whose penalty ends first is forgotten. Default
	// 65,536, which takes 8 MiB.
	Sources int
}

// maxPenalisedSources bounds the table.
const maxPenalisedSources = 1_000_000

func (p *Penalties) check() error {
	for _, d := range []time.Duration{p.AuthFail, p.InvalidUser, p.NoAuth, p.GraceExceeded, p.Crash, p.Min} {
		if d < 0 {
			return fmt.Errorf("limit Penalties has %v: want 0 or more", d)
		}
	}
	if p.Max < p.Min || p.Max <= 0 {
		return fmt.Errorf("limit Penalties.Max is %v: want at least Min, %v, and more than 0", p.Max, p.Min)
	}
	if p.Sources < 1 || p.Sources > maxPenalisedSources {
		return fmt.Errorf("limit Penalties.Sources is %d: want 1 to %d", p.Sources, maxPenalisedSources)
	}
	return nil
}

// fault is why a connection did not come to a login.
type fault int

const (
	faultNone fault = iota
	faultAuth
	faultUser
	faultNoAuth
	faultGrace
	faultCrash
)

func (p *Penalties) of(f fault) time.Duration {
	return [...]time.Duration{0, p.AuthFail, p.InvalidUser, p.NoAuth, p.GraceExceeded, p.Crash}[f]
}

// penalties is the table of penalised sources.
type penalties struct {
	rules Penalties
	now   func() time.Time

	mu      sync.Mutex // guards all below
	sources map[netip.Prefix]*penalty
	ends    penaltyHeap // the same, by their end
}

type penalty struct {
	source netip.Prefix
	end    time.Time
	active bool // until its end: the source is shut out
	at     int  // in the heap
}

func newPenalties(rules Penalties, now func() time.Time) *penalties {
	return &penalties{rules: rules, now: now, sources: make(map[netip.Prefix]*penalty)}
}

// add penalises source for f and tells whether that has shut it out.
func (p *penalties) add(source netip.Prefix, f fault) (shut bool) {
	d := p.rules.of(f)
	if d <= 0 || !source.IsValid() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.forget(now)
	e := p.sources[source]
	if e == nil {
		if len(p.sources) >= p.rules.Sources {
			delete(p.sources, heap.Pop(&p.ends).(*penalty).source)
		}
		e = &penalty{source: source, end: now}
		p.sources[source] = e
		heap.Push(&p.ends, e)
	}
	e.end = e.end.Add(d)
	if latest := now.Add(p.rules.Max); e.end.After(latest) {
		e.end = latest
	}
	heap.Fix(&p.ends, e.at)
	was := e.active
	e.active = was || e.end.Sub(now) > p.rules.Min
	return e.active && !was
}

// isShut tells whether source is shut out.
func (p *penalties) isShut(source netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(p.now())
	e := p.sources[source]
	return e != nil && e.active
}

// left is how long source's penalty still lasts, whether it is shut out or not.
func (p *penalties) left(source netip.Prefix) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.sources[source]
	if e == nil {
		return 0
	}
	return max(0, e.end.Sub(p.now()))
}

// forget drops what is over.
func (p *penalties) forget(now time.Time) {
	for len(p.ends) > 0 && !p.ends[0].end.After(now) {
		delete(p.sources, heap.Pop(&p.ends).(*penalty).source)
	}
}

// penaltyHeap implements heap.Interface.
type penaltyHeap []*penalty

func (h penaltyHeap) Len() int           { return len(h) }
func (h penaltyHeap) Less(i, j int) bool { return h[i].end.Before(h[j].end) }
func (h penaltyHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *penaltyHeap) Push(x any) {
	e := x.(*penalty)
	e.at = len(*h)
	*h = append(*h, e)
}

func (h *penaltyHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// noteTry remembers what a failed try says of the connection. That an account
// has too many connections is no sign of an attack.
func (c *connection) noteTry(meta ssh.ConnMetadata, method string, err error) {
	known := c.server.cfg.KnownUser
	partial := (*ssh.PartialSuccessError)(nil)
	switch {
	case err == nil || method == "none" || errors.As(err, &partial):
	case errors.Is(err, errAccountFull):
		c.proven = true
	case known != nil && !known(meta.User()):
		c.fault = faultUser
	case c.fault == faultNone:
		c.fault = faultAuth
	}
}

// penalise judges a connection that ended with err before a login.
func (c *connection) penalise(err error) {
	f := c.fault
	switch {
	case c.proven || c.server.isClosing():
		return
	case err == errEvicted && f == faultNone:
		return // the eviction had its penalty
	case errors.Is(err, os.ErrDeadlineExceeded):
		f = faultGrace
	case f == faultNone:
		f = faultNoAuth
	}
	c.penaliseFor(f)
}

func (c *connection) penaliseFor(f fault) {
	c.sayShut(c.capped && c.server.penalties.add(c.source, f))
}

func (c *connection) sayShut(shut bool) {
	if shut {
		c.log.Warn("source shut out", "source", c.source.String())
	}
}
