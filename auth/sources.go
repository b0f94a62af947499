package auth

import "net/netip"

// Sources says whom connections are counted for, and penalised.
type Sources struct {
	// IPv4 and IPv6 are prefix lengths: how much of an address is one source.
	IPv4, IPv6 int
	// Exempt are networks that no limit and no penalty per source applies to.
	Exempt []netip.Prefix
}

// Of is the network that connections from ip are counted for: usually an IPv4
// address, or an IPv6 /64, since that much belongs to any one customer. It is the
// zero Prefix for the zero Addr.
func (s *Sources) Of(ip netip.Addr) netip.Prefix {
	ip = plain(ip)
	bits := s.IPv6
	if ip.Is4() {
		bits = s.IPv4
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// IsExempt says that no limit and no penalty per source applies to ip.
func (s *Sources) IsExempt(ip netip.Addr) bool { return Within(ip, s.Exempt) }

// Within reports whether one of the networks holds ip.
func Within(ip netip.Addr, list []netip.Prefix) bool {
	ip = plain(ip)
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// plain is ip as IPv4 where it is that within IPv6, and without a zone.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }
