package sshd

import (
	"fmt"
	"time"

	"bundleup/auth"
)

// Limits bound what peers may hold. A zero field takes its default; a value
// out of its range is refused by New.
type Limits struct {
	// Connections is how many may be open at once, logged in or not.
	// Default 512, from 1 to 100,000. An authenticated connection costs about
	// 42 KiB, with SFTP 90 KiB, and up to 2 MiB for each session that is sent
	// more than it reads.
	Connections int
	// ConnectionsPerAccount is how many one account may have. Default 16, at
	// least 8: transfer programs open that many for one user.
	ConnectionsPerAccount int
	// ConnectionsPerSource is how many one IPv4 address or IPv6 /64 network
	// may have; see IPv4Prefix. Default 64, at least 1. Many customers share one address.
	ConnectionsPerSource int
	// Startups bounds connections that have not logged in yet.
	Startups Startups
	// StartupsPerSource is how many of those one source may have. Default 20,
	// from 1. Sources are as for ConnectionsPerSource.
	StartupsPerSource int
	// IPv4Prefix and IPv6Prefix say how much of an address is one source.
	// Default 32, from 8, and 64, from 16 to 128.
	IPv4Prefix, IPv6Prefix int
	// Penalties shut out sources whose connections do not log in. Default:
	// see DefaultLimits.
	Penalties auth.Penalties
	// SessionsPerConnection is how many session channels a connection may
	// have at once. Default 16, from 10 (rclone and WinSCP need them) to 64.
	SessionsPerConnection int
	// HandlesPerSession is how many files and directories an SFTP session may
	// have open. Default 64, from 8 to 1024.
	HandlesPerSession int
	// HandlesPerAccount is how many an account may have over all its
	// connections; an scp command counts as one. Default 512, from 8. An upload
	// takes 3 file descriptors.
	HandlesPerAccount int
	// AuthTries is how many tries to log in a connection has; a key that is
	// offered and not known counts. Default 10, from 1 to 100.
	AuthTries int
	// Handshake is how long key exchange and login may take together.
	// Default 1 minute.
	Handshake time.Duration
	// KeyExchange is how long the part of it before the login may take, which
	// waits for no person. Default 20 seconds.
	KeyExchange time.Duration
	// Idle is how long a connection may be without a session. Default 5 minutes.
	Idle time.Duration
	// Stalled is how long a session with an open file may send and take
	// nothing; what was received is kept. Default 30 minutes.
	Stalled time.Duration
	// SessionIdle is how long an SFTP session without an open file may: a
	// mounted directory, a window that was left open. Default 24 hours.
	SessionIdle time.Duration
	// KeepAlive is how often a silent peer is asked for a sign of life; one that
	// sends nothing for three times as long is gone. Default 30 seconds. It is
	// also how exact Idle, Stalled and SessionIdle are, if it is shorter.
	KeepAlive time.Duration
	// WriteTimeout is how long a peer may take to accept one packet.
	// Default 2 minutes.
	WriteTimeout time.Duration
}

// Startups is random early drop as in OpenSSH's MaxStartups: with Start
// connections that have not logged in, a new one is dropped with a probability
// of Rate percent, which grows to certainty at Full. Here it falls on sources with
// many of those connections, or with a penalty: one that has neither is never
// dropped early, and at Full takes the place of a connection of the source with the
// most. A few of a source that has logged in within 30 days do not count.
type Startups struct {
	Start int // default 10, at least 1
	Rate  int // default 30, percent: 1 to 100
	Full  int // default 100, at least Start
}

// silences is how many keepalive intervals a peer may be silent.
const silences = 3

// DefaultLimits are the values of a zero Limits.
func DefaultLimits() Limits {
	return Limits{
		Connections:           512,
		ConnectionsPerAccount: 16,
		ConnectionsPerSource:  64,
		Startups:              Startups{Start: 10, Rate: 30, Full: 100},
		StartupsPerSource:     20,
		IPv4Prefix:            32,
		IPv6Prefix:            64,
		Penalties: auth.Penalties{
			AuthFail: 5 * time.Second, InvalidUser: 5 * time.Second, NoAuth: time.Second, GraceExceeded: 10 * time.Second,
			Crash: 90 * time.Second, Min: 15 * time.Second, Max: 10 * time.Minute, Sources: 65536,
		},
		SessionsPerConnection: 16,
		HandlesPerSession:     64,
		HandlesPerAccount:     512,
		AuthTries:             10,
		Handshake:             time.Minute,
		KeyExchange:           20 * time.Second,
		Idle:                  5 * time.Minute,
		Stalled:               30 * time.Minute,
		SessionIdle:           24 * time.Hour,
		KeepAlive:             30 * time.Second,
		WriteTimeout:          2 * time.Minute,
	}
}

// complete fills the defaults and checks the ranges.
func (l *Limits) complete() error {
	d := DefaultLimits()
	counts := []struct {
		name     string
		p        *int
		def      int
		min, max int
	}{
		{"Connections", &l.Connections, d.Connections, 1, 100_000},
		{"ConnectionsPerAccount", &l.ConnectionsPerAccount, d.ConnectionsPerAccount, 8, 100_000},
		{"ConnectionsPerSource", &l.ConnectionsPerSource, d.ConnectionsPerSource, 1, 100_000},
		{"Startups.Start", &l.Startups.Start, d.Startups.Start, 1, 100_000},
		{"Startups.Rate", &l.Startups.Rate, d.Startups.Rate, 1, 100},
		{"Startups.Full", &l.Startups.Full, max(d.Startups.Full, l.Startups.Start), l.Startups.Start, 100_000},
		{"StartupsPerSource", &l.StartupsPerSource, d.StartupsPerSource, 1, 100_000},
		{"IPv4Prefix", &l.IPv4Prefix, d.IPv4Prefix, 8, 32},
		{"IPv6Prefix", &l.IPv6Prefix, d.IPv6Prefix, 16, 128},
		{"SessionsPerConnection", &l.SessionsPerConnection, d.SessionsPerConnection, 10, 64},
		{"HandlesPerSession", &l.HandlesPerSession, d.HandlesPerSession, 8, 1024},
		{"HandlesPerAccount", &l.HandlesPerAccount, d.HandlesPerAccount, 8, 1_000_000},
		{"AuthTries", &l.AuthTries, d.AuthTries, 1, 100},
	}
	for _, c := range counts {
		if *c.p == 0 {
			*c.p = c.def
		}
		if *c.p < c.min || *c.p > c.max {
			return fmt.Errorf("limit %s is %d: want %d to %d", c.name, *c.p, c.min, c.max)
		}
	}
	if err := l.completeTimes(d); err != nil {
		return err
	}
	if l.Penalties == (auth.Penalties{}) {
		l.Penalties = d.Penalties
	}
	return nil
}

func (l *Limits) completeTimes(d Limits) error {
	times := []struct {
		name   string
		p      *time.Duration
		preset time.Duration
	}{
		{"Handshake", &l.Handshake, d.Handshake},
		{"KeyExchange", &l.KeyExchange, d.KeyExchange},
		{"Idle", &l.Idle, d.Idle},
		{"Stalled", &l.Stalled, d.Stalled},
		{"SessionIdle", &l.SessionIdle, d.SessionIdle},
		{"KeepAlive", &l.KeepAlive, d.KeepAlive},
		{"WriteTimeout", &l.WriteTimeout, d.WriteTimeout},
	}
	for _, t := range times {
		if *t.p == 0 {
			*t.p = t.preset
		}
		if *t.p < 0 {
			return fmt.Errorf("limit %s is %v: want more than 0", t.name, *t.p)
		}
	}
	return nil
}
