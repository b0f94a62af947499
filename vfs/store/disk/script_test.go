package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
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
	lost  bool // its aside, which therefore may be absent
}

// asideDoc is what every object's aside becomes.
const asideDoc = "index"

// asideOf is what the script writes aside of data.
func asideOf(data string) string { return strings.ToUpper(data) }

// kept is an upload that may be suspended.
type kept struct {
	data  string
	saves []int64 // offsets that may be the saved one; the first was acknowledged
	acked bool    // there was an acknowledged Save
	ended bool    // by an acknowledged Seal or Discard
	may   bool    // or perhaps by one that failed
	lost  bool    // its aside
	late  int64   // the offset from which on there is an aside
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
	if int64(len(f.k.data)) > f.k.late {
		f.aside().WriteAside([]byte(asideOf(p[:n])))
	}
	f.look()
}

func (f *flow) aside() store.AsideWriter { return f.w.(store.AsideWriter) }

// look notes whether the aside is lost.
func (f *flow) look() { f.k.lost = f.k.lost || f.aside().AsideSize() < 0 }

func state(off int64) []byte { return fmt.Appendf(nil, "state at %d", off) }

func (f *flow) save() {
	if f.w == nil {
		return
	}
	off := int64(len(f.k.data))
	err := f.w.Save(ctx, state(off))
	f.look()
	if err != nil {
		f.k.saves = append(f.k.saves, off)
		return
	}
	f.k.saves, f.k.acked = []int64{off}, true
}

// saveBeside asks for a save, and learn looks for what became of it.
func (f *flow) saveBeside() {
	if f.w == nil {
		return
	}
	off := int64(len(f.k.data))
	f.k.saves = append(f.k.saves, off)
	f.w.(store.BesideSaver).SaveBeside(state(off))
}

func (f *flow) learn() {
	if f.w == nil {
		return
	}
	w := f.w.(*writer)
	w.settle()
	f.look()
	if off := w.Kept(); off > 0 && off == f.k.saves[len(f.k.saves)-1] {
		f.k.saves, f.k.acked = []int64{off}, true
	}
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
		f.look()
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
	meta := store.Meta{ModTime: mtime, Docs: map[string][]byte{}, Aside: asideDoc}
	if o.data != "" {
		o.docs[asideDoc] = asideOf(o.data)
	}
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
	f.look()
	o.lost = f.k.lost
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

// stream replaces a large document, piece by piece.
func (c *script) stream(key store.Key, name, doc string) {
	c.note(key, name, doc, c.s.StreamRecord(ctx, key, name, func(w io.Writer) error {
		for _, piece := range strings.SplitAfter(doc, " ") {
			if _, err := io.WriteString(w, piece); err != nil {
				return err
			}
		}
		return nil
	}))
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
	e.k.late = int64(len("kept, "))
	e.write("kept, ")
	e.save()
	e.write("lost")
	e.suspend()
	e.resume()
	e.write("kept too, ")
	e.save()
	e.write("and more, ")
	e.save()
	e.write("lost too")
	e.suspend()

	p := c.create("acme/P.tgz")
	p.write("saved beside ")
	p.saveBeside()
	p.write("what comes meanwhile, ")
	p.write("and more")
	p.learn()
	p.saveBeside()
	p.write(", and lost")
	p.learn()
	p.suspend()

	j := c.create("globex/J.tgz") // what the janitor does
	j.write("given up")
	j.save()
	j.suspend()
	j.resume()
	j.discard()

	c.put("acme/G.tgz", "receipt.json", "refused")
	c.put("acme/H.tgz", "receipt.json", "refused")
	c.put("acme/H.tgz", "receipt.json", "refused again")
	c.put("acme/I.tgz", "receipt.json", "refused")
	c.removeRecord("acme/I.tgz", "receipt.json")
	c.stream("acme/H.tgz", asideDoc, "built anew")
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
