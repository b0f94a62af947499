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
			synctest.Test(t, func(t *testing.T) {
				s, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				conn := &connection{server: s, source: from("192.0.2.1"), capped: true}
				c.try(conn)
				conn.penalise(c.err)
				if got := s.guard.Penalties.Left(conn.source); got != c.want {
					t.Errorf("penalty %v, want %v", got, c.want)
				}
			})
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
		if got, want := s.guard.Penalties.Left(from("192.0.2.1")), s.cfg.Limits.Penalties.GraceExceeded; got != want {
			t.Errorf("penalty %v, want %v", got, want)
		}
	})
}
