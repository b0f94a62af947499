package s3

import (
	"sync/atomic"
	"time"
)

// clock is the time by which leases are judged: the storage's, which all nodes
// share, however their own clocks go. It is followed from the Date of answers.
type clock struct {
	now   func() time.Time // fixed, for tests; nil: the storage's
	local func() time.Time // the node's own
	off   atomic.Int64     // nanoseconds that the storage is ahead
}

// skewFrom is the difference to the storage from which on it is corrected: the
// Date of an answer has whole seconds.
const skewFrom = 2 * time.Second

// heard learns the storage's time from an answer.
func (c *clock) heard(server time.Time) {
	d := server.Sub(c.local())
	if d < skewFrom && d > -skewFrom {
		d = 0
	}
	c.off.Store(int64(d))
}

// Now is the storage's time.
func (c *clock) Now() time.Time {
	if c.now != nil {
		return c.now()
	}
	return c.local().Add(time.Duration(c.off.Load()))
}
