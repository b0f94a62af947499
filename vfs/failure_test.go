package vfs

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"bundleup/vfs/store"
)

var errDisk = errors.New("input/output error on /dev/secret")

// Every operation of the store fails once, at every step of an upload: the
// customer reads whose fault it is and never a word of the cause, the daemon
// lives, and nothing is accepted falsely.
func TestStorageFailsAtEveryStep(t *testing.T) {
	content := tgz(t, 3<<20, 1)
	for _, op := range []store.Op{store.OpCreate, store.OpWrite, store.OpSave, store.OpSeal} {
		for nth := 1; nth <= 3; nth++ {
			for _, cause := range []error{errDisk, fmt.Errorf("%w: %w", store.ErrFull, errDisk)} {
				t.Run(fmt.Sprintf("%s %d %v", op, nth, cause), func(t *testing.T) {
					w := newWorld(t)
					seen := 0
					w.store.Before = func(o store.Op, _ string) error {
						if o == op {
							if seen++; seen == nth {
								return cause
							}
						}
						return nil
					}
					failOnce(w, content)
				})
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
	w.store.Before = nil
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
	w.as("desk").equal("support", w.as("desk").ls("/acme"), "")
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
