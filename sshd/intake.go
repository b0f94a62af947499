package sshd

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// maxUnread is how many bytes of a connection may wait for its programs
	// until no more is read from the network; reading goes on below
	// resumeUnread. x/crypto alone would take in a window of 2 MiB for every
	// channel: 500 uploads at once, more than the CPU can check, would cost a
	// gigabyte. What is not read waits in the sockets, and the peer with it.
	maxUnread    = 64 << 10
	resumeUnread = 32 << 10
	// sentContent is what a program writes at once, in bytes, that is more
	// than an answer.
	sentContent = 4 << 10
	// intakeTick is how often a pause looks whether it is in the way.
	intakeTick = 100 * time.Millisecond
)

// intake holds what comes from the network to what the programs of a connection
// take. A pause ends early when a program waits for input, because padding and
// requests count as unread and nobody reads them; and when one waits for its
// output to go, because the peer's leave for that comes on the same way.
type intake struct {
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
	p.unread += n
}

// opened and closed count sessions. Without one there is nobody to wait for.
func (p *intake) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions++
	p.unread = 0
}

func (p *intake) closed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions--
	p.unread = 0
	p.goOn()
}

// read runs a program's read. One that gives less than it could has emptied its
// channel.
func (p *intake) read(b []byte, read func([]byte) (int, error)) (int, error) {
	p.mu.Lock()
	p.reading++
	p.mu.Unlock()
	n, err := read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading--
	p.moved++
	p.unread = max(p.unread-n, 0)
	if n < len(b) && p.sessions == 1 {
		p.unread = 0
	}
	if p.unread <= resumeUnread {
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
		p.unread = 0
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
	for {
		select {
		case <-resume:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, stuck := p.look(moved)
		if stuck {
			return
		}
		moved = now
	}
}

func (p *intake) begin() (resume chan struct{}, moved int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sessions == 0 || p.unread <= maxUnread {
		return nil, 0
	}
	p.resume = make(chan struct{})
	return p.resume, p.moved
}

// look reports whether a program has waited since moved was what it is. Then
// what counts as unread was nothing for it.
func (p *intake) look(moved int) (now int, stuck bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stuck = p.moved == moved && p.reading+p.writing > 0
	if stuck {
		p.unread, p.resume = 0, nil
	}
	return p.moved, stuck
}
