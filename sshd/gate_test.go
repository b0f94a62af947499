package sshd

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"bundleup/auth"
)

// entrance is a gate with the roll of its dice.
type entrance struct {
	*testing.T
	*gate
	roll  int
	clock time.Time
	gone  []*seat // evicted, in order
	seats []*seat
}

func newEntrance(t *testing.T, change func(*Limits)) *entrance {
	l := DefaultLimits()
	change(&l)
	e := &entrance{T: t, clock: time.Unix(1e9, 0)}
	now := func() time.Time { return e.clock }
	guard, err := auth.NewGuard(auth.Sources{}, l.Penalties, now)
	if err != nil {
		t.Fatal(err)
	}
	e.gate = newGate(l, func() int { return e.roll }, now, guard)
	return e
}

func from(ip string) netip.Prefix { return netip.MustParsePrefix(ip + "/32") }

func (e *entrance) come(ip string) error {
	var s *seat
	s, err := e.enter(from(ip), ordinary, func() { e.gone = append(e.gone, s) })
	if err == nil {
		e.seats = append(e.seats, s)
	}
	return err
}

func (e *entrance) comeAll(ips ...string) {
	e.Helper()
	for _, ip := range ips {
		if err := e.come(ip); err != nil {
			e.Fatalf("%s: %v", ip, err)
		}
	}
}

// empty ends every connection and finds nothing counted.
func (e *entrance) empty() {
	e.Helper()
	for _, s := range e.seats {
		s.leave()
		s.leave()
	}
	if e.open != 0 || e.startups.Len() != 0 || e.evicted != 0 || len(e.sources) != 0 || len(e.handles) != 0 {
		e.Errorf("after all left: %d open, %d startups, %d evicted, %v, %v", e.open, e.startups.Len(), e.evicted, e.sources, e.handles)
	}
}

func TestGateDropsEarly(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.Startups = Startups{Start: 2, Rate: 50, Full: 4} })
	for i, c := range []struct {
		roll int
		want error
	}{{0, nil}, {0, nil}, {49, errStartups}, {50, nil}, {74, errStartups}, {75, nil}, {99, errStartups}} {
		e.roll = c.roll
		if got := e.come("192.0.2.1"); got != c.want {
			t.Errorf("step %d: got %v, want %v", i, got, c.want)
		}
	}
	for _, s := range e.seats {
		if err := s.login("acme", 0); err != nil {
			t.Error(err)
		}
	}
	e.empty()
}

func TestGateDropsTheCrowdFirst(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.Startups = Startups{Start: 1, Rate: 50, Full: 100} })
	e.roll = 99
	e.comeAll("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.2")
	e.roll = 30
	for ip, want := range map[string]error{
		"192.0.2.2": errStartups, // 7 of 8: the full 53 %
		"192.0.2.1": nil,         // 1, a quarter of the average: 13 %
		"192.0.2.3": nil,         // none: never
	} {
		if got := e.come(ip); got != want {
			t.Errorf("%s: got %v, want %v", ip, got, want)
		}
	}
	e.empty()
}

func TestGateEvictsTheOldestOfTheCrowd(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.Startups = Startups{Start: 100, Rate: 1, Full: 4} })
	e.comeAll("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	if len(e.gone) != 2 || e.gone[0] != e.seats[1] || e.gone[1] != e.seats[2] {
		t.Fatalf("%d were evicted, want the two oldest of the crowd", len(e.gone))
	}
	// A source with as many as anybody finds no room.
	if err := e.come("192.0.2.2"); err != errStartups {
		t.Errorf("got %v, want %v", err, errStartups)
	}
	// A source with none does. The crowd's penalty outlives its seats.
	e.comeAll("192.0.2.5")
	last := e.gone[len(e.gone)-1]
	if evicted, _ := last.leave(); last != e.seats[3] || !evicted {
		t.Error("want the last of the crowd evicted, and told so")
	}
	if evicted, _ := last.leave(); evicted {
		t.Error("it was told twice")
	}
	if err := e.gone[0].login("acme", 0); err != errAccountFull {
		t.Errorf("login on a seat that was taken away: got %v", err)
	}
	e.empty()
}

func TestGateBoundsWhatIsBeingEvicted(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.Startups = Startups{Start: 100, Rate: 1, Full: 2} })
	for i := range (maxEvicting + 1) * 2 {
		e.comeAll(fmt.Sprintf("192.0.2.%d", i))
	}
	if err := e.come("192.0.2.100"); err != errStartups {
		t.Errorf("with so many that have not ended: got %v, want %v", err, errStartups)
	}
	e.gone[0].leave()
	e.comeAll("192.0.2.100")
	e.empty()
}

func TestGateKeepsThoseWhoLoggedIn(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.Connections = 2 })
	e.comeAll("192.0.2.1", "192.0.2.1")
	if err := e.seats[0].login("acme", 0); err != nil {
		t.Fatal(err)
	}
	if err := e.come("192.0.2.2"); err != errFull {
		t.Errorf("a regular had to go at once: got %v", err)
	}
	e.clock = e.clock.Add(patience[silent] + 1)
	e.comeAll("192.0.2.2")
	if len(e.gone) != 1 || e.gone[0] != e.seats[1] {
		t.Errorf("%d were evicted, want the one that had not logged in", len(e.gone))
	}
	if err := e.seats[2].login("acme", 0); err != nil {
		t.Fatal(err)
	}
	if err := e.come("192.0.2.3"); err != errFull {
		t.Errorf("got %v, want %v", err, errFull)
	}
	e.empty()
}

func TestGatePerSource(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.StartupsPerSource, l.ConnectionsPerSource = 1, 2 })
	e.comeAll("192.0.2.1")
	if err := e.come("192.0.2.1"); err != errSourceStartups {
		t.Errorf("got %v, want %v", err, errSourceStartups)
	}
	if err := e.seats[0].login("acme", 0); err != nil {
		t.Fatal(err)
	}
	e.comeAll("192.0.2.1")
	if err := e.seats[1].login("acme", 0); err != nil {
		t.Fatal(err)
	}
	if err := e.come("192.0.2.1"); err != errSourceFull {
		t.Errorf("got %v, want %v", err, errSourceFull)
	}
	e.empty()
}

// Behind a balancer the source is known later; until then nobody is shut out
// for what others do.
func TestGateNamesASeat(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.StartupsPerSource = 1; l.Startups = Startups{Start: 1, Rate: 100, Full: 3} })
	for range 4 {
		s, err := e.enter(from("10.0.0.1"), relay, func() { e.gone = append(e.gone, nil) })
		if err != nil {
			t.Fatal(err)
		}
		e.seats = append(e.seats, s)
	}
	if len(e.gone) != 1 {
		t.Errorf("%d evicted, want 1", len(e.gone))
	}
	for i, want := range []error{errEvicted, nil, errSourceStartups} {
		if got := e.seats[i].name(from("192.0.2.1"), ordinary); got != want {
			t.Errorf("seat %d: got %v, want %v", i, got, want)
		}
	}
	if n := e.sources[from("192.0.2.1")].open; n != 1 {
		t.Errorf("%d connections of the named source, want 1", n)
	}
	e.empty()
}

func TestHandlesOfAnAccount(t *testing.T) {
	e := newEntrance(t, func(l *Limits) { l.HandlesPerAccount = 2 })
	e.comeAll("192.0.2.1", "192.0.2.2")
	a, b := e.seats[0], e.seats[1]
	if a.takeHandle() {
		t.Error("a handle was given before the login")
	}
	for _, s := range e.seats {
		if err := s.login("acme", 0); err != nil {
			t.Fatal(err)
		}
	}
	if !a.takeHandle() || !b.takeHandle() || a.takeHandle() {
		t.Error("want two handles and no third")
	}
	a.giveHandle()
	if !b.takeHandle() {
		t.Error("a handle that was given back is not there")
	}
	b.giveHandle()
	b.giveHandle()
	e.empty()
}

func TestSources(t *testing.T) {
	s := auth.Sources{IPv4: 32, IPv6: 64, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	at := func(ip string) netip.Addr { return addrOf(&net.TCPAddr{IP: net.ParseIP(ip)}) }
	if a, b := s.Of(at("2001:db8::1")), s.Of(at("2001:db8::ffff:1")); a != b || a == s.Of(at("2001:db8:0:1::1")) {
		t.Errorf("%v and %v must be one source", a, b)
	}
	s.IPv6 = 48
	if a := s.Of(at("2001:db8::1")); a != s.Of(at("2001:db8:0:1::1")) {
		t.Errorf("%v: want a /48", a)
	}
	if !s.IsExempt(at("::ffff:192.0.2.7")) || s.IsExempt(at("198.51.100.1")) || s.IsExempt(addrOf(&net.UnixAddr{})) {
		t.Error("want 192.0.2.7 exempt and nobody else")
	}
}
