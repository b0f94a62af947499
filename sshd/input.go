package sshd

import (
	"io"
	"sync"
	"sync/atomic"
)

// window is what a peer may send on a channel and nobody has read, in bytes: a
// constant of x/crypto.
const window = 2 << 20

// input is what a peer sends on one channel. x/crypto queues it packet by packet,
// which bounds bytes and not memory. Where too much of the connection may be
// waiting, what this channel's program has not read is taken out of that queue and
// kept in one piece.
type input struct {
	ch    io.Reader
	meter *meter

	// busy is true while somebody is in ch.Read: nothing waits then.
	busy atomic.Bool
	mark atomic.Int64 // meter.unused at a moment whose packets are all read

	mu   sync.Mutex // guards all below; held to enter ch.Read, and in it by absorb
	kept []byte
	next int64 // what mark becomes after another window's worth
	read int64 // since next

	absorbing bool // guarded by the connection's mu
}

// begin wants to be called before the peer can send.
func (in *input) begin(ch io.Reader, m *meter) {
	in.ch, in.meter, in.next = ch, m, m.unused()
	in.mark.Store(in.next)
}

// Read gives what was kept, and then what comes.
func (in *input) Read(p []byte) (int, error) {
	in.mu.Lock()
	if len(in.kept) > 0 {
		defer in.mu.Unlock()
		n := copy(p, in.kept)
		if in.kept = in.kept[n:]; len(in.kept) == 0 {
			in.kept = nil
		}
		return n, nil
	}
	in.busy.Store(true)
	in.mu.Unlock()
	n, err := in.ch.Read(p)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.busy.Store(false)
	in.count(n, n < len(p))
	return n, err
}

// count notes what was read, and keeps mark at a moment whose packets have all
// been read: now, where the read took everything, or when a window's worth was
// read since.
func (in *input) count(n int, emptied bool) {
	in.meter.delivered(n, emptied)
	in.read += int64(n)
	if !emptied && in.read < window {
		return
	}
	now := in.meter.unused()
	if emptied {
		in.next = now
	}
	in.mark.Store(in.next)
	in.next, in.read = now, 0
}

// absorb keeps what waits, until nothing does. An error is more than the peer may
// have sent.
func (in *input) absorb() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.busy.Load() {
		return nil
	}
	in.busy.Store(true)
	defer in.busy.Store(false)
	buf := make([]byte, 32<<10)
	for {
		n, err := in.ch.Read(buf)
		in.kept = append(in.kept, buf[:n]...)
		in.count(n, n < len(buf))
		switch {
		case len(in.kept) > window:
			return errUnread
		case err != nil || n < len(buf):
			return nil // Read finds the error again
		}
	}
}

// lookUnread looks for programs that do not read, where a flood of packets may
// wait for them.
func (c *connection) lookUnread() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		in := &s.input
		if c.ending || in.absorbing || in.busy.Load() || !c.net.meter.suspects(in.mark.Load()) {
			continue
		}
		in.absorbing = true
		c.goroutine(func() {
			if err := in.absorb(); err != nil {
				c.net.meter.fail(err)
				c.net.Close()
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			in.absorbing = false
		})
	}
}
