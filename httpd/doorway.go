package httpd

import (
	"net"
	"net/netip"
	"sync"

	"bundleup/auth"
)

// doorway is a listener that lets in so many connections at once, and so many of
// one source. More are closed at once: whoever keeps them open in silence takes the
// descriptors of nobody else.
type doorway struct {
	net.Listener
	most, each int // connections; each 0: sources are not counted

	mu      sync.Mutex // guards all below
	open    int
	sources map[netip.Prefix]int
}

// perSource is how much of an address is one source, as over SSH by default.
var perSource = auth.Sources{IPv4: 32, IPv6: 64}

// bounded bounds l. Behind a balancer every connection has its source.
func (s *Server) bounded(l net.Listener) net.Listener {
	d := &doorway{Listener: l, most: s.cfg.Limits.Connections, each: s.cfg.Limits.ConnectionsPerSource, sources: make(map[netip.Prefix]int)}
	if s.cfg.BehindTLS || len(s.cfg.Balancers) > 0 {
		d.each = 0
	}
	return d
}

// Accept is net.Listener's, for connections that there is room for.
func (d *doorway) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(c)
		if d.enter(source) {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { d.leave(source) })}, nil
		}
		c.Close()
	}
}

func sourceOf(c net.Conn) netip.Prefix {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return perSource.Of(tcp.AddrPort().Addr())
}

func (d *doorway) enter(source netip.Prefix) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.most || d.each > 0 && d.sources[source] >= d.each {
		return false
	}
	d.open++
	d.sources[source]++
	return true
}

func (d *doorway) leave(source netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.sources[source]--; d.sources[source] == 0 {
		delete(d.sources, source)
	}
}

// guest is a connection that was let in.
type guest struct {
	net.Conn
	leave func()
}

// Close is net.Conn's.
func (g *guest) Close() error {
	defer g.leave()
	return g.Conn.Close()
}
