package auth

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: an account's connections share one bandwidth, each direction its own,
// and a wait ends with its context.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all Paces
		a := &Account{Name: "acme", Bandwidth: 1 << 20}
		one, two := all.Join(a), all.Join(a)
		if one != two {
			t.Fatal("two connections have a pace each")
		}
		start := time.Now()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if err := one.Received(t.Context(), 1<<18); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := time.Since(start); got != 10*time.Second-burst {
			t.Errorf("10 MiB at 1 MiB/s took %v", got)
		}
		if err := one.Sent(t.Context(), 1<<20); err != nil || time.Since(start) != 10*time.Second-burst {
			t.Errorf("the other direction waited: %v, %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := one.Received(ctx, 100<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that was ended: %v", err)
		}
		if n := len(one.Chunk(make([]byte, 1<<20))); n != 1<<18 {
			t.Errorf("at once are moved %d bytes", n)
		}
		all.Leave("acme", one)
		all.Leave("acme", two)
		if len(all.accounts) != 0 {
			t.Error("the pace stays when the last connection has left")
		}
	})
	var none *Pace
	if len(none.Chunk(make([]byte, 9))) != 9 || none.Sent(t.Context(), 1<<40) != nil || none.Received(t.Context(), 1<<40) != nil {
		t.Error("without a bandwidth something waits")
	}
	new(Paces).Leave("acme", nil)
}
