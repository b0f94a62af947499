package sshd

import (
	"net"
	"net/netip"
)

// addrOf is the IP address of a; the zero Addr where it has none.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr()
}
