package sshd

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newIntake() *intake { return &intake{all: new(atomic.Int64)} }

// endless is a connection that always has something to read.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// pour reads from a held connection until ctx ends, as x/crypto does.
func pour(ctx context.Context, p *intake) *int {
	total := new(int)
	go func() {
		c := &intakeConn{endless{}, p, ctx}
		buf := make([]byte, 32<<10)
		for ctx.Err() == nil {
			n, _ := c.Read(buf)
			p.mu.Lock()
			*total += n
			stop := *total > 16<<20
			p.mu.Unlock()
			if stop {
				return
			}
		}
	}()
	return total
}

func (p *intake) lookAt(n *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *n
}

func TestIntakeHoldsTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newIntake()
		p.opened()
		total := pour(ctx, p)
		time.Sleep(time.Hour)
		if got, most := p.lookAt(total), maxUnread+32<<10; got > most {
			t.Errorf("%d bytes were read for a program that reads nothing, want at most %d", got, most)
		}
		took := 0
		for range 16 {
			n, _ := p.read(make([]byte, 32<<10), func(b []byte) (int, error) { return len(b), nil })
			took += n
			synctest.Wait()
		}
		if got, least := p.lookAt(total), took; got < least {
			t.Errorf("%d bytes were read for a program that took %d", got, least)
		}
		cancel()
		synctest.Wait()
	})
}

// Nothing may wait for ever: what is unread on the books need not be there.
func TestIntakeGivesWay(t *testing.T) {
	blocked := func(block chan struct{}) func([]byte) (int, error) {
		return func([]byte) (int, error) { <-block; return 0, io.EOF }
	}
	for name, program := range map[string]func(p *intake, block chan struct{}){
		"to a program that waits for input":  func(p *intake, block chan struct{}) { p.read(make([]byte, 9), blocked(block)) },
		"to a program that waits for output": func(p *intake, block chan struct{}) { p.write(make([]byte, 9), blocked(block)) },
		"when the last session ends":         func(p *intake, block chan struct{}) { p.closed() },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p, block := newIntake(), make(chan struct{})
			p.opened()
			total := pour(ctx, p)
			time.Sleep(time.Minute)
			before := p.lookAt(total)
			go program(p, block)
			time.Sleep(time.Minute)
			if got := p.lookAt(total); got < before+1<<20 {
				t.Errorf("%s: %d bytes came in a minute", name, got-before)
			}
			close(block)
			cancel()
			synctest.Wait()
		})
	}
}

// A download's WINDOW_ADJUSTs are read by no program, and it must not wait for a
// tick because of them.
func TestIntakeLetsContentGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := newIntake(), time.Now()
		p.opened()
		c := &intakeConn{endless{}, p, t.Context()}
		for range 1000 {
			p.write(make([]byte, 32<<10), func(b []byte) (int, error) { return len(b), nil })
			for range 10 {
				c.Read(make([]byte, 4<<10))
			}
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("reads waited %v for a program that only writes", waited)
		}
	})
}

// What is for no program does not pile up while all programs of a connection wait for
// input, so that none of them waits for a tick because of it.
func TestIntakeForgetsWhatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start, idle := newIntake(), time.Now(), make(chan struct{})
		p.opened()
		p.opened()
		go p.read(make([]byte, 1), func([]byte) (int, error) { <-idle; return 0, io.EOF })
		synctest.Wait()
		c := &intakeConn{endless{}, p, t.Context()}
		for range 1000 {
			c.Read(make([]byte, 32<<10))
			p.read(make([]byte, 32<<10), func([]byte) (int, error) { return 30 << 10, nil })
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("it waited for %v", took)
		}
		close(idle)
	})
}

// Many connections that nobody reads from wait with a packet each, not with a
// window each; and what one held is given back when it ends.
func TestIntakesShareABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd, packet = 1000, 32 << 10
		all := new(atomic.Int64)
		var intakes []*intake
		ctx, cancel := context.WithCancel(t.Context())
		for range crowd {
			p := &intake{all: all}
			p.opened()
			pour(ctx, p)
			intakes = append(intakes, p)
			synctest.Wait()
		}
		if got, most := all.Load(), int64(allUnread+maxUnread+crowd*(crowdedUnread+packet)); got > most {
			t.Errorf("%d connections hold %d bytes, want at most %d", crowd, got, most)
		}
		cancel()
		synctest.Wait()
		for _, p := range intakes {
			p.forget()
		}
		if got := all.Load(); got != 0 {
			t.Errorf("%d bytes are on the books of connections that ended", got)
		}
	})
}
