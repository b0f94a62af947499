package disk

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"bundleup/vfs/store"
)

// keepers are the fates of what was not synced: all lost, all kept, or some.
func keeper(mode int, rng *rand.Rand) func() bool {
	return func() bool {
		switch mode {
		case 0:
			return false
		case 1:
			return true
		}
		return rng.IntN(2) == 0
	}
}

// countSteps plays the script undisturbed.
func countSteps(t *testing.T) int {
	t.Helper()
	f := newSharedFS()
	c := newScript(f, rand.New(rand.NewPCG(0, 0)))
	c.play()
	n := f.step
	if err := c.verify(f.crash(keeper(0, nil), nil)); err != nil {
		t.Fatalf("without a fault: %v", err)
	}
	for _, o := range c.seals {
		if !o.acked {
			t.Fatalf("without a fault %s was not sealed", o.key)
		}
	}
	return n
}

// from fails every operation from a step on, as a machine does that is down.
func from(at int, err error) func(int, string, string) (error, error) {
	return func(step int, _, _ string) (error, error) {
		if step >= at {
			return err, nil
		}
		return nil, nil
	}
}

// TestCrashAtEveryStep cuts the power before every single operation, with many
// outcomes for what was not synced, and again in the middle of the repair.
func TestCrashAtEveryStep(t *testing.T) {
	steps := countSteps(t)
	modes := 24
	if testing.Short() {
		modes = 6
	}
	t.Logf("%d steps, %d outcomes each", steps, modes)
	for at := 1; at <= steps+1; at++ {
		for mode := range modes {
			rng := rand.New(rand.NewPCG(uint64(at), uint64(mode)))
			f := newSharedFS()
			f.fault = from(at, errCrashed)
			c := newScript(f, rng)
			c.play()
			f = f.crash(keeper(mode, rng), rng)
			for range mode % 3 { // the power fails during the repair, too
				f.fault = from(1+rng.IntN(60), errCrashed)
				open(f, Options{})
				f = f.crash(keeper(mode, rng), rng)
			}
			if err := c.verify(f); err != nil {
				t.Fatalf("crash before step %d, outcome %d: %v", at, mode, err)
			}
		}
	}
}

// TestKillAtEveryStep kills the process, which loses nothing that it told the
// kernel, goes on with another one, and then cuts the power: what the second
// one acknowledges must not lean on what the first one had not synced.
func TestKillAtEveryStep(t *testing.T) {
	steps := countSteps(t)
	for at := 1; at <= steps+1; at++ {
		for mode := range 24 {
			rng := rand.New(rand.NewPCG(uint64(at), uint64(mode)))
			f := newSharedFS()
			f.fault = from(at, errCrashed)
			c := newScript(f, rng)
			c.play()
			f.fault = nil
			if err := c.goOn(f); err != nil {
				t.Fatalf("kill before step %d: %v", at, err)
			}
			f = f.crash(keeper(mode, rng), rng)
			if err := c.verify(f); err != nil {
				t.Fatalf("kill before step %d, then crash with outcome %d: %v", at, mode, err)
			}
		}
	}
}

// goOn is what the second process does.
func (c *script) goOn(f files) (err error) {
	if c.s, err = open(f, Options{}); err != nil {
		return err
	}
	name := []store.Key{"acme/case/N.tgz", "globex/N.tgz"}[c.rng.IntN(2)]
	n := c.create(name)
	n.write("new")
	n.save()
	if err := n.seal(name, "receipt.json"); err != nil {
		return err
	}
	c.put("acme/I.tgz", "receipt.json", "refused once more")
	c.mkdir("acme/empty/deep")
	return nil
}

// TestFaultAtEveryStep makes every single operation fail, before or after it
// took effect, once or for good, and then looks at the disk after a clean
// restart and after a crash.
func TestFaultAtEveryStep(t *testing.T) {
	steps := countSteps(t)
	for at := 1; at <= steps; at++ {
		for mode := range 16 {
			rng := rand.New(rand.NewPCG(uint64(at), uint64(mode)))
			errno := []syscall.Errno{syscall.EIO, syscall.ENOSPC}[rng.IntN(2)]
			f := newSharedFS()
			f.fault = faulty(at, mode, errno)
			c := newScript(f, rng)
			c.play()
			f.fault = nil
			if mode&2 != 0 {
				f = f.crash(keeper(2, rng), rng)
			}
			if err := c.verify(f); err != nil {
				t.Fatalf("%v at step %d, variant %d: %v", errno, at, mode, err)
			}
		}
	}
}

// faulty fails steps from at on; bit 0 of mode: after their effect; bits 2 and
// 3: how many.
func faulty(at, mode int, errno error) func(int, string, string) (error, error) {
	return func(step int, op, _ string) (error, error) {
		end := at + []int{1, 2, 6, 20}[mode>>2&3]
		switch {
		case step < at || step >= end:
			return nil, nil
		case mode&1 != 0 && op != "write":
			return nil, errno
		}
		return errno, nil
	}
}
