package sshd

import (
	"net"
	"sync/atomic"
	"time"
)

// timedConn is a net.Conn that, once armed, fails when the peer is silent or
// does not take what it is sent. Until then one deadline covers the handshake.
type timedConn struct {
	net.Conn
	silence time.Duration // between two reads
	write   time.Duration // for one write
	armed   atomic.Bool
}

// arm ends the handshake's deadline. The read that is already waiting gets its
// new deadline here.
func (c *timedConn) arm() error {
	c.armed.Store(true)
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return err
	}
	return c.Conn.SetReadDeadline(time.Now().Add(c.silence))
}

// Read is net.Conn's, and fails when nothing came for c.silence.
func (c *timedConn) Read(p []byte) (int, error) {
	if c.armed.Load() {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

// Write is net.Conn's, and fails when it takes longer than c.write.
func (c *timedConn) Write(p []byte) (int, error) {
	if c.armed.Load() {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}
