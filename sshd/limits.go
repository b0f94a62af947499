package sshd

import (
	"fmt"
	"time"
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
	// may have. Default 64, at least 1. Many customers share one address.
	ConnectionsPerSource int
	// Startups bounds connections that have not logged in yet.
	Startups Startups
	// SessionsPerConnection is how many session channels a connection may
	// have at once. Default 16, from 10 (rclone and WinSCP need them) to 64.
	SessionsPerConnection int
	// HandlesPerSession is how many files and directories an SFTP session may
	// have open. Default 64, from 8 to 1024.
	HandlesPerSession int
	// AuthTries is how many tries to log in a connection has; a key that is
	// offered and not known counts. Default 10, from 1 to 100.
	AuthTries int
	// Handshake is how long key exchange and login may take together.
	// Default 1 minute.
	Handshake time.Duration
	// Idle is how long a connection may be without a session. Default 5 minutes.
	Idle time.Duration
	// KeepAlive is how often a peer is asked for a sign of life; one that
	// sends nothing for three times as long is gone. Default 30 seconds.
	KeepAlive time.Duration
	// WriteTimeout is how long a peer may take to accept one packet.
	// Default 2 minutes.
	WriteTimeout time.Duration
}

// Startups is random early drop as in OpenSSH's MaxStartups: with Start
// connections that have not logged in, a new one is dropped with a probability
// of Rate percent, which grows to certainty at Full.
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
		SessionsPerConnection: 16,
		HandlesPerSession:     64,
		AuthTries:             10,
		Handshake:             time.Minute,
		Idle:                  5 * time.Minute,
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
		{"SessionsPerConnection", &l.SessionsPerConnection, d.SessionsPerConnection, 10, 64},
		{"HandlesPerSession", &l.HandlesPerSession, d.HandlesPerSession, 8, 1024},
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
	return l.completeTimes(d)
}

func (l *Limits) completeTimes(d Limits) error {
	times := []struct {
		name   string
		p      *time.Duration
		preset time.Duration
	}{
		{"Handshake", &l.Handshake, d.Handshake},
		{"Idle", &l.Idle, d.Idle},
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
