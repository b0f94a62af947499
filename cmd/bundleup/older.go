package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// older is what the daemon before this one handed over; all nil if there is none.
type older struct {
	ready *os.File    // to be written to and closed
	alive []*os.File  // of each that has not ended: ends with it
	lock  *os.File    // of the disk; nil: it has none
	ended atomic.Bool // all of them have
}

// inheritOlder takes what is handed over: "PID ALIVE LOCK SOCKETS", the daemon that did
// it and how many of each. The descriptors are in this order, behind ready.
func inheritOlder(value string) (*older, *sockets, error) {
	o, s := &older{}, &sockets{spare: true}
	if value == "" {
		return o, s, nil
	}
	os.Unsetenv(handoverVar)
	var pid, alive, lock, n int
	if _, err := fmt.Sscanf(value, "%d %d %d %d", &pid, &alive, &lock, &n); err != nil {
		return o, s, fmt.Errorf("take over: %s is %q", handoverVar, value)
	}
	if pid != os.Getppid() || min(alive, lock, n) < 0 || alive > maxOlder || lock > 1 || n > maxSockets {
		return o, s, fmt.Errorf("take over: %s is %q: it was not handed to this process", handoverVar, value)
	}
	fd := firstSocket
	next := func(name string) *os.File {
		fd++
		syscall.CloseOnExec(fd - 1)
		return os.NewFile(uintptr(fd-1), name)
	}
	o.ready = next("ready")
	for range alive {
		// So that reading it can be given up.
		if err := syscall.SetNonblock(fd, true); err != nil {
			return o, s, fmt.Errorf("take over: %w", err)
		}
		o.alive = append(o.alive, next("alive"))
	}
	if lock == 1 {
		o.lock = next("lock")
	}
	return o, s, s.inherit(fd, n)
}

// tell says that this daemon serves.
func (o *older) tell() error {
	_, err := io.WriteString(o.ready, "ready\n")
	return errors.Join(err, o.ready.Close())
}

// wait returns when all older daemons have ended, or ctx is done.
func (o *older) wait(ctx context.Context) error {
	for _, f := range o.alive {
		stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) })
		_, err := f.Read(make([]byte, 1)) // nothing is ever written
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("wait for older daemons: %v", err)
		}
	}
	return nil
}

// close closes what nobody took.
func (o *older) close() {
	for _, f := range append(slices.Clone(o.alive), o.ready, o.lock) {
		if f != nil {
			f.Close()
		}
	}
}
