package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// process is a Store as one of two processes has it, with what tests do over and over.
type process struct {
	*testing.T
	*Store
}

// older opens root as the first process.
func older(t *testing.T, root string) *process {
	t.Helper()
	s := openRoot(t, root)
	t.Cleanup(func() { s.Close() })
	s.patience = 200 * time.Millisecond
	return &process{t, s}
}

// newer opens the same root as a process that takes over: a duplicate descriptor is
// the same open file, as after an exec.
func (p *process) newer(root string) *process {
	p.Helper()
	s, err := Open(root, Options{Lock: p.inherit()})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { s.Close() })
	s.patience = 200 * time.Millisecond
	return &process{p.T, s}
}

func (p *process) inherit() *os.File {
	p.Helper()
	fd, err := syscall.Dup(int(p.Share().Fd()))
	if err != nil {
		p.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "lock")
}

func (p *process) begin(name store.Key, data string, save bool) (store.ID, store.Writer) {
	p.Helper()
	id := store.NewID(time.Now())
	w, err := p.Create(p.Context(), id, name)
	if err == nil {
		_, err = w.Write([]byte(data))
	}
	if err == nil && save {
		err = w.Save(p.Context(), []byte("state"))
	}
	if err != nil {
		p.Fatal(err)
	}
	return id, w
}

// finds are the uploads of a name, or of a directory, as "name size".
func (p *process) finds(dir store.Key, base string) string {
	p.Helper()
	var list []string
	for u, err := range p.Find(p.Context(), dir, base) {
		if err != nil {
			p.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %d", u.Name, u.Size))
	}
	return strings.Join(list, ", ")
}

func (p *process) lists(dir store.Key) string {
	p.Helper()
	var list []string
	for i, err := range p.List(p.Context(), dir) {
		if err != nil {
			p.Fatal(err)
		}
		list = append(list, string(i.Key))
	}
	return strings.Join(list, ", ")
}

func (p *process) suspended() string {
	p.Helper()
	var list []string
	for u, err := range p.Suspended(p.Context()) {
		if err != nil {
			p.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %d", u.Name, u.Size))
	}
	return strings.Join(list, ", ")
}

func (p *process) equal(what string, got, want any) {
	p.Helper()
	if got != want {
		p.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (p *process) fails(what string, err, want error) {
	p.Helper()
	if !errors.Is(err, want) {
		p.Errorf("%s: %v, want %v", what, err, want)
	}
}

// TestHandedLock: nobody else gets in while one of the two is there.
func TestHandedLock(t *testing.T) {
	root := t.TempDir()
	old := older(t, root)
	next := old.newer(root)
	for range 2 {
		_, err := Open(root, Options{})
		old.fails("a stranger", err, ErrLocked)
		old.Close()
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if err := openRoot(t, root).Close(); err != nil {
		t.Error(err)
	}
	other := older(t, t.TempDir())
	if s, err := Open(root, Options{Lock: other.inherit()}); err == nil {
		s.Close()
		t.Error("the lock of another root opens this one")
	}
}

// TestUploadOfAnotherProcess: what one process writes the other one sees and leaves
// alone, and goes on with when it is let go.
func TestUploadOfAnotherProcess(t *testing.T) {
	root := t.TempDir()
	old := older(t, root)
	id, w := old.begin("acme/X.tgz", "12345", true)
	young, unsaved := old.begin("acme/case/Y.tgz", "1", false)
	next := old.newer(root)
	next.equal("found", next.finds("acme", "X.tgz"), "acme/X.tgz 5")
	next.equal("found in the directory", next.finds("acme", ""), "acme/X.tgz 5")
	next.equal("without a state", next.finds("acme/case", ""), "")
	next.equal("suspended", next.suspended(), "acme/X.tgz 5")
	_, _, _, err := next.Resume(t.Context(), id)
	next.fails("resume of one that is open", err, store.ErrBusy)
	_, _, _, err = next.Recover(t.Context(), id)
	next.fails("recover of one that is open", err, store.ErrBusy)
	_, _, _, err = next.Resume(t.Context(), young)
	next.fails("resume of one without a state", err, store.ErrBusy)

	if _, err := w.Write([]byte("678")); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		w.Save(t.Context(), []byte("late"))
		w.Close()
	}()
	next.patience = time.Minute
	w2, state, off, err := next.Resume(t.Context(), id)
	if err != nil || string(state) != "late" || off != 8 {
		t.Fatalf("resume gives %q, %d, %v", state, off, err)
	}
	_, _, _, err = old.Resume(t.Context(), id)
	old.fails("the first process resumes", err, store.ErrBusy)
	if err := w2.Seal(t.Context(), "acme/X.tgz", store.Meta{}); err != nil {
		t.Fatal(err)
	}
	old.equal("the first process lists", old.lists("acme"), "acme/X.tgz")
	_, _, _, err = old.Resume(t.Context(), id)
	old.fails("resume of what was sealed", err, fs.ErrNotExist)
	old.equal("suspended", old.suspended(), "")
	if err := unsaved.Seal(t.Context(), "acme/case/Y.tgz", store.Meta{}); err != nil {
		t.Fatal(err)
	}
	next.equal("the second process lists", next.lists("acme"), "acme/X.tgz, acme/case")
}

// TestTwoProcessesSealOneKey: one wins, and whoever loses finds the other's documents.
func TestTwoProcessesSealOneKey(t *testing.T) {
	root := t.TempDir()
	old := older(t, root)
	next := old.newer(root)
	for n := range 50 {
		key := store.Key(fmt.Sprintf("acme/X%d.tgz", n))
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i, p := range []*process{old, next} {
			_, w := p.begin(key, "bytes", i == 0)
			both.Go(func() {
				errs[i] = w.Seal(t.Context(), key, store.Meta{Docs: map[string][]byte{"receipt.json": {byte(i)}}})
				if !errors.Is(errs[i], store.ErrExist) {
					return
				}
				if doc, err := p.Record(t.Context(), key, "receipt.json"); err != nil || !bytes.Equal(doc, []byte{byte(1 - i)}) {
					t.Errorf("the receipt of the winner: %q, %v", doc, err)
				}
				if err := errors.Join(w.Discard(t.Context()), w.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("outcomes: %v; %v", errs[0], errs[1])
		}
	}
	old.equal("suspended", old.suspended(), "")
}

// meddled is a file system that calls back behind every link.
type meddled struct {
	files
	linked func(newname string) error
}

func (m meddled) Link(oldname, newname string) error {
	err := m.files.Link(oldname, newname)
	if err == nil {
		err = m.linked(newname)
	}
	return err
}

// TestSealHiddenFromAnotherProcess: nobody sees an object before its documents.
func TestSealHiddenFromAnotherProcess(t *testing.T) {
	root := t.TempDir()
	old := older(t, root)
	next := old.newer(root)
	looks := 0
	old.files = meddled{old.files, func(name string) error {
		if name == "bundles/acme/X.tgz" {
			looks++
			_, err := next.Open(t.Context(), "acme/X.tgz")
			next.fails("open between link and end", err, fs.ErrNotExist)
			next.equal("list between link and end", next.lists("acme"), "")
		}
		return nil
	}}
	sealAt(t, old.Store, "acme/X.tgz", "bytes", docs("receipt.json"))
	next.equal("looks", looks, 1)
	next.equal("list", next.lists("acme"), "acme/X.tgz")
}

// TestHalfSealOfAnotherProcess: what got stuck in one process the other one concludes.
func TestHalfSealOfAnotherProcess(t *testing.T) {
	root := t.TempDir()
	old := older(t, root)
	id, w := old.begin("acme/X.tgz", "bytes", true)
	next := old.newer(root)
	whole := old.files
	broken := errors.New("broken")
	old.files = meddled{whole, func(name string) error {
		if name == "bundles/acme/X.tgz" {
			return broken
		}
		return nil
	}}
	old.fails("seal", w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: docs("receipt.json").Docs}), errHalf)
	_, other := next.begin("acme/X.tgz", "other", false)
	w.Close()
	next.fails("seal of a key that is stuck", other.Seal(t.Context(), "acme/X.tgz", store.Meta{}), store.ErrExist)
	_, _, _, err := next.Resume(t.Context(), id)
	next.fails("resume", err, fs.ErrNotExist)
	next.equal("list", next.lists("acme"), "acme/X.tgz")
	old.files = whole
	_, _, _, err = old.Resume(t.Context(), id)
	old.fails("resume where it got stuck", err, fs.ErrNotExist)
	old.equal("list where it got stuck", old.lists("acme"), "acme/X.tgz")
}

// TestAlone: when the older process has died the newer one takes up what it left, and
// nothing of its own.
func TestAlone(t *testing.T) {
	root := t.TempDir()
	old := older(t, root)
	old.begin("acme/kept.tgz", "12345", true)
	old.begin("acme/litter.tgz", "1", false)
	temp := filepath.Join(root, tempDir, old.mine+"7")
	if err := os.WriteFile(temp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := old.newer(root)
	_, own := next.begin("acme/own.tgz", "own", false)
	mine := filepath.Join(root, tempDir, next.mine+"7")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old.Close()

	failed := errors.New("not yet")
	_, err := next.Alone(func() error { return failed })
	next.fails("a caller that fails", err, failed)
	next.equal("shared", next.Shared(), true)
	report, err := next.Alone(func() error {
		next.equal("suspended", next.suspended(), "acme/kept.tgz 5")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	next.equal("report", report, Report{Suspended: 1})
	next.equal("shared", next.Shared(), false)
	next.equal("suspended", next.suspended(), "acme/kept.tgz 5")
	if _, err := os.Lstat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the other's temporary file: %v", err)
	}
	if _, err := os.Lstat(mine); err != nil {
		t.Errorf("the own temporary file: %v", err)
	}
	if err := own.Seal(t.Context(), "acme/own.tgz", store.Meta{}); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(root, "uploads", "acme"))
	if err != nil || len(left) != 1 {
		t.Errorf("uploads left: %d, %v", len(left), err)
	}
}
