// Package sshd is the daemon's SSH server (RFC 4251 to 4254), made for uploads:
// no shell, no terminal, no forwarding; only the sftp subsystem, scp and the
// commands it is given.
//
// It guarantees that nobody who has not logged in reaches a View; that every
// connection, startup, session and wait is bounded by Limits; that a panic ends
// one connection and not the daemon; that an exit status and the words before
// it arrive before a connection is closed; and that Shutdown returns when every
// goroutine has ended.
//
// It deliberately does not know what an account may do (vfs), what a key proves
// (auth), or how files are sent (sshd/sftp, sshd/scp).
package sshd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/vfs"
)

// Authenticator says whether a key or a password proves an account. Both
// methods are called concurrently and before anything is known of the peer. An
// error refuses the login; its words are logged and never sent.
type Authenticator interface {
	// PublicKey finds the account of user that lists key. It is called for
	// keys that are only offered and must have no effect.
	PublicKey(user string, key ssh.PublicKey) (*auth.Account, error)
	// Password finds the account of user with that password. It may wait for
	// its turn until ctx ends.
	Password(ctx context.Context, user string, password []byte) (*auth.Account, error)
}

// Config is what New needs. HostKeys, Auth and View must be set; the other
// fields have defaults.
type Config struct {
	// HostKeys prove the server to clients; at most one of each type. An RSA
	// key signs with SHA-2 only. See LoadOrMakeHostKeys.
	HostKeys []ssh.Signer
	// Auth decides about logins.
	Auth Authenticator
	// View gives what an account sees. It is called once for a connection, at
	// its first use, and all of the connection's channels share the View;
	// Peer.Protocol is the protocol of that first use.
	View func(*auth.Account, vfs.Peer) (vfs.View, error)
	// Limits bound everything. Zero fields take the values of DefaultLimits.
	Limits Limits
	// KnownUser says whether somebody is called user, for Penalties.InvalidUser.
	// Default: everybody is known.
	KnownUser func(user string) bool
	// Exempt are networks that limits and penalties per source do not apply to.
	Exempt []netip.Prefix
	// Balancers are networks from which every connection must begin with a PROXY
	// protocol header, version 2, which names the client. From anywhere else such
	// a header makes the connection fail.
	Balancers []netip.Prefix
	// Legacy are algorithms that ServeLegacy offers beside the default, some of
	// LegacyAlgorithms. Default none: ServeLegacy is Serve then.
	Legacy []string
	// Commands can be run with "ssh host NAME ARGS", beside scp, which cannot
	// be replaced. Default none.
	Commands map[string]Command
	// Log takes one line for each failed try, login and end of a connection.
	// Default: no log.
	Log *slog.Logger
	// Version is sent to clients before anything else: "SSH-2.0-" and at most
	// 200 printable ASCII characters. Default "SSH-2.0-bundleup".
	Version string
	// Events are told what happens; nil functions are skipped.
	Events Events
}

// maxVersion keeps the line within the 255 bytes of RFC 4253, 4.2.
const maxVersion = 208

// complete checks the Config and fills its defaults.
func (c *Config) complete() error {
	switch {
	case len(c.HostKeys) == 0:
		return errors.New("at least one host key is needed")
	case c.Auth == nil:
		return errors.New("an authenticator is needed: set Auth")
	case c.View == nil:
		return errors.New("a view is needed: set View")
	}
	if c.Version == "" {
		c.Version = "SSH-2.0-bundleup"
	}
	if !strings.HasPrefix(c.Version, "SSH-2.0-") || len(c.Version) > maxVersion || printable(c.Version) != c.Version {
		return fmt.Errorf("version %q: want SSH-2.0- and at most 200 printable characters", c.Version)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c.Limits.complete()
}
