package sshd

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxUnread is how many bytes of a connection may wait for its programs
	// until no more is read from the network; reading goes on at half of it.
	// x/crypto alone would take in a window of 2 MiB for every
	// channel: 500 uploads at once, more than the CPU can check, would cost a
	// gigabyte. What is not read waits in the sockets, and the peer with it.
	maxUnread = 64 << 10
	// crowdedUnread takes the place of maxUnread while the connections of a
	// server have allUnread or more between them: a packet for each waits then,
	// which is enough where the CPU is what all of them wait for.
	crowdedUnread = 8 << 10
	allUnread     = 8 << 20
	// sentContent is what a program writes at once, in bytes, that is more
	// than an answer.
	sentContent = 4 << 10
	// intakeTick is how often a pause looks whether it is in the way.
	intakeTick = 100 * time.Millisecond
	// crowdedTicks is how many looks have to find the same where the
	// connections have allUnread between them: what a program waits for may be
	// on its way to it then, behind others that wait for the CPU.
	crowdedTicks = 10
)

// intake holds what comes from the network to what the programs of a connection
// take. A pause ends early when a program waits for input, because padding and
// requests count as unread and nobody reads them; and when one waits for its
// output to go, because the peer's leave for that comes on the same way.
type intake struct {
	all *atomic.Int64 // unread bytes of all connections of the server

	mu       sync.Mutex // guards all below
	sessions int
	unread   int
	moved    int // changes with every end of a read or write by a program
	reading  int // programs that wait for input now, if they have to wait
	writing  int
	resume   chan struct{} // closed at the end of a pause; nil without one
}

// intakeConn is a net.Conn that pauses its reads.
type intakeConn struct {
	net.Conn
	intake *intake
	ctx    context.Context // ends pauses
}

// Read is net.Conn's, when it is time.
func (c *intakeConn) Read(p []byte) (int, error) {
	c.intake.wait(c.ctx)
	n, err := c.Conn.Read(p)
	c.intake.came(n)
	return n, err
}

func (p *intake) came(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions > 0 {
		p.setUnread(p.unread + n)
	}
}

// setUnread wants p.mu held.
func (p *intake) setUnread(n int) {
	p.all.Add(int64(n - p.unread))
	p.unread = n
}

// forget takes a connection that has ended off the books.
func (p *intake) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setUnread(0)
}

// limit is how much may be unread at this moment.
func (p *intake) limit() int {
	if p.all.Load() >= allUnread {
		return crowdedUnread
	}
	return maxUnread
}

// opened and closed count sessions. Without one there is nobody to wait for.
func (p *intake) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions++
	p.setUnread(0)
}

func (p *intake) closed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions--
	p.setUnread(0)
	p.goOn()
}

// read runs a program's read. One that gives less than it could has emptied its
// channel; others that wait have as well.
func (p *intake) read(b []byte, read func([]byte) (int, error)) (int, error) {
	p.mu.Lock()
	p.reading++
	p.mu.Unlock()
	n, err := read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading--
	p.moved++
	p.setUnread(max(p.unread-n, 0))
	if n < len(b) && p.reading == p.sessions-1 {
		p.setUnread(0)
	}
	if p.unread <= p.limit()/2 {
		p.goOn()
	}
	return n, err
}

// write runs a program's write. One that sends content takes in little: what
// comes meanwhile is the peer's leave to send more.
func (p *intake) write(b []byte, write func([]byte) (int, error)) (int, error) {
	p.mu.Lock()
	p.writing++
	if len(b) >= sentContent {
		p.setUnread(0)
		p.goOn()
	}
	p.mu.Unlock()
	n, err := write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	p.moved++
	return n, err
}

// goOn ends a pause. It wants p.mu held.
func (p *intake) goOn() {
	if p.resume != nil {
		close(p.resume)
		p.resume = nil
	}
}

// wait pauses while too much is unread.
func (p *intake) wait(ctx context.Context) {
	resume, moved := p.begin()
	if resume == nil {
		return
	}
	tick := time.NewTicker(intakeTick)
	defer tick.Stop()
	for same := 1; ; same++ {
		select {
		case <-resume:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, stuck := p.look(moved, same)
		if stuck {
			return
		}
		if now != moved {
			moved, same = now, 0
		}
	}
}

func (p *intake) begin() (resume chan struct{}, moved int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions == 0 || p.unread <= p.limit() {
		return nil, 0
	}
	p.resume = make(chan struct{})
	return p.resume, p.moved
}

// look reports whether a program has waited since moved was what it is, looks ago.
// Then what counts as unread was nothing for it.
func (p *intake) look(moved, looks int) (now int, stuck bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stuck = p.moved == moved && p.reading+p.writing > 0 && (looks >= crowdedTicks || p.all.Load() < allUnread)
	if stuck {
		p.setUnread(0)
		p.resume = nil
	}
	return p.moved, stuck
}
