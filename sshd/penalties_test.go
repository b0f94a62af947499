package sshd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestPenaltiesAddUp(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := newPenalties(DefaultLimits().Penalties, func() time.Time { return now })
	here := from("192.0.2.1")
	steps := []struct {
		after time.Duration
		f     fault
		shut  bool
	}{
		{0, faultAuth, false}, {0, faultUser, false}, {0, faultAuth, false}, // 15 s is not above Min
		{16 * time.Second, faultGrace, false},         // it was over
		{0, faultNoAuth, false}, {0, faultAuth, true}, // 16 s
		{15 * time.Second, faultNone, true},
		{2 * time.Second, faultNone, false},
		{0, faultCrash, true},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		p.add(here, s.f)
		if got := p.isShut(here); got != s.shut {
			t.Errorf("step %d: shut %v, want %v", i, got, s.shut)
		}
	}
	for range 1000 {
		p.add(here, faultCrash)
	}
	now = now.Add(DefaultLimits().Penalties.Max)
	if p.isShut(here) || len(p.sources) != 0 {
		t.Error("a penalty lasts longer than Max")
	}
}

func TestPenaltiesAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	rules := DefaultLimits().Penalties
	rules.Sources = 10
	p := newPenalties(rules, func() time.Time { return now })
	p.add(from("192.0.2.1"), faultCrash)
	for i := range 1000 {
		p.add(netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)), faultNoAuth)
	}
	if len(p.sources) != 10 || len(p.ends) != 10 {
		t.Errorf("%d sources, %d in the heap, want 10", len(p.sources), len(p.ends))
	}
	if !p.isShut(from("192.0.2.1")) {
		t.Error("the longest penalty was forgotten before the shortest")
	}
}

func TestPenaltiesOff(t *testing.T) {
	p := newPenalties(Penalties{Max: time.Second, Sources: 1}, time.Now)
	if p.add(from("192.0.2.1"), faultCrash); len(p.sources) != 0 {
		t.Error("a penalty of 0 was remembered")
	}
}

func TestFaultsOfLogins(t *testing.T) {
	meta := fakeMeta{user: "acme"}
	unknown := fakeMeta{user: "root"}
	wrong := errors.New("wrong")
	for name, c := range map[string]struct {
		try  func(*connection)
		err  error
		want time.Duration
	}{
		"left at once":     {func(*connection) {}, errors.New("EOF"), time.Second},
		"asked only":       {func(c *connection) { c.noteTry(meta, "none", wrong) }, errors.New("EOF"), time.Second},
		"wrong password":   {func(c *connection) { c.noteTry(meta, "password", wrong) }, wrong, 5 * time.Second},
		"unknown user":     {func(c *connection) { c.noteTry(unknown, "password", wrong) }, wrong, 6 * time.Second},
		"too slow":         {func(c *connection) { c.noteTry(meta, "password", wrong) }, fmt.Errorf("read: %w", os.ErrDeadlineExceeded), 10 * time.Second},
		"half of a login":  {func(c *connection) { c.noteTry(meta, "publickey", &ssh.PartialSuccessError{}) }, wrong, time.Second},
		"evicted":          {func(*connection) {}, errEvicted, 0}, // the gate has penalised it
		"account was full": {func(c *connection) { c.noteTry(meta, "publickey", &ssh.BannerError{Err: errAccountFull}) }, wrong, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, newSigner(t))
			cfg.KnownUser = func(user string) bool { return user == "acme" }
			cfg.Limits.Penalties = DefaultLimits().Penalties
			cfg.Limits.Penalties.InvalidUser = 6 * time.Second
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Unix(1e9, 0)
			s.penalties.now = func() time.Time { return now }
			conn := &connection{server: s, source: from("192.0.2.1"), capped: true}
			c.try(conn)
			conn.penalise(c.err)
			var got time.Duration
			if e := s.penalties.sources[conn.source]; e != nil {
				got = e.end.Sub(now)
			}
			if got != c.want {
				t.Errorf("penalty %v, want %v", got, c.want)
			}
		})
	}
}

type fakeMeta struct {
	ssh.ConnMetadata
	user string
}

func (m fakeMeta) User() string { return m.user }

// A source that fails to log in is shut out; one that is exempt is not.
func TestSourceIsShutOut(t *testing.T) {
	for name, exempt := range map[string][]netip.Prefix{"": nil, "exempt": {netip.MustParsePrefix("127.0.0.0/8")}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Exempt = exempt })
			for range 4 {
				if _, err := w.tryDial("acme", ssh.Password("wrong")); err == nil {
					t.Fatal("a wrong password was let in")
				}
			}
			synced := func() bool { w.server.mu.Lock(); defer w.server.mu.Unlock(); return len(w.server.conns) == 0 }
			for !synced() {
				time.Sleep(time.Millisecond)
			}
			if _, err := w.tryDial("acme"); (err == nil) != (exempt != nil) {
				t.Errorf("after 4 failures: got %v", err)
			}
		})
	}
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(config(t, newSigner(t)))
		if err != nil {
			t.Fatal(err)
		}
		a, b := newPipe("192.0.2.1")
		go drain(b)
		begun := time.Now()
		s.start(a, s.strict)
		s.wg.Wait()
		if s.gate.open != 0 {
			t.Error("the seat is still taken")
		}
		if took, want := time.Since(begun), s.cfg.Limits.KeyExchange; took != want {
			t.Errorf("it took %v, want %v", took, want)
		}
		if e := s.penalties.sources[from("192.0.2.1")]; e == nil || time.Until(e.end) != s.cfg.Limits.Penalties.GraceExceeded {
			t.Errorf("penalty %+v, want GraceExceeded", e)
		}
	})
}
