package vfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"bundleup/vfs/store"
)

var errDisk = errors.New("input/output error on /dev/secret")

// Every operation of the store fails once, at every step of an upload, before or
// after it took effect: the customer reads whose fault it is and never a word of
// the cause, the daemon lives, nothing is accepted falsely, and the next try brings
// it home.
func TestStorageFailsAtEveryStep(t *testing.T) {
	content := tgz(t, 3<<20, 1)
	for _, op := range []store.Op{store.OpCreate, store.OpWrite, store.OpSave, store.OpSeal} {
		for nth := 1; nth <= 3; nth++ {
			for _, cause := range []error{errDisk, fmt.Errorf("%w: %w", store.ErrFull, errDisk)} {
				for _, after := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s %d %v after %v", op, nth, cause, after), func(t *testing.T) {
						w := newWorld(t)
						seen := 0
						hook := func(o store.Op, _ string) error {
							if o == op {
								if seen++; seen == nth {
									return cause
								}
							}
							return nil
						}
						if after {
							w.store.After = hook
						} else {
							w.store.Before = hook
						}
						failOnce(w, content)
					})
				}
			}
		}
	}
}

func failOnce(w *world, content []byte) {
	acme := w.as("acme")
	u := acme.create("/diag.tgz", fresh)
	var err error
	for i := 0; i < len(content) && err == nil; i += 1 << 20 {
		_, err = u.Write(content[i:min(i+1<<20, len(content))])
	}
	if err == nil {
		_, err = u.Commit(ctx)
	}
	w.store.Before, w.store.After = nil, nil
	if err == nil {
		acme.equal("accepted", w.as("acme").size("/diag.tgz"), fmt.Sprint(len(content)))
		return
	}
	text := explain(err)
	w.contains("text", text, "nothing was lost")
	if errors.Is(err, store.ErrFull) {
		w.contains("text", text, "disk is full")
	}
	for _, secret := range []string{"/dev", "input/output"} {
		if strings.Contains(text, secret) {
			w.Errorf("the customer reads the cause: %q", text)
		}
	}
	again := w.as("acme")
	if got := again.ls("/"); got != "receipts/" && got != "diag.tgz receipts/" {
		w.Errorf("listing: %q", got)
	}
	if again.ls("/") == "receipts/" {
		w.as("desk").equal("support", w.as("desk").ls("/acme"), "")
	}
	u = again.create("/diag.tgz", Flags{Create: true})
	kept := u.Kept()
	if err := u.Begin(kept); err != nil {
		w.Fatalf("resume at %d: %v", kept, err)
	}
	if _, err := u.Write(content[kept:]); err != nil {
		w.Fatal(err)
	}
	if _, err := u.Commit(ctx); err != nil {
		w.Fatal(err)
	}
	again.equal("one copy", again.ls("/"), "diag.tgz receipts/")
	got, err := w.as("desk").get("/acme/diag.tgz")
	if err != nil || !bytes.Equal(got, content) {
		w.Errorf("support reads %d bytes, %v; want the %d sent", len(got), err, len(content))
	}
	again.equal("nothing is suspended", w.suspendedUploads(), 0)
}

// suspendedUploads counts what the store would give a next process.
func (w *world) suspendedUploads() int {
	n := 0
	for _, err := range w.store.Suspended(ctx) {
		if err != nil {
			w.Error(err)
		}
		n++
	}
	return n
}

// A disk that fills up between two saved states costs nothing of what it took.
func TestFullDiskKeepsWhatArrived(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 100<<10, 1)
	acme := w.as("acme")
	u := acme.create("/diag.tgz", fresh)
	if _, err := u.Write(content[:60<<10]); err != nil {
		t.Fatal(err)
	}
	w.store.Before = func(op store.Op, _ string) error {
		if op == store.OpWrite {
			return store.ErrFull
		}
		return nil
	}
	_, err := u.Write(content[60<<10:])
	w.store.Before = nil
	acme.equal("kind", kind(err), "full")
	acme.equal("words", explain(err), "the server's disk is full: nothing was lost, 61,440 bytes of diag.tgz are kept: try again later")
	u = w.as("acme").create("/diag.tgz", Flags{Create: true})
	acme.equal("kept", u.Kept(), int64(60<<10))
}

// An upload whose seal took effect and failed to say so is not kept beside its
// bundle.
func TestSealThatFailedAfterItsEffect(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	acme := w.as("acme")
	w.store.After = func(op store.Op, _ string) error {
		if op == store.OpSeal {
			return errDisk
		}
		return nil
	}
	_, err := acme.put("/diag.tgz", content)
	w.store.After = nil
	acme.equal("the client is not told success", kind(err), "internal")
	again := w.as("acme")
	again.equal("listing", again.ls("/"), "diag.tgz receipts/")
	r := again.mustPut("/diag.tgz", content)
	again.equal("the same bytes", r.Repeated, true)
}

// Kept bytes whose state is of no use are checked again; when they are not sound
// any more the client is sent back to the start, and gets there.
func TestDamagedKeptBytes(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	acme := w.as("acme")
	acme.suspended("/diag.tgz", content, 1000)
	damaged := &damagedStore{Memory: w.store}
	w.tree.cfg.Store = damaged
	u := w.as("acme").create("/diag.tgz", Flags{Create: true})
	err := u.Begin(1000)
	w.contains("resume", explain(err), "what was kept of diag.tgz is gone: send it from the start")
	if err := u.Suspend(ctx); err != nil {
		t.Fatal(err)
	}
	acme.equal("nothing is kept", w.as("acme").size("/diag.tgz"), "missing")
	acme.equal("nothing is suspended", w.suspendedUploads(), 0)
	w.as("acme").mustPut("/diag.tgz", content)
}

// damagedStore has lost the states and gives junk for the bytes.
type damagedStore struct{ *store.Memory }

func (d *damagedStore) Resume(context.Context, store.ID) (store.Writer, []byte, int64, error) {
	return nil, nil, 0, store.ErrState
}

func (d *damagedStore) Recover(ctx context.Context, id store.ID) (store.Writer, io.ReadCloser, int64, error) {
	w, _, size, err := d.Memory.Recover(ctx, id)
	return w, io.NopCloser(bytes.NewReader(bytes.Repeat([]byte("junk"), int(size)/4))), size, err
}

// Resuming reads nothing of what is kept, be it ever so much; only a state of no
// use makes it.
func TestResumeReadsNothingAgain(t *testing.T) {
	for _, useless := range []bool{false, true} {
		w := newWorld(t)
		content := tgz(t, 3<<20, 1)
		w.as("acme").suspended("/diag.tgz", content, 2<<20)
		recovered := 0
		w.store.Before = func(op store.Op, _ string) error {
			switch {
			case op == store.OpRecover:
				recovered++
			case op == store.OpResume && useless:
				return store.ErrState
			}
			return nil
		}
		acme := w.as("acme")
		u := acme.create("/diag.tgz", Flags{Create: true})
		if err := u.Begin(2 << 20); err != nil {
			t.Fatal(err)
		}
		u.Write(content[2<<20:])
		if _, err := u.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		acme.equal(fmt.Sprintf("read again with a useless state %v", useless), recovered == 1, useless)
	}
}

// Two connections send the same bytes under one name, and others send others,
// all at once: one bundle for each content, every receipt the right one.
func TestRacingUploads(t *testing.T) {
	w := newWorld(t)
	contents := [][]byte{tgz(t, 1000, 1), tgz(t, 2000, 2), tgz(t, 3000, 3)}
	type result struct {
		content int
		receipt *Receipt
	}
	results := make(chan result, 64)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			c := w.as("acme")
			name := fmt.Sprintf("/%d.tgz.part", i)
			if _, err := c.put(name, contents[i%3]); err != nil {
				t.Error(err)
				return
			}
			if err := c.Rename(ctx, name, "/diag.tgz"); err != nil {
				t.Error(err)
				return
			}
			out, _ := c.View.(*customer).sent.outcome("diag.tgz")
			r, err := w.tree.area("acme").receipt(ctx, out.as)
			if err != nil {
				t.Error(err)
				return
			}
			results <- result{i % 3, r}
		})
	}
	wg.Wait()
	close(results)
	ids := map[int]string{}
	for r := range results {
		if id, ok := ids[r.content]; ok && id != r.receipt.ID {
			t.Errorf("content %d has the receipts %s and %s", r.content, id, r.receipt.ID)
		}
		ids[r.content] = r.receipt.ID
		if r.receipt.Size != int64(len(contents[r.content])) {
			t.Errorf("content %d got the receipt of another one", r.content)
		}
	}
	c := w.as("acme")
	c.equal("listing", c.ls("/"), "diag.tgz diag~2.tgz diag~3.tgz receipts/")
}
