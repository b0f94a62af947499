package vfs

import (
	"context"
	"errors"
)

// hold is the time in which a suspended upload is read, renamed or removed. Its
// entry stays where it is: an open that found none would start anew beside the
// kept bytes. Who wants the name waits for done.
type hold struct {
	cancel context.CancelCauseFunc // nil for what must not be interrupted
	done   chan struct{}
}

// errTaken ends the reading of an upload that somebody goes on with.
var errTaken = errors.New("the upload was opened or ended meanwhile")

// end waits for the hold's end, which it brings about where it may.
func (h *hold) end(ctx context.Context) error {
	if h.cancel != nil {
		h.cancel(errTaken)
	}
	return h.wait(ctx)
}

func (h *hold) wait(ctx context.Context) error {
	select {
	case <-h.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lent is a suspended upload in the hands of one who holds it, or the running
// upload of the name instead, or nothing.
type lent struct {
	kept *kept
	live *Upload

	area *area
	name string
}

// hold lends a suspended upload until giveBack, and ends who reads it.
func (a *area) hold(ctx context.Context, name string) (*lent, error) {
	return a.lend(ctx, name, nil, (*hold).end)
}

// holdToRead is hold for somebody that an open may interrupt through cancel.
func (a *area) holdToRead(ctx context.Context, name string, cancel context.CancelCauseFunc) (*lent, error) {
	return a.lend(ctx, name, cancel, (*hold).wait)
}

func (a *area) lend(ctx context.Context, name string, cancel context.CancelCauseFunc, wait func(*hold, context.Context) error) (*lent, error) {
	for {
		l, held := a.tryHold(name, cancel)
		if held == nil {
			return l, nil
		}
		if err := wait(held, ctx); err != nil {
			return nil, err
		}
	}
}

// tryHold is one try: it returns who holds the name now, if somebody does.
func (a *area) tryHold(name string, cancel context.CancelCauseFunc) (*lent, *hold) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &lent{area: a, name: name}
	switch e := a.names[name]; {
	case e == nil:
	case e.held != nil:
		return nil, e.held
	case e.live != nil:
		l.live = e.live
	default:
		e.held = &hold{cancel: cancel, done: make(chan struct{})}
		k := *e.kept // a late time may still be set for the entry's
		l.kept = &k
	}
	return l, nil
}

// giveBack ends the hold; with gone the name is free.
func (l *lent) giveBack(gone bool) {
	if l.kept == nil {
		return
	}
	l.area.mu.Lock()
	defer l.area.mu.Unlock()
	e := l.area.names[l.name]
	close(e.held.done)
	e.held = nil
	if gone {
		delete(l.area.names, l.name)
	}
}
