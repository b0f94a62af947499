package inside

import (
	"bytes"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"bundleup/vfs"
)

// diff is one run of the command. It goes through two directories side by side.
//
// A file has changed when its type, size, mode or link target has; where only the time
// differs its content decides, and where the time is the same it is taken to be the
// same, as rsync does.
type diff struct {
	*run
	a, b    string // the two roots
	differs bool
}

func (r *run) diff(args []string) int {
	f, err := parse(args, "rq", "")
	if err != nil {
		return r.misused(err.Error())
	}
	var roots []string
	for _, arg := range f.args {
		roots = append(roots, r.expand(arg)...)
	}
	if len(f.args) != 2 {
		return r.misused("two bundles are needed")
	}
	if len(roots) != 2 {
		return exitTrouble
	}
	d := &diff{run: r, a: inner(roots[0]), b: inner(roots[1])}
	d.directories("")
	if d.differs && !r.failed {
		return 1
	}
	return exitOK
}

// inner is what is inside, for the name of a bundle.
func inner(name string) string {
	if _, _, ok := cutInside(name); !ok && isBundle(name) {
		return name + insideExt
	}
	return name
}

// side is one of two sorted listings.
type side struct {
	next func() (fs.FileInfo, error, bool)
	stop func()
	i    fs.FileInfo // nil at the end
	err  error
}

func sideOf(seq iter.Seq2[fs.FileInfo, error]) *side {
	s := &side{}
	s.next, s.stop = iter.Pull2(seq)
	s.advance()
	return s
}

func (s *side) advance() {
	i, err, ok := s.next()
	s.i = nil
	switch {
	case !ok:
	case err != nil:
		s.err = err
	default:
		s.i = i
	}
}

// directories compares what is in the directory sub of both.
func (d *diff) directories(sub string) {
	a := sideOf(d.fsys.List(d.ctx, join(d.a, sub)))
	defer a.stop()
	b := sideOf(d.fsys.List(d.ctx, join(d.b, sub)))
	defer b.stop()
	for (a.i != nil || b.i != nil) && a.err == nil && b.err == nil && d.ctx.Err() == nil {
		switch order := compareNames(a.i, b.i); {
		case order < 0:
			d.only('-', d.a, join(sub, a.i.Name()), a.i)
			a.advance()
		case order > 0:
			d.only('+', d.b, join(sub, b.i.Name()), b.i)
			b.advance()
		default:
			d.both(join(sub, a.i.Name()), a.i, b.i)
			a.advance()
			b.advance()
		}
	}
	for root, err := range map[string]error{d.a: a.err, d.b: b.err} {
		if err != nil {
			d.complain(join(root, sub), err)
		}
	}
}

// compareNames orders two entries; one that is not there is behind all.
func compareNames(a, b fs.FileInfo) int {
	switch {
	case b == nil:
		return -1
	case a == nil:
		return 1
	}
	return strings.Compare(a.Name(), b.Name())
}

// only tells of a name, and all below it, that one side has.
func (d *diff) only(sign byte, root, sub string, i fs.FileInfo) {
	d.differs = true
	d.walkInfo(join(root, sub), i, 0, func(name string, i fs.FileInfo) {
		slash := ""
		if i.IsDir() {
			slash = "/"
		}
		d.out.printf("%c %s%s\n", sign, strings.TrimPrefix(name, join(root, "")), slash)
	})
}

// both compares a name that is on both sides.
func (d *diff) both(sub string, a, b fs.FileInfo) {
	if a.IsDir() && b.IsDir() {
		if what := d.changes(sub, a, b); what != "" {
			d.differs = true
			d.out.printf("M %s/: %s\n", sub, what)
		}
		d.directories(sub)
		return
	}
	if what := d.changes(sub, a, b); what != "" {
		d.differs = true
		d.out.printf("M %s: %s\n", sub, what)
	}
}

// changes tells what is different; nothing if that is only the time.
func (d *diff) changes(sub string, a, b fs.FileInfo) string {
	var what []string
	if ma, mb := modeOf(a), modeOf(b); ma != mb {
		what = append(what, fmt.Sprintf("mode %s -> %s", ma, mb))
	}
	switch {
	case a.Mode().Type() != b.Mode().Type():
	case a.Mode().Type() == fs.ModeSymlink:
		if ta, tb := d.target(join(d.a, sub), a), d.target(join(d.b, sub), b); ta != tb {
			what = append(what, fmt.Sprintf("link %s -> %s", ta, tb))
		}
	case a.Size() != b.Size():
		what = append(what, fmt.Sprintf("size %d -> %d", a.Size(), b.Size()))
	case a.Mode().IsRegular() && !a.ModTime().Equal(b.ModTime()) && !d.same(sub, a.Size()):
		what = append(what, "content")
	}
	return strings.Join(what, ", ")
}

// same compares the content of two files of one size.
func (d *diff) same(sub string, size int64) bool {
	a, err := d.fsys.Open(d.ctx, join(d.a, sub))
	if err != nil {
		d.complain(join(d.a, sub), err)
		return true
	}
	defer a.Close()
	b, err := d.fsys.Open(d.ctx, join(d.b, sub))
	if err != nil {
		d.complain(join(d.b, sub), err)
		return true
	}
	defer b.Close()
	same, err := equal(a, b, size)
	if err != nil {
		d.complain(sub, err)
	}
	return same || err != nil
}

func equal(a, b vfs.File, size int64) (bool, error) {
	p, q := make([]byte, min(chunk, size)), make([]byte, min(chunk, size))
	for off := int64(0); off < size; {
		n, err := readFull(a, p[:min(int64(len(p)), size-off)], off)
		if err != nil {
			return false, err
		}
		if _, err := readFull(b, q[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
		off += int64(n)
	}
	return true, nil
}
