package inside

import (
	"io"
	"io/fs"
	"iter"
	"path"
	"strings"

	"bundleup/vfs/bundle"
)

// spanSize is how much of a bundle one job searches at least, in bytes: enough that
// starting a decoder does not count.
const spanSize = 4 << 20

// plan cuts a search through a bundle into jobs.
type plan struct {
	*grep
	r    *bundle.Reader
	root string // the name of the bundle's inside, with a slash
	sub  string // what is searched below it
	err  error
}

// target finds what sub is: nil for a directory. direct is false where a link is on
// the way, or sub is a file that is not stored under its own name.
func (p *plan) target() (file *bundle.Entry, direct bool) {
	if p.sub == "" {
		return nil, true
	}
	name := bundle.FSName(p.sub)
	for at := name; at != "."; at = path.Dir(at) {
		i, err := p.r.Lstat(at)
		if err != nil || i.Mode().Type() == fs.ModeSymlink {
			return nil, false
		}
		if at == name && !i.IsDir() {
			e, ok := i.Sys().(*bundle.Entry)
			if !ok || e.Type != bundle.TypeFile {
				return nil, false
			}
			file = e
		}
	}
	return file, true
}

// one plans the search through one file.
func (p *plan) one(e *bundle.Entry) {
	p.spans(func(yield func(*bundle.Entry, error) bool) { yield(e, nil) })
}

// all plans the search through everything below sub.
func (p *plan) all() { p.spans(p.r.Entries(0)) }

// spans makes a job of every span that holds something to be searched.
func (p *plan) spans(entries iter.Seq2[*bundle.Entry, error]) {
	next, stop := iter.Pull2(p.files(entries))
	defer stop()
	f, err, ok := next()
	for span, serr := range p.r.Spans(spanSize) {
		if serr != nil || err != nil || !ok || p.ctx.Err() != nil {
			p.err = firstError(serr, err)
			return
		}
		j := &job{name: p.root, reader: p.r}
		for ; ok && err == nil && f.start < span.End; f, err, ok = next() {
			if f.sparse {
				p.sparse(f)
				continue
			}
			j.pieces = append(j.pieces, piece{f, max(f.start, span.Offset), min(f.end, span.End)})
			if f.end > span.End {
				break
			}
		}
		if len(j.pieces) > 0 {
			p.send(j)
		}
	}
	p.err = err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sparse searches a file that is stored in parts.
func (p *plan) sparse(f *searched) {
	name := bundle.FSName(strings.TrimPrefix(f.name, p.root))
	i, err := p.r.Stat(name)
	if err != nil || !f.alive() {
		return
	}
	whole := &searched{name: f.name, end: i.Size(), alive: f.alive}
	p.send(&job{name: f.name, pieces: []piece{{whole, 0, i.Size()}}, open: func() (io.ReadCloser, error) {
		file, err := p.r.Open(name)
		return file, err
	}})
}

// files are the entries that are to be searched.
func (p *plan) files(entries iter.Seq2[*bundle.Entry, error]) iter.Seq2[*searched, error] {
	return func(yield func(*searched, error) bool) {
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Type != bundle.TypeFile {
				continue
			}
			name := bundle.FSName(string(e.Name))
			raw := bundle.RawName(name)
			if p.sub != "" && raw != p.sub && !strings.HasPrefix(raw, p.sub+"/") {
				continue
			}
			f := &searched{name: p.root + raw, start: e.Offset, end: e.Offset + e.Size, sparse: e.Sparse}
			f.alive = func() bool { return p.living(name, f.start) }
			if !yield(f, nil) {
				return
			}
		}
	}
}

// living says that the entry whose data begins at offset is what unpacking leaves
// under its name: a later one of the same name replaces it.
func (p *plan) living(name string, offset int64) bool {
	i, err := p.r.Lstat(name)
	if err != nil {
		return false
	}
	e, ok := i.Sys().(*bundle.Entry)
	return ok && e != nil && e.Offset == offset
}
