package sshd

import (
	"net"
	"net/netip"
)

// sources says whom connections are counted for.
type sources struct {
	ipv4, ipv6 int // prefix lengths
	exempt     []netip.Prefix
	balancers  []netip.Prefix
}

// addrOf is the IP address of a, unmapped and without a zone; the zero Addr
// where it has none.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// of is the network that connections from a are counted for: by default an
// IPv4 address, or an IPv6 /64, since that much belongs to any one customer.
func (s *sources) of(a net.Addr) netip.Prefix {
	ip := addrOf(a)
	bits := s.ipv6
	if ip.Is4() {
		bits = s.ipv4
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// isExempt says that no limit and no penalty per source applies to a.
func (s *sources) isExempt(a net.Addr) bool { return within(addrOf(a), s.exempt) }

// isBalancer says that a must begin with a PROXY header.
func (s *sources) isBalancer(a net.Addr) bool { return within(addrOf(a), s.balancers) }

func within(ip netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
