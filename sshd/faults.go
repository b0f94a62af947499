package sshd

import (
	"errors"
	"os"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
)

var errPenalised = errors.New("this source is shut out for what its connections did")

// noteTry remembers what a failed try says of the connection. That an account
// has too many connections is no sign of an attack.
func (c *connection) noteTry(meta ssh.ConnMetadata, method string, err error) {
	known := c.server.cfg.KnownUser
	partial := (*ssh.PartialSuccessError)(nil)
	switch {
	case err == nil || method == "none" || errors.As(err, &partial):
	case errors.Is(err, errAccountFull):
		c.proven = true
	case known != nil && !known(meta.User()):
		c.fault = auth.FaultUser
	case c.fault == auth.FaultNone:
		c.fault = auth.FaultAuth
	}
}

// penalise judges a connection that ended with err before a login.
func (c *connection) penalise(err error) {
	f := c.fault
	switch {
	case c.proven || c.server.isClosing():
		return
	case err == errEvicted && f == auth.FaultNone:
		return // the eviction had its penalty
	case errors.Is(err, os.ErrDeadlineExceeded):
		f = auth.FaultGrace
	case f == auth.FaultNone:
		f = auth.FaultNoAuth
	}
	c.penaliseFor(f)
}

func (c *connection) penaliseFor(f auth.Fault) {
	c.sayShut(c.capped && c.server.guard.Penalties.Add(c.source, f))
}

func (c *connection) sayShut(shut bool) {
	if shut {
		c.log.Warn("source shut out", "source", c.source.String())
	}
}
