package sshd

import (
	"bytes"
	"net"
	"sync/atomic"
	"time"
)

// lookEvery is how many bytes are read between two looks at what waits for
// programs.
const lookEvery = 256 << 10

// timedConn is a net.Conn that, once armed, fails when the peer is silent, does
// not take what it is sent, or floods. Until then deadlines cover the handshake.
type timedConn struct {
	net.Conn
	silence time.Duration // between two reads
	write   time.Duration // for one write
	hello   func()        // called when the peer's first line has been read; nil after it
	look    func()        // called by Read every so often
	gone    func()        // called by Close, if set; several times
	armed   atomic.Bool
	heard   atomic.Int64 // when the last read ended, Unix nanoseconds
	meter   meter
	toLook  int // bytes until the next look; x/crypto reads with one goroutine
}

func newTimedConn(c net.Conn, silence, write time.Duration) *timedConn {
	return &timedConn{Conn: c, silence: silence, write: write, meter: meter{now: time.Now}, toLook: lookEvery}
}

// arm ends the handshake's deadline. The read that is already waiting gets its
// new deadline here. Where the peer has gone meanwhile the next read tells.
func (c *timedConn) arm() {
	c.armed.Store(true)
	c.meter.start()
	c.heard.Store(time.Now().UnixNano())
	_ = c.Conn.SetWriteDeadline(time.Now().Add(c.write))
	_ = c.Conn.SetReadDeadline(time.Now().Add(c.silence))
}

// Read is net.Conn's, and fails when nothing came for c.silence.
func (c *timedConn) Read(p []byte) (int, error) {
	if !c.armed.Load() {
		n, err := c.Conn.Read(p)
		if c.hello != nil && bytes.IndexByte(p[:n], '\n') >= 0 {
			c.hello()
			c.hello = nil
		}
		return n, err
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		return n, err
	}
	c.heard.Store(time.Now().UnixNano())
	if c.toLook -= n; c.toLook <= 0 {
		c.toLook = lookEvery
		c.look()
	}
	return n, c.meter.received(n)
}

// Close is net.Conn's. A reader that pauses, see intake, would not notice it.
func (c *timedConn) Close() error {
	if c.gone != nil {
		c.gone()
	}
	return c.Conn.Close()
}

// Write is net.Conn's, and fails when it takes longer than c.write.
func (c *timedConn) Write(p []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Write(p)
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.meter.sent(n)
	return n, err
}
