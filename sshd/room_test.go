package sshd

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bundleup/auth"
)

// Among equals a client in the middle of its handshake stays where others say
// nothing, and one that is slow goes before one that has just come.
func TestVictimIsTheFurthestBeyondItsPatience(t *testing.T) {
	type came struct {
		age   time.Duration
		stage int32
	}
	for name, c := range map[string]struct {
		guests []came // the first must go
	}{
		"the oldest":               {[]came{{2 * time.Second, silent}, {time.Second, silent}}},
		"the silent":               {[]came{{time.Millisecond, silent}, {time.Second, exchanges}, {25 * time.Second, logsIn}}},
		"who exchanges too slowly": {[]came{{5 * time.Second, exchanges}, {time.Second / 2, silent}}},
		"who types for too long":   {[]came{{31 * time.Second, logsIn}, {time.Second, silent}, {6 * time.Second, exchanges}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEntrance(t, func(*Limits) {})
			for i, g := range c.guests {
				e.comeAll(fmt.Sprintf("192.0.2.%d", i))
				e.seats[i].since = e.clock.Add(-g.age)
				e.seats[i].reach(g.stage)
			}
			if v, weight, _ := e.victim(); v != e.seats[0] || weight != 1 {
				t.Errorf("%v with weight %d has to go, want %v with 1", v.source, weight, e.seats[0].source)
			}
			e.empty()
		})
	}
}

func TestWeight(t *testing.T) {
	e := newEntrance(t, func(*Limits) {})
	e.comeAll("192.0.2.1", "192.0.2.1")
	source := from("192.0.2.1")
	weighs := func(want int, st standing) {
		t.Helper()
		if got := e.weight(source, st); got != want {
			t.Errorf("weight %d, want %d", got, want)
		}
	}
	weighs(2, ordinary)
	weighs(0, exempt)
	e.guard.Penalties.Add(source, auth.FaultAuth)
	weighs(7, ordinary)
	weighs(2, relay)
	e.clock = e.clock.Add(3500 * time.Millisecond)
	weighs(4, ordinary)
	if err := e.seats[0].login("acme", 0); err != nil {
		t.Fatal(err)
	}
	weighs(0, ordinary)
	e.clock = e.clock.Add(regularFor)
	weighs(1, ordinary)
	e.empty()
}

func TestRegularsAreBounded(t *testing.T) {
	var r regulars
	now := time.Unix(1e9, 0)
	ip := func(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) }
	for i := range maxRegulars {
		r.add(from(ip(i)), now)
	}
	r.add(from(ip(0)), now) // again: it is the latest
	r.add(from("192.0.2.1"), now)
	if len(r.sources) != maxRegulars || r.order.Len() != maxRegulars {
		t.Errorf("%d and %d entries, want %d", len(r.sources), r.order.Len(), maxRegulars)
	}
	for addr, want := range map[string]bool{ip(0): true, ip(1): false, ip(2): true, "192.0.2.1": true} {
		if got := r.has(from(addr), now); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
}

// onslaught is a flood of connections that say nothing, from any of the sources.
// Those that have to go take a while to end.
type onslaught struct {
	*entrance
	sources int
	every   time.Duration
	rng     *rand.Rand
	ending  []guest
	honest  []guest
}

// guest is a seat and since when it is what it is.
type guest struct {
	*seat
	began time.Time
}

func (b *onslaught) attack() {
	n := b.rng.IntN(b.sources)
	ip := fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255)
	b.roll = b.rng.IntN(100)
	if !b.guard.Penalties.IsShut(from(ip)) {
		_ = b.come(ip)
	}
	b.clock = b.clock.Add(b.every)
}

// settle ends those who had to go.
func (b *onslaught) settle() {
	for _, s := range b.gone {
		b.ending = append(b.ending, guest{s, b.clock})
	}
	b.gone = b.gone[:0]
	for len(b.ending) > 0 && b.clock.Sub(b.ending[0].began) > 50*time.Millisecond {
		b.ending[0].leave()
		b.ending = b.ending[1:]
	}
}

// proceed lets the honest get on: a client's first line takes half the latency,
// its keys come after twice as much, its login ends after 4 times.
func (b *onslaught) proceed(latency time.Duration) {
	b.Helper()
	rest := b.honest[:0]
	for _, h := range b.honest {
		took := b.clock.Sub(h.began)
		switch {
		case took >= 4*latency:
			if err := h.login("acme", 0); err != nil {
				b.Errorf("%v: %v", h.source, err)
			}
			h.leave()
			continue
		case took >= 2*latency:
			h.reach(logsIn)
		case took >= latency/2:
			h.reach(exchanges)
		}
		rest = append(rest, h)
	}
	b.honest = rest
}

// Customers that nobody has seen come through it, and so do those who have
// been here, however slow their line is and however many the attackers are.
func TestHonestComeThroughAnOnslaught(t *testing.T) {
	for name, c := range map[string]struct {
		sources int
		every   time.Duration
		regular bool
		latency time.Duration
	}{
		"256 sources at 50,000 a second":   {256, 20 * time.Microsecond, false, 40 * time.Millisecond},
		"256 sources, a slow line":         {256, 20 * time.Microsecond, false, 150 * time.Millisecond},
		"10,000 sources at 1,000 a second": {10_000, time.Millisecond, false, 200 * time.Millisecond},
		"a source for each, known":         {1 << 24, 20 * time.Microsecond, true, 50 * time.Millisecond},
	} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(name, ", seed ", seed), func(t *testing.T) {
				b := &onslaught{sources: c.sources, every: c.every, rng: rand.New(rand.NewPCG(seed, 1))}
				b.entrance = newEntrance(t, func(l *Limits) {
					l.Connections, l.Startups = 1024, Startups{Start: 30, Rate: 30, Full: 200}
				})
				for i := 0; i < 4000 || len(b.honest) > 0; i++ {
					b.attack()
					if i < 4000 && i%200 == 100 {
						ip := fmt.Sprintf("192.0.2.%d", i/200)
						if c.regular {
							b.regulars.add(from(ip), b.clock)
						}
						b.comeAll(ip)
						b.honest = append(b.honest, guest{b.seats[len(b.seats)-1], b.clock})
					}
					b.settle()
					b.proceed(c.latency)
				}
				b.empty()
			})
		}
	}
}
