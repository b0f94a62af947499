package auth

import (
	"context"
	"sync"
	"time"
)

const (
	// burst is how far an account may run ahead of its bandwidth.
	burst = time.Second
	// slice bounds what is taken at once, as time at the account's bandwidth:
	// no wait for it is longer, but for those of the account's other sessions.
	slice = 250 * time.Millisecond
)

// Paces are the bandwidths of the accounts that are bounded and logged in. The
// connections of an account share one, through whatever door they came. The zero
// value is ready; it is safe for concurrent use.
type Paces struct {
	mu       sync.Mutex // guards accounts and the users of each
	accounts map[string]*Pace
}

// Pace is one account's bandwidth, a bucket for each direction. A nil Pace lets
// everything through.
type Pace struct {
	users    int
	up, down bucket
	slice    int // bytes
}

// Join gives the account's pace, nil if it has none. A pace that is in use keeps
// its rate until the account's last connection is gone.
func (t *Paces) Join(a *Account) *Pace {
	if a.Bandwidth <= 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.accounts[a.Name]
	if p == nil {
		rate := float64(a.Bandwidth)
		p = &Pace{up: bucket{rate: rate}, down: bucket{rate: rate}, slice: max(int(rate*slice.Seconds()), 1)}
		if t.accounts == nil {
			t.accounts = make(map[string]*Pace)
		}
		t.accounts[a.Name] = p
	}
	p.users++
	return p
}

// Leave gives back what Join gave.
func (t *Paces) Leave(account string, p *Pace) {
	if p == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(t.accounts, account)
	}
}

// Chunk is as much of b as may be moved at once.
func (p *Pace) Chunk(b []byte) []byte {
	if p == nil {
		return b
	}
	return b[:min(len(b), p.slice)]
}

// Received waits until n bytes that came were allowed to come, or ctx ends.
func (p *Pace) Received(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	return p.up.take(ctx, n)
}

// Sent waits until n bytes may be sent, or ctx ends.
func (p *Pace) Sent(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	return p.down.take(ctx, n)
}

// bucket is a token bucket that is kept as a time: when it will be empty again of
// what was taken.
type bucket struct {
	rate float64 // bytes per second

	mu   sync.Mutex // guards free
	free time.Time
}

// take takes n bytes and waits for them, in the order of the calls.
func (b *bucket) take(ctx context.Context, n int) error {
	wait := b.reserve(n, time.Now())
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// reserve takes n bytes and says how long they have to be waited for.
func (b *bucket) reserve(n int, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free.Before(now) {
		b.free = now
	}
	b.free = b.free.Add(time.Duration(float64(n) / b.rate * float64(time.Second)))
	return b.free.Sub(now) - burst
}
