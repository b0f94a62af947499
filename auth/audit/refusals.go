package audit

import (
	"net/netip"
	"time"
)

const (
	// refusalWindow is how long the refused logins of one source are counted
	// behind the first.
	refusalWindow = time.Minute
	// maxSources is how many sources are told apart within a window.
	maxSources = 1024
)

// refusals keeps a flood of refused logins from filling the trail, and from
// rotating away what matters: of each source the first in a minute is written, the
// others are counted. One goroutine uses it.
type refusals struct {
	sources map[netip.Prefix]*refusal
}

// refusal is what one source did in the window. The zero prefix stands for all
// sources beyond maxSources, and those without an address.
type refusal struct {
	last  Event
	count int64 // beside the first
}

func newRefusals() *refusals { return &refusals{sources: make(map[netip.Prefix]*refusal)} }

// first reports whether e is to be written now.
func (r *refusals) first(e Event) bool {
	source := sourceOf(e.Remote)
	if r.sources[source] == nil && len(r.sources) >= maxSources {
		source = netip.Prefix{}
	}
	if s := r.sources[source]; s != nil {
		s.count++
		s.last = e
		return false
	}
	r.sources[source] = &refusal{}
	return true
}

// end ends the window and gives an event for each source that has more than one.
func (r *refusals) end(now time.Time) (events []Event) {
	for source, s := range r.sources {
		if s.count > 0 {
			remote := "others"
			if source.IsValid() {
				remote = source.String()
			}
			events = append(events, Event{
				Time: now, Type: Refused, Remote: remote, Account: s.last.Account, Method: s.last.Method,
				Count: s.count, Detail: "more refused logins of this source within a minute; account and method are the last one's",
			})
		}
	}
	clear(r.sources)
	return events
}

// sourceOf is an IPv4 address or an IPv6 /64 network.
func sourceOf(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // within the address's length
	return p
}
