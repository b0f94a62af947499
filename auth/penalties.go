package auth

import (
	"container/heap"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Penalties shut out sources whose connections do not log in, as OpenSSH's
// PerSourcePenalties do: each fault adds its time to the source's penalty, and
// the source is shut out once that is above Min, until the penalty is over. 0 is
// no penalty for that fault.
type Penalties struct {
	AuthFail      time.Duration // tried to log in and failed; usually 5 seconds
	InvalidUser   time.Duration // tried as nobody that is known; usually 5 seconds
	NoAuth        time.Duration // left without a try; usually 1 second
	GraceExceeded time.Duration // did not log in in time; usually 10 seconds
	Crash         time.Duration // made the server panic; usually 90 seconds
	Min           time.Duration // usually 15 seconds
	Max           time.Duration // the most that adds up, at least Min; usually 10 minutes
	// Sources is how many sources are remembered, from 1 to 1,000,000. When
	// there are more, the one whose penalty ends first is forgotten. Usually
	// 65,536, which takes 8 MiB.
	Sources int
}

// maxPenalisedSources bounds the table.
const maxPenalisedSources = 1_000_000

// check reports what is out of its range.
func (p *Penalties) check() error {
	for _, d := range []time.Duration{p.AuthFail, p.InvalidUser, p.NoAuth, p.GraceExceeded, p.Crash, p.Min} {
		if d < 0 {
			return fmt.Errorf("penalties: %v: want 0 or more", d)
		}
	}
	if p.Max < p.Min || p.Max <= 0 {
		return fmt.Errorf("penalties: Max is %v: want at least Min, %v, and more than 0", p.Max, p.Min)
	}
	if p.Sources < 1 || p.Sources > maxPenalisedSources {
		return fmt.Errorf("penalties: Sources is %d: want 1 to %d", p.Sources, maxPenalisedSources)
	}
	return nil
}

// Fault is why a source is penalised. The zero Fault costs nothing.
type Fault int

// The faults, of which each has its time in Penalties.
const (
	FaultNone Fault = iota
	FaultAuth
	FaultUser
	FaultNoAuth
	FaultGrace
	FaultCrash
)

func (p *Penalties) of(f Fault) time.Duration {
	return [...]time.Duration{0, p.AuthFail, p.InvalidUser, p.NoAuth, p.GraceExceeded, p.Crash}[f]
}

// PenaltyTable is the table of penalised sources. It is safe for concurrent use,
// and its size is bounded by Penalties.Sources.
type PenaltyTable struct {
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

// NewPenaltyTable checks the rules and returns an empty table; now is its clock.
func NewPenaltyTable(rules Penalties, now func() time.Time) (*PenaltyTable, error) {
	if err := rules.check(); err != nil {
		return nil, err
	}
	return &PenaltyTable{rules: rules, now: now, sources: make(map[netip.Prefix]*penalty)}, nil
}

// Add penalises source for f and tells whether that has shut it out. The zero
// Prefix, a peer without an address, is never penalised.
func (p *PenaltyTable) Add(source netip.Prefix, f Fault) (shut bool) {
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

// IsShut tells whether source is shut out.
func (p *PenaltyTable) IsShut(source netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(p.now())
	e := p.sources[source]
	return e != nil && e.active
}

// Left is how long source's penalty still lasts, whether it is shut out or not.
func (p *PenaltyTable) Left(source netip.Prefix) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.sources[source]
	if e == nil {
		return 0
	}
	return max(0, e.end.Sub(p.now()))
}

// forget drops what is over.
func (p *PenaltyTable) forget(now time.Time) {
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
