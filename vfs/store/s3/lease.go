package s3

import (
	"context"
	"errors"
	"time"
)

// heartbeat renews the leases of open uploads, and lets memory go that is not in use,
// until ctx ends. Every state that is
// written renews its own: only slow uploads need this.
func (s *Store) heartbeat(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(s.opts.Lease / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.memory.trim()
		open := s.writers()
		inParallel(len(open), renewalsAtOnce, func(i int) { open[i].renew(ctx) })
	}
}

// renewalsAtOnce bounds the requests of a heartbeat.
const renewalsAtOnce = 16

func (s *Store) writers() []*writer {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*writer, 0, len(s.open))
	for _, w := range s.open {
		open = append(open, w)
	}
	return open
}

// renew extends the lease when a good part of it is over. A Writer that is busy
// with its state is renewing it right now. That it fails is told at the next
// write: an upload that was taken over must stop, and one whose storage does not
// answer goes on as long as its lease does.
func (w *writer) renew(ctx context.Context) {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	left := w.st.Until.Sub(w.s.clock.Now())
	if w.etag == "" || w.failed != nil || w.st.Phase == phaseGone || left > w.s.opts.Lease*2/3 {
		return
	}
	before := w.failed
	err := w.swapLocked(ctx, w.st)
	if err != nil && !errors.Is(err, errFenced) {
		w.failed = before
	}
}
