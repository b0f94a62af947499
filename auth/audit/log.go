package audit

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatch is how many events are written and synced together at most.
	maxBatch = 1024
	// retryAfter is how long a failed write waits for the next try.
	retryAfter = time.Second
)

// Log appends events to a trail from a goroutine of its own. It is safe for
// concurrent use.
//
// A disk that is full or slow never holds up an upload: events wait in a bounded
// queue and are tried again every second. What the queue cannot take is counted,
// and the count is the next thing that the trail gets; the caller's ordinary log
// has the events all the same.
type Log struct {
	cfg   Config
	trail *trail
	queue chan Event
	stop  chan struct{}
	done  chan struct{}

	mu    sync.Mutex // guards all below
	lost  int64
	total int64     // lost since Open
	since time.Time // of the first lost event
}

// Open opens the trail, writes first and fails if it cannot. Close must be called.
func Open(cfg Config, first Event) (*Log, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, trail: &trail{cfg: cfg},
		queue: make(chan Event, cfg.Queue), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := l.trail.append([]Event{l.stamped(first)}); err != nil {
		l.trail.close()
		return nil, err
	}
	go l.run()
	return l, nil
}

// Append writes events durably to a trail that a Log of another process may have
// open.
func Append(cfg Config, events ...Event) error {
	if err := cfg.complete(); err != nil {
		return err
	}
	for i := range events {
		if events[i].Time.IsZero() {
			events[i].Time = cfg.Now()
		}
	}
	t := &trail{cfg: cfg}
	defer t.close()
	return t.append(events)
}

func (l *Log) stamped(e Event) Event {
	if e.Time.IsZero() {
		e.Time = l.cfg.Now()
	}
	e.Time = e.Time.UTC()
	return e
}

// Record queues an event. It never waits, and must not be called after Close.
func (l *Log) Record(e Event) {
	e = l.stamped(e)
	select {
	case l.queue <- e:
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.lost == 0 {
			l.since = e.Time
		}
		l.lost++
		l.total++
	}
}

// Lost is how many events found no room since Open. The trail counts them as well.
func (l *Log) Lost() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Close writes what is queued, with one try, and waits for it.
func (l *Log) Close() error {
	close(l.stop)
	<-l.done
	l.trail.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost > 0 {
		return fmt.Errorf("audit: %d events could not be written", l.lost)
	}
	return nil
}

// run is the one goroutine that writes.
func (l *Log) run() {
	defer close(l.done)
	w := &writer{log: l, seen: newRefusals()}
	window := time.NewTicker(refusalWindow)
	defer window.Stop()
	for {
		in := l.queue
		if w.failing {
			in = nil // the queue fills up, and Record counts
		}
		select {
		case e := <-in:
			w.take(e)
			w.drain()
		case <-w.retry:
		case <-window.C:
			w.pending = append(w.pending, w.seen.end(l.cfg.Now().UTC())...)
		case <-l.stop:
			w.finish()
			return
		}
		w.flush()
	}
}

// writer is what run works on.
type writer struct {
	log     *Log
	seen    *refusals
	pending []Event // not durable yet: at most maxBatch, and a window's refusals
	failing bool
	retry   <-chan time.Time // set while failing
}

// take adds an event to what is to be written.
func (w *writer) take(e Event) {
	if e.Type == Refused && !w.seen.first(e) {
		return
	}
	w.pending = append(w.pending, e)
}

// drain takes what is queued.
func (w *writer) drain() {
	for len(w.pending) < maxBatch {
		select {
		case e := <-w.log.queue:
			w.take(e)
		default:
			return
		}
	}
}

// flush writes what is pending, or sets the timer for the next try.
func (w *writer) flush() {
	w.retry = nil
	if len(w.pending) == 0 {
		return
	}
	lost, events := w.log.losses()
	if err := w.log.trail.append(slices.Concat(w.pending, events)); err != nil {
		w.retry = time.After(retryAfter)
		if !w.failing {
			w.log.cfg.Failed(err)
		}
		w.failing = true
		return
	}
	w.pending = w.pending[:0]
	w.log.told(lost)
	if w.failing {
		w.log.cfg.Failed(nil)
	}
	w.failing = false
}

// finish is the last try. What it cannot write is lost.
func (w *writer) finish() {
	w.pending = append(w.pending, w.seen.end(w.log.cfg.Now().UTC())...)
	for {
		w.drain()
		if len(w.pending) == 0 {
			return
		}
		if w.flush(); w.failing {
			w.log.mu.Lock()
			defer w.log.mu.Unlock()
			w.log.lost += int64(len(w.pending) + len(w.log.queue))
			return
		}
	}
}

// losses counts the lost events, with the event that tells of them.
func (l *Log) losses() (n int64, events []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == 0 {
		return 0, nil
	}
	e := Event{Type: Lost, Count: l.lost, Detail: "could not be written; the first at " + l.since.Format(time.RFC3339Nano)}
	return l.lost, []Event{l.stamped(e)}
}

// told forgets n lost events that the trail has now.
func (l *Log) told(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost -= n
}
