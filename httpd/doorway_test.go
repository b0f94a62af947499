package httpd

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"bundleup/auth"
)

// Connections that say nothing are bounded, over all and for each source, and what
// ends makes room.
func TestDoorwayIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		limits Limits
		behind bool
		known  []netip.Prefix
		want   int
	}{
		"all":                {Limits{Connections: 3, ConnectionsPerSource: 9}, false, nil, 3},
		"source":             {Limits{Connections: 9, ConnectionsPerSource: 2}, false, nil, 2},
		"behind a balancer":  {Limits{Connections: 3, ConnectionsPerSource: 1}, true, nil, 3},
		"behind a known one": {Limits{Connections: 3, ConnectionsPerSource: 1}, false, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, err := New(Config{View: w.tree.View, Auth: w.auth, Limits: c.limits, BehindTLS: c.behind, Balancers: c.known})
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			var in []net.Conn
			for range c.want {
				in = append(in, ask(t, l.Addr().String(), true))
			}
			ask(t, l.Addr().String(), false)
			in[0].Close()
			for !answered(t, l.Addr().String()) { // until the server has seen that
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

// ask opens a connection, keeps it, and holds whether it is answered.
func ask(t *testing.T, addr string, want bool) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_, _ = io.WriteString(c, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n") // a closed one fails the read
	_, err = c.Read(make([]byte, 1))
	if (err == nil) != want {
		t.Errorf("answered: %v, want %v", err, want)
	}
	return c
}

func answered(t *testing.T, addr string) bool {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
	_, err = c.Read(make([]byte, 1))
	return err == nil
}

func TestDoorwayForgetsWhoLeft(t *testing.T) {
	d := &doorway{most: 2, each: 1, sources: make(map[netip.Prefix]int)}
	one, two := perSource.Of(netip.MustParseAddr("192.0.2.1")), (&auth.Sources{IPv4: 32, IPv6: 64}).Of(netip.MustParseAddr("2001:db8::1"))
	if !d.enter(one) || d.enter(one) || !d.enter(two) || d.enter(netip.Prefix{}) {
		t.Error("want one of each source, and two in all")
	}
	d.leave(one)
	d.leave(two)
	if d.open != 0 || len(d.sources) != 0 {
		t.Errorf("after all left: %d, %v", d.open, d.sources)
	}
}
