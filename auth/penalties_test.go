package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// testRules are those of OpenSSH.
var testRules = Penalties{
	AuthFail: 5 * time.Second, InvalidUser: 5 * time.Second, NoAuth: time.Second, GraceExceeded: 10 * time.Second,
	Crash: 90 * time.Second, Min: 15 * time.Second, Max: 10 * time.Minute, Sources: 65536,
}

func from(ip string) netip.Prefix { return netip.MustParsePrefix(ip + "/32") }

func newTable(t *testing.T, rules Penalties, now func() time.Time) *PenaltyTable {
	t.Helper()
	p, err := NewPenaltyTable(rules, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPenaltiesAddUp(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := newTable(t, testRules, func() time.Time { return now })
	here := from("192.0.2.1")
	steps := []struct {
		after time.Duration
		f     Fault
		shut  bool
	}{
		{0, FaultAuth, false}, {0, FaultUser, false}, {0, FaultAuth, false}, // 15 s is not above Min
		{16 * time.Second, FaultGrace, false},         // it was over
		{0, FaultNoAuth, false}, {0, FaultAuth, true}, // 16 s
		{15 * time.Second, FaultNone, true},
		{2 * time.Second, FaultNone, false},
		{0, FaultCrash, true},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		p.Add(here, s.f)
		if got := p.IsShut(here); got != s.shut {
			t.Errorf("step %d: shut %v, want %v", i, got, s.shut)
		}
	}
	for range 1000 {
		p.Add(here, FaultCrash)
	}
	now = now.Add(testRules.Max)
	if p.IsShut(here) || len(p.sources) != 0 {
		t.Error("a penalty lasts longer than Max")
	}
}

func TestPenaltiesAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	rules := testRules
	rules.Sources = 10
	p := newTable(t, rules, func() time.Time { return now })
	p.Add(from("192.0.2.1"), FaultCrash)
	for i := range 1000 {
		p.Add(netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)), FaultNoAuth)
	}
	if len(p.sources) != 10 || len(p.ends) != 10 {
		t.Errorf("%d sources, %d in the heap, want 10", len(p.sources), len(p.ends))
	}
	if !p.IsShut(from("192.0.2.1")) {
		t.Error("the longest penalty was forgotten before the shortest")
	}
}

func TestPenaltiesOff(t *testing.T) {
	p := newTable(t, Penalties{Max: time.Second, Sources: 1}, time.Now)
	if p.Add(from("192.0.2.1"), FaultCrash); len(p.sources) != 0 {
		t.Error("a penalty of 0 was remembered")
	}
}

func TestPenaltyRulesAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Penalties){
		"less than 0":      func(p *Penalties) { p.NoAuth = -1 },
		"Max below Min":    func(p *Penalties) { p.Max = p.Min - 1 },
		"no source":        func(p *Penalties) { p.Sources = 0 },
		"too many sources": func(p *Penalties) { p.Sources = maxPenalisedSources + 1 },
	} {
		rules := testRules
		change(&rules)
		if _, err := NewGuard(Sources{}, rules, time.Now); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Whoever has no address cannot be told from others who have none.
func TestGuardWithoutAnAddress(t *testing.T) {
	g, err := NewGuard(Sources{IPv4: 32, IPv6: 64, Exempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}, testRules, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{"192.0.2.1": true, "::ffff:192.0.2.2": true, "2001:db8::1%eth0": true, "198.51.100.7": false, "": false} {
		ip, _ := netip.ParseAddr(addr)
		if got := g.Penalise(ip, FaultCrash); got != want || g.IsShut(ip) != want {
			t.Errorf("%q: shut out %v, later %v; want %v", addr, got, g.IsShut(ip), want)
		}
	}
	if !g.IsShut(netip.MustParseAddr("2001:db8::2")) || g.IsShut(netip.MustParseAddr("2001:db8:0:1::2")) {
		t.Error("want a /64 to be one source")
	}
}

func TestSessions(t *testing.T) {
	var s Sessions
	for i, want := range []bool{true, true, false} {
		if got := s.Take("acme", 2); got != want {
			t.Errorf("session %d: got %v, want %v", i, got, want)
		}
	}
	if !s.Take("globex", 1) {
		t.Error("another account's sessions count for this one")
	}
	s.Give("acme")
	if !s.Take("acme", 2) {
		t.Error("one that was given back is not there")
	}
	s.Give("acme")
	s.Give("acme")
	s.Give("globex")
	if len(s.accounts) != 0 {
		t.Errorf("after all were given back: %v", s.accounts)
	}
}
