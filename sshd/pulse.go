package sshd

import (
	"errors"
	"fmt"
	"time"
)

// A connection has one timer for everything that it waits for: at each pulse it
// asks a silent peer for a sign of life and ends what has done nothing for too
// long. An idle connection has no goroutine of its own for that.

// slow is how long a session that was ended may take to go before its connection
// is closed.
const slow = 30 * time.Second

// errSlow is a peer that does not answer the end of a channel.
var errSlow = errors.New("a session was ended and the peer did not close it")

// every is the time between two pulses: limits are exceeded by at most this.
func (l *Limits) every() time.Duration {
	return min(l.KeepAlive, l.Idle, l.Handshake, l.Stalled, l.SessionIdle)
}

func (c *connection) startPulse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unused = time.Now()
	c.pulse = time.AfterFunc(c.server.cfg.Limits.every(), c.beat)
}

// stopPulse waits for nothing: a beat that runs is one of the connection's
// goroutines, and none begins after it.
func (c *connection) stopPulse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	c.pulse.Stop()
}

// beat is one pulse.
func (c *connection) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return
	}
	l, now := &c.server.cfg.Limits, time.Now()
	if c.taken == 0 && now.Sub(c.unused) >= l.Idle {
		c.net.Close()
		return
	}
	for s := range c.sessions {
		c.check(s, now)
	}
	if quiet := now.Sub(time.Unix(0, c.net.heard.Load())); quiet >= l.KeepAlive/2 && !c.asking {
		c.asking = true
		c.goroutine(c.ask)
	}
	c.pulse.Reset(l.every())
}

// check ends s if it has done nothing for too long. It wants c.mu held.
func (c *connection) check(s *Session, now time.Time) {
	idle := now.Sub(time.Unix(0, s.active.Load()))
	switch limit := s.patience(); {
	case !s.ended.IsZero() && now.Sub(s.ended) >= slow:
		c.net.meter.fail(errSlow)
		c.net.Close()
	case s.ended.IsZero() && idle >= limit:
		s.ended = now
		c.log.Info("session ended: nothing moved", "for", idle.Round(time.Second).String())
		c.goroutine(func() {
			s.tell(fmt.Sprintf("bundleup: nothing was sent for %v: this session ends here; what was received is kept", limit))
			s.Close()
		})
	}
}

// patience is how long the session may move nothing.
func (s *Session) patience() time.Duration {
	l := &s.conn.server.cfg.Limits
	switch {
	case !s.started.Load():
		return l.Handshake
	case s.files.Load() > 0 || !s.browses.Load():
		return l.Stalled
	}
	return l.SessionIdle
}

// ask asks for a sign of life. The deadline of timedConn's reads does the
// waiting for it: on a slow line the answer comes behind megabytes of upload.
func (c *connection) ask() {
	_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = false
}
