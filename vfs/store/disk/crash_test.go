package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// script is a day in the life of a store. It notes what the store acknowledged
// and what it only was asked for; what is on the disk afterwards must lie
// between the two.
type script struct {
	s   *Store
	rng *rand.Rand
	ids int64

	seals   []*sealed
	uploads map[store.ID]*kept
	records map[string]*record // by key, a space, and the document's name
	dirs    []store.Key
}

// sealed is an object that was asked for.
type sealed struct {
	id    store.ID
	key   store.Key
	data  string
	docs  map[string]string
	times []time.Time // what the modification time may be
	acked bool
}

// kept is an upload that may be suspended.
type kept struct {
	data  string
	saves []int64 // offsets that may be the saved one; the first was acknowledged
	acked bool    // there was an acknowledged Save
	ended bool    // by an acknowledged Seal or Discard
	may   bool    // or perhaps by one that failed
}

// record is a document: what it may hold, "" standing for absent.
type record struct{ may []string }

func newScript(f files, rng *rand.Rand) *script {
	c := &script{rng: rng, uploads: map[store.ID]*kept{}, records: map[string]*record{}}
	s, err := open(f, Options{})
	if err != nil {
		return c
	}
	c.s = s
	return c
}

var ctx = context.Background()

// flow is one upload in the script.
type flow struct {
	c  *script
	id store.ID
	k  *kept
	w  store.Writer
}

func (c *script) create(name store.Key) *flow {
	c.ids++
	f := &flow{c: c, id: store.NewID(time.UnixMilli(c.ids)), k: &kept{}}
	c.uploads[f.id] = f.k
	w, err := c.s.Create(ctx, f.id, name)
	if err == nil {
		f.w = w
	}
	return f
}

func (f *flow) write(p string) {
	if f.w == nil {
		return
	}
	n, _ := f.w.Write([]byte(p))
	f.k.data += p[:n]
}

func state(off int64) []byte { return fmt.Appendf(nil, "state at %d", off) }

func (f *flow) save() {
	if f.w == nil {
		return
	}
	off := int64(len(f.k.data))
	if err := f.w.Save(ctx, state(off)); err != nil {
		f.k.saves = append(f.k.saves, off)
		return
	}
	f.k.saves, f.k.acked = []int64{off}, true
}

func (f *flow) discard() {
	if f.w == nil {
		return
	}
	if f.w.Discard(ctx) == nil {
		f.k.ended = true
	}
	f.k.may = true
	f.w.Close()
}

// suspend closes the writer; an upload never saved is forgotten by that.
func (f *flow) suspend() {
	if f.w != nil {
		f.w.Close()
	}
}

func (f *flow) resume() {
	w, _, off, err := f.c.s.Resume(ctx, f.id)
	f.w = nil
	if err == nil {
		f.w = w
		f.k.data = f.k.data[:off]
	}
}

// seal asks for an object until it is there, at most three times, and else
// does what a caller may do: close, discard, or resume.
func (f *flow) seal(key store.Key, docs ...string) error {
	if f.w == nil {
		return errCrashed
	}
	mtime := time.Unix(int64(1000+len(f.c.seals)), 0)
	o := &sealed{id: f.id, key: key, data: f.k.data, docs: map[string]string{}, times: []time.Time{mtime}}
	meta := store.Meta{ModTime: mtime, Docs: map[string][]byte{}}
	for _, d := range docs {
		o.docs[d] = fmt.Sprintf("%s of %s by %s", d, key, f.id)
		meta.Docs[d] = []byte(o.docs[d])
	}
	err := f.w.Seal(ctx, key, meta)
	if errors.Is(err, store.ErrExist) {
		return err
	}
	f.c.seals = append(f.c.seals, o)
	f.k.may = true
	for range f.c.rng.IntN(3) {
		if err != nil {
			err = f.w.Seal(ctx, key, meta)
		}
	}
	switch {
	case err == nil:
		o.acked, f.k.ended = true, true
	case f.c.rng.IntN(3) == 0:
		f.discard()
	case f.c.rng.IntN(2) == 0:
		f.suspend()
		f.resume()
		f.suspend()
	default:
		f.suspend()
	}
	return err
}

func (c *script) put(key store.Key, name, doc string) {
	c.note(key, name, doc, c.s.PutRecord(ctx, key, name, []byte(doc)))
}

func (c *script) removeRecord(key store.Key, name string) {
	c.note(key, name, "", c.s.RemoveRecord(ctx, key, name))
}

func (c *script) note(key store.Key, name, doc string, err error) {
	at := string(key) + " " + name
	if c.records[at] == nil {
		c.records[at] = &record{may: []string{""}}
	}
	if err == nil {
		c.records[at].may = nil
	}
	c.records[at].may = append(c.records[at].may, doc)
}

// touch sets the time of an object, whoever brought it.
func (c *script) touch(key store.Key, mtime time.Time) {
	err := c.s.Touch(ctx, key, mtime)
	for _, o := range c.seals {
		if o.key != key {
			continue
		}
		if err == nil {
			o.times = nil
		}
		o.times = append(o.times, mtime)
	}
}

func (c *script) mkdir(dir store.Key) {
	if c.s.Mkdir(ctx, dir) == nil {
		c.dirs = append(c.dirs, dir)
	}
}

// play is the script: every way an upload can go, some beside each other.
func (c *script) play() {
	if c.s == nil {
		return
	}
	a := c.create("acme/A.tgz")
	a.write("first part of A, ")
	a.save()
	b := c.create("acme/case/B.tgz")
	b.write("all of B")
	a.write("second part, ")
	a.save()
	b.seal("acme/case/B.tgz", "receipt.json")
	a.write("the end")
	a.seal("acme/A.tgz", "receipt.json", "manifest")

	d := c.create("acme/D.tgz")
	d.write("to be thrown away")
	d.save()
	d.discard()

	e := c.create("globex/.E.tgz.part")
	e.write("kept, ")
	e.save()
	e.write("lost")
	e.suspend()
	e.resume()
	e.write("kept too, ")
	e.save()
	e.write("lost too")
	e.suspend()

	c.put("acme/G.tgz", "receipt.json", "refused")
	c.put("acme/H.tgz", "receipt.json", "refused")
	c.put("acme/H.tgz", "receipt.json", "refused again")
	c.put("acme/I.tgz", "receipt.json", "refused")
	c.removeRecord("acme/I.tgz", "receipt.json")
	g := c.create("acme/G.tgz")
	g.write("sound now")
	g.seal("acme/G.tgz", "receipt.json", "manifest")

	f := c.create("acme/A.tgz")
	f.write("other bytes")
	f.save()
	if errors.Is(f.seal("acme/A.tgz", "receipt.json", "loser"), store.ErrExist) {
		f.seal("acme/A~2.tgz", "receipt.json")
	}
	c.mkdir("acme/empty/deep")
	u := c.create("acme/U.tgz")
	u.write("never saved")
	u.suspend()
	z := c.create("acme/Z.tgz")
	z.write("nothing beside it")
	z.seal("acme/Z.tgz")
	c.touch("acme/Z.tgz", time.Unix(5000, 0))
	y := c.create("acme/Y.tgz")
	y.write("still being written")
}

// check compares the disk, as a clean Open found it, with the notes.
func (c *script) check(s *Store) error {
	if r := s.Report(); r.Err != nil || r.Stuck > 0 || r.RolledBack > 0 {
		return fmt.Errorf("report: %+v", r)
	}
	objects, err := c.checkSeals(s)
	if err != nil {
		return err
	}
	if err := c.checkUploads(s, objects); err != nil {
		return err
	}
	if err := c.checkRecords(s, objects); err != nil {
		return err
	}
	for _, dir := range c.dirs {
		for _, err := range s.List(ctx, dir) {
			return fmt.Errorf("acknowledged directory: %w", err)
		}
	}
	return nil
}

// checkSeals: an acknowledged object is there, another may be, and each has
// all of its bytes and documents. It returns those that are there.
func (c *script) checkSeals(s *Store) (map[store.Key]*sealed, error) {
	objects := map[store.Key]*sealed{}
	for _, o := range c.seals {
		got, mtime, err := readObject(s, o.key)
		if errors.Is(err, fs.ErrNotExist) && !o.acked {
			continue
		}
		if err == nil {
			err = o.whole(s, got, mtime)
		}
		if err == nil {
			objects[o.key] = o
		} else if o.acked {
			return nil, err
		}
	}
	return objects, c.checkNames(s, "", objects)
}

// whole says what is wrong with an object that holds got.
func (o *sealed) whole(s *Store, got string, mtime time.Time) error {
	if !slices.ContainsFunc(o.times, mtime.Equal) {
		return fmt.Errorf("%s is from %v, want one of %v", o.key, mtime, o.times)
	}
	if got != o.data {
		return fmt.Errorf("%s holds %q, want %q", o.key, got, o.data)
	}
	for name, want := range o.docs {
		doc, err := s.Record(ctx, o.key, name)
		if err != nil || string(doc) != want {
			return fmt.Errorf("document %s of %s = %q, %v, want %q", name, o.key, doc, err, want)
		}
	}
	return nil
}

// checkNames: nothing is listed that should not be.
func (c *script) checkNames(s *Store, dir store.Key, objects map[store.Key]*sealed) error {
	for info, err := range s.List(ctx, dir) {
		switch {
		case err != nil:
			return err
		case info.Dir:
			if err := c.checkNames(s, info.Key, objects); err != nil {
				return err
			}
		case objects[info.Key] == nil:
			return fmt.Errorf("%s is there, but not as anybody asked for it", info.Key)
		}
	}
	return nil
}

func readObject(s *Store, key store.Key) (string, time.Time, error) {
	o, err := s.Open(ctx, key)
	if err != nil {
		return "", time.Time{}, err
	}
	defer o.Close()
	b, err := io.ReadAll(io.NewSectionReader(o, 0, o.Info().Size))
	return string(b), o.Info().ModTime, err
}

// checkUploads: an acknowledged Save can be resumed, or a later one, unless
// the upload has ended; what has ended does not come back.
func (c *script) checkUploads(s *Store, objects map[store.Key]*sealed) error {
	there := map[store.ID]bool{}
	for u, err := range s.Suspended(ctx) {
		if err != nil {
			return err
		}
		there[u.ID] = true
	}
	for _, o := range objects {
		if there[o.id] {
			return fmt.Errorf("%s is sealed and its upload suspended", o.key)
		}
	}
	for id, k := range c.uploads {
		switch {
		case there[id] && k.ended:
			return fmt.Errorf("upload %s (%q) came back", id, k.data)
		case there[id]:
			if err := c.checkResume(s, id, k); err != nil {
				return err
			}
		case k.acked && !k.may:
			return fmt.Errorf("upload %s (%q) is lost", id, k.data)
		}
	}
	return nil
}

func (c *script) checkResume(s *Store, id store.ID, k *kept) error {
	w, got, off, err := s.Resume(ctx, id)
	if err != nil {
		return err
	}
	defer w.Close()
	if !slices.Contains(k.saves, off) || string(got) != string(state(off)) {
		return fmt.Errorf("upload %s resumes at %d with %q, want one of %d", id, off, got, k.saves)
	}
	b := make([]byte, off)
	if _, err := w.(*writer).f.ReadAt(b, 0); err != nil && err != io.EOF {
		return err
	}
	if !strings.HasPrefix(k.data, string(b)) {
		return fmt.Errorf("upload %s holds %q, want a prefix of %q", id, b, k.data)
	}
	return nil
}

// checkRecords: documents that no object brought are what they may be.
func (c *script) checkRecords(s *Store, objects map[store.Key]*sealed) error {
	for at, r := range c.records {
		key, name, _ := strings.Cut(at, " ")
		if o := objects[store.Key(key)]; o != nil && o.docs[name] != "" {
			continue
		}
		doc, err := s.Record(ctx, store.Key(key), name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !slices.Contains(r.may, string(doc)) {
			return fmt.Errorf("record %s = %q, want one of %q", at, doc, r.may)
		}
	}
	return nil
}

// checkLitter: the disk holds nothing that no one can name.
func (c *script) checkLitter(s *Store, f *crashFS, objects map[store.Key]*sealed) error {
	var litter []string
	walk(f.root, "", func(name string) {
		if !c.expected(s, name, objects) {
			litter = append(litter, name)
		}
	})
	if len(litter) > 0 {
		return fmt.Errorf("litter: %q", litter)
	}
	return nil
}

func (c *script) expected(s *Store, name string, objects map[store.Key]*sealed) bool {
	top, rest, _ := strings.Cut(name, "/")
	switch top {
	case bundlesDir:
		return objects[store.Key(rest)] != nil
	case recordsDir:
		key, doc := store.Key(rest).Dir(), store.Key(rest).Base()
		if o := objects[key]; o != nil && o.docs[doc] != "" {
			return true
		}
		return c.records[string(key)+" "+doc] != nil
	}
	_, rest, _ = strings.Cut(rest, "/")
	id, base, _ := strings.Cut(rest, "/")
	return s.uploads[store.ID(id)] != nil && (base == dataName || base == nameName || base == stateName)
}

// walk calls f with every file, and with directories of uploads as such.
func walk(n *inode, name string, f func(string)) {
	if !n.dir || strings.Count(name, "/") == 2 && strings.HasPrefix(name, uploadsDir) {
		if len(n.entries) > 0 || !n.dir {
			for base := range n.entries {
				f(name + "/" + base)
			}
		}
		if !n.dir || len(n.entries) == 0 {
			f(name)
		}
		return
	}
	for base, child := range n.entries {
		walk(child, strings.TrimPrefix(name+"/"+base, "/"), f)
	}
}

// verify opens the disk and checks all of it.
func (c *script) verify(f *crashFS) error {
	s, err := open(f, Options{})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := c.check(s); err != nil {
		return err
	}
	objects, err := c.checkSeals(s)
	if err != nil {
		return err
	}
	return c.checkLitter(s, f, objects)
}

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
	f := newCrashFS()
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
			f := newCrashFS()
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
			f := newCrashFS()
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
			f := newCrashFS()
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
