package vfs

import (
	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// journalDoc is what the check of an upload recorded, beside the bundle, until an
// index is made of it.
const journalDoc = "journal"

// newCheck makes a check that records what an index is made from.
func (t *Tree) newCheck(l bundle.Limits) *bundle.Check {
	c := bundle.NewCheck(l)
	c.Record(bundle.IndexOptions{Tracers: &t.tracers})
	return c
}

// recording moves what a check records to the aside of its upload's Writer.
// Whatever fails in it costs a fast start and nothing else: an index that cannot
// be made from a journal is made from the bundle, at its first use.
type recording struct {
	check *bundle.Check
	aside store.AsideWriter // nil: nothing is kept
	buf   []byte
}

// record begins, or goes on where the aside is as long as the check remembers.
func record(w store.Writer, c *bundle.Check) *recording {
	r := &recording{check: c}
	if a, ok := w.(store.AsideWriter); ok && c.Recording() && a.AsideSize() == c.IndexSize() {
		r.aside = a
	}
	return r
}

// drain moves what there is. It is called after every write to the check, and
// before its state is saved.
func (r *recording) drain() {
	r.buf = r.check.Index(r.buf[:0])
	r.put()
}

// end closes the journal of a stream that was found sound.
func (r *recording) end() {
	r.buf = r.check.IndexEnd(r.check.Index(r.buf[:0]))
	r.put()
}

func (r *recording) put() {
	if r.aside == nil || len(r.buf) == 0 {
		return
	}
	if r.aside.WriteAside(r.buf) != nil {
		r.aside = nil // it is lost, and Seal will not publish it
	}
}

// Write drains; it stands behind the check in an io.MultiWriter.
func (r *recording) Write(p []byte) (int, error) {
	r.drain()
	return len(p), nil
}
