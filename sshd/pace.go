package sshd

import (
	"context"
	"sync"
	"time"

	"bundleup/auth"
)

const (
	// burst is how far an account may run ahead of its bandwidth.
	burst = time.Second
	// slice bounds what is taken at once, as time at the account's bandwidth:
	// no wait for it is longer, but for those of the account's other sessions.
	slice = 250 * time.Millisecond
)

// paces are the bandwidths of the accounts that are bounded and logged in. The
// connections of an account share one. The zero value is ready.
type paces struct {
	mu       sync.Mutex // guards accounts and the users of each
	accounts map[string]*pace
}

// pace is one account's bandwidth, a bucket for each direction. A nil pace lets
// everything through.
type pace struct {
	users    int
	up, down bucket
	slice    int // bytes
}

// join gives the account's pace, nil if it has none. A pace that is in use keeps
// its rate until the account's last connection is gone.
func (t *paces) join(a *auth.Account) *pace {
	if a.Bandwidth <= 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.accounts[a.Name]
	if p == nil {
		rate := float64(a.Bandwidth)
		p = &pace{up: bucket{rate: rate}, down: bucket{rate: rate}, slice: max(int(rate*slice.Seconds()), 1)}
		if t.accounts == nil {
			t.accounts = make(map[string]*pace)
		}
		t.accounts[a.Name] = p
	}
	p.users++
	return p
}

// leave gives back what join gave.
func (t *paces) leave(account string, p *pace) {
	if p == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(t.accounts, account)
	}
}

// chunk is as much of b as may be moved at once.
func (p *pace) chunk(b []byte) []byte {
	if p == nil {
		return b
	}
	return b[:min(len(b), p.slice)]
}

// received waits until n bytes that came were allowed to come, or ctx ends.
func (p *pace) received(ctx context.Context, n int) error {
	if p == nil {
		return nil
	}
	return p.up.take(ctx, n)
}

// sent waits until n bytes may be sent, or ctx ends.
func (p *pace) sent(ctx context.Context, n int) error {
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
