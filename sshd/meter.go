package sshd

import (
	"errors"
	"sync"
	"time"
)

// Bounds of what a peer may send beside data for a program, in bytes on the
// wire. x/crypto answers, queues or throws away such packets one by one, and
// shows none of them; but what the connection reads and what programs read is
// known, and the difference is they.
const (
	// maxOverhead is how far the difference may get ahead. It comes back by 1
	// KiB each second, which is many times what keepalives and window
	// adjustments take.
	maxOverhead   = 8 << 20
	overheadDecay = 1 << 10 // per second
	// perRead is what packets of one byte cost: a program that reads them, such
	// as scp its answers, makes them no flood.
	perRead = 64
	// perWritten bytes that we send allow for one byte of window adjustments.
	perWritten = 32
	// maxWaiting is how much of a connection may wait for programs, beside a
	// window for each session. The bytes of a channel are bounded by its window,
	// but not the packets: one with a single byte costs 36 on the wire and 48 of
	// memory.
	maxWaiting = 4 << 20
	// minFrame is the least that a packet has on the wire beside its data.
	minFrame = 36
	// maxErrorInput is the standard error that a client may send, in bytes: no
	// client sends any.
	maxErrorInput = 64 << 10
)

// Why a connection is closed.
var (
	errOverhead   = errors.New("flood: too much was sent that is no data for a program")
	errUnread     = errors.New("flood: too much waits for a program that does not read")
	errErrorInput = errors.New("flood: data for standard error")
)

// meter weighs what a peer sends. It is safe for concurrent use.
type meter struct {
	now func() time.Time

	mu       sync.Mutex // guards all below
	on       bool       // after the login
	wire     int64      // bytes that were read, in all
	used     int64      // bytes of them that programs have read, in all
	overhead int64
	since    time.Time // overhead is of this moment
	waiting  int64     // what may wait for programs: a window for each session
	broken   error
}

// start begins to count.
func (m *meter) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on, m.since = true, m.now()
}

// received counts n bytes off the wire.
func (m *meter) received(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.on {
		return nil
	}
	m.wire += int64(n)
	m.overhead += int64(n)
	if m.overhead > maxOverhead+m.waiting {
		now := m.now()
		m.credit(int64(now.Sub(m.since).Seconds() * overheadDecay))
		m.since = now
	}
	if m.overhead > maxOverhead+m.waiting && m.broken == nil {
		m.broken = errOverhead
	}
	return m.broken
}

// delivered counts n bytes that a program has read at once. 8 times as much
// may have been on the wire: requests are small. emptied says that nothing more
// waited, so that at least one packet's frame came to its end.
func (m *meter) delivered(n int, emptied bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used += int64(n)
	if emptied {
		m.used += minFrame
	}
	m.credit(8*int64(n) + perRead)
}

// sent counts n bytes to the wire.
func (m *meter) sent(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.credit(int64(n) / perWritten)
}

// credit wants m.mu held.
func (m *meter) credit(n int64) { m.overhead = max(0, m.overhead-n) }

// sessions counts n sessions more, or less. Data for them is no overhead while it
// waits: a window's worth each, a quarter more for the packets' frames.
func (m *meter) sessions(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting += n * window * 5 / 4
}

// unused is how many bytes off the wire no program has read: packets' frames,
// what is for no program, and what waits.
func (m *meter) unused() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wire - m.used
}

// suspects tells whether too many packets may wait since unused was mark.
func (m *meter) suspects(mark int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wire-m.used-mark > maxWaiting+m.waiting
}

// fail makes the next read fail with err.
func (m *meter) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken == nil {
		m.broken = err
	}
}

// failure is why the connection had to end; nil if it had not.
func (m *meter) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken
}
