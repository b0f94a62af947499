package sshd

import (
	"net/netip"
	"time"

	"bundleup/auth"
)

// Who floods must not keep others out. Where there is no room for another startup,
// one of the source that weighs the most has to go. That weight outlives a
// connection as the source's penalty, so that many sources which come again as
// soon as they had to go are heavier than somebody who has just come.

// How many startups may have lost their seat and not ended yet, for each that there
// may be, where somebody comes whose source weighs nothing; a regular has the rest
// for himself. Others make room only as often as there are startups.
const (
	maxEvicting        = 8
	maxEvictingRegular = 16
)

// regularCredit is how many startups of a source that has logged in lately weigh
// nothing: transfer programs open that many at once.
const regularCredit = 8

// Stages of a handshake.
const (
	silent    = iota // no version line has come (RFC 4253, 4.2)
	exchanges        // keys
	logsIn
)

// patience is how long a stage may take an honest client on a slow line; at the
// last a person types a password.
var patience = [...]time.Duration{silent: 2 * time.Second, exchanges: 6 * time.Second, logsIn: 30 * time.Second}

// reach notes how far the handshake is.
func (s *seat) reach(stage int32) { s.stage.Store(stage) }

// The following want g.mu held.

// weight is how much a source bears on others: its startups, and each second of
// its penalty as one more.
func (g *gate) weight(source netip.Prefix, st standing) int {
	if st == exempt {
		return 0
	}
	n := 0
	if c := g.sources[source]; c != nil {
		n = c.startups
	}
	if st == relay {
		return n
	}
	n += int((g.guard.Penalties.Left(source) + time.Second - 1) / time.Second)
	if g.regulars.has(source, g.now()) {
		n -= regularCredit
	}
	return max(0, n)
}

// makeRoom takes a startup's seat away where there is none left: of the source
// that weighs the most, and of several, the one that is the furthest beyond its
// patience. A newcomer whose source weighs as much finds no room, but for one
// without weight where somebody's patience is over.
func (g *gate) makeRoom(source netip.Prefix, weight int) error {
	full := g.open >= g.limits.Connections
	if !full && g.startups.Len() < g.limits.Startups.Full {
		return nil
	}
	victim, heavy, late := g.victim()
	if victim != nil && (heavy > weight || weight == 0 && late > 0) && g.evicted < g.maxEvicted(source, weight) {
		g.takeFrom(victim)
		return nil
	}
	if full {
		return errFull
	}
	return errStartups
}

func (g *gate) maxEvicted(source netip.Prefix, weight int) int {
	switch {
	case weight > 0:
		return g.limits.Startups.Full
	case g.regulars.has(source, g.now()):
		return maxEvictingRegular * g.limits.Startups.Full
	}
	return maxEvicting * g.limits.Startups.Full
}

// takeFrom takes victim's seat away. That counts as a connection that left without
// a try to log in.
func (g *gate) takeFrom(victim *seat) {
	victim.remove()
	victim.evicted = true
	g.evicted++
	if victim.standing == ordinary {
		victim.shut = g.guard.Penalties.Add(victim.source, auth.FaultNoAuth)
	}
	victim.evict()
}

// victim is who has to go first, what its source weighs, and how far it is beyond
// its patience.
func (g *gate) victim() (victim *seat, weight int, late time.Duration) {
	now := g.now()
	for e := g.startups.Front(); e != nil; e = e.Next() {
		s := e.Value.(*seat)
		w, l := g.weight(s.source, s.standing), now.Sub(s.since)-patience[s.stage.Load()]
		if victim == nil || w > weight || w == weight && l > late {
			victim, weight, late = s, w, l
		}
	}
	return victim, weight, late
}
