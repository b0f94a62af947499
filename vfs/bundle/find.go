package bundle

import (
	"bytes"
	"fmt"
	"io/fs"
	"iter"
)

// The bounds of links that lead to links.
const (
	maxSymlinks  = 40
	maxHardLinks = 100
)

// found is an entry with the path that it has when it is unpacked.
type found struct {
	path []byte
	made bool // up: the archive has no entry for it
	Entry
}

// newFound parses a value, which it keeps nothing of.
func newFound(path, value []byte) (*found, error) {
	f := &found{path: path}
	made, err := parseEntry(bytes.Clone(value), path, &f.Entry)
	f.made = made
	return f, err
}

// get looks a clean path up: what its latest entry says, or nil.
func (r *Reader) get(path []byte) (*found, error) {
	key := appendKey(nil, path)
	c, err := r.seek(r.footer.tree, treeSection, key)
	if err != nil {
		return nil, err
	}
	k, value, err := c.next()
	if err != nil || !bytes.Equal(k, key) {
		return nil, err
	}
	return newFound(path, value)
}

// getBefore looks up what a path was when the entry whose header begins at an
// offset came.
func (r *Reader) getBefore(path []byte, header int64) (*found, error) {
	f, err := r.get(path)
	if f == nil || err != nil || f.Header < header {
		return f, err
	}
	key := appendKey(nil, path)
	c, err := r.seek(r.footer.tree, treeSection, appendVersion(bytes.Clone(key), header-1))
	if err != nil {
		return nil, err
	}
	k, value, err := c.next()
	if err != nil || len(k) != len(key)+versionLen || !bytes.HasPrefix(k, append(key, 0)) {
		return nil, err
	}
	if f, err = newFound(path, value); err == nil && f.Header >= header {
		err = badIndex("a tree is not in order")
	}
	return f, err
}

var errLost = fmt.Errorf("the hard link leads nowhere: %w", fs.ErrNotExist)

// content finds the entry that has the content of f: for a hard link what its
// target was when the link was made. Each step leads to an earlier entry.
func (r *Reader) content(f *found) (*found, error) {
	for range maxHardLinks {
		if f.Type != TypeHardlink {
			return f, nil
		}
		next, err := r.getBefore(cleanPath(nil, f.Linkname), f.Header)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return nil, errLost
		}
		f = next
	}
	return nil, fmt.Errorf("too many hard links: %w", fs.ErrInvalid)
}

// find looks a clean path up, through the symbolic links on its way, and through
// one at its end if follow is set.
func (r *Reader) find(path []byte, follow bool) (*found, error) {
	// Nothing in a bundle lies below a symbolic link: mostly one look will do,
	// or two for what is not there.
	f, err := r.get(path)
	if err != nil || f != nil && (f.Type != TypeSymlink || !follow) {
		return f, err
	}
	if f == nil {
		dir, _ := parentOf(path)
		if d, err := r.get(dir); err != nil || d != nil && d.Type != TypeSymlink {
			return nil, err
		}
	}
	w := walk{r: r, todo: path}
	return w.run(follow)
}

// walk goes along a path, a component at a time.
type walk struct {
	r    *Reader
	at   []byte // the clean path so far
	todo []byte
	hops int
}

var errOutside = fmt.Errorf("the link leads out of the bundle: %w", fs.ErrNotExist)

func (w *walk) run(follow bool) (*found, error) {
	f, err := w.r.get(nil)
	for err == nil {
		c, end := component(w.todo, 0)
		if c == nil {
			return f, nil
		}
		w.todo = w.todo[end:]
		if f, err = w.step(c, follow); err == nil && f == nil {
			err = fs.ErrNotExist
		}
	}
	return nil, err
}

// step goes along one component.
func (w *walk) step(c []byte, follow bool) (*found, error) {
	if bytes.Equal(c, dotdot) {
		if len(w.at) == 0 {
			return nil, errOutside
		}
		dir, _ := parentOf(w.at)
		w.at = bytes.Clone(dir)
		return w.r.get(w.at)
	}
	path := cleanPath(nil, append(append(bytes.Clone(w.at), '/'), c...))
	f, err := w.r.get(path)
	last, _ := component(w.todo, 0)
	switch {
	case err != nil || f == nil:
		return f, err
	case f.Type != TypeSymlink && f.Type != TypeDir && last != nil:
		return nil, fs.ErrNotExist
	case f.Type != TypeSymlink || last == nil && !follow:
		w.at = path
		return f, nil
	}
	if w.hops++; w.hops > maxSymlinks {
		return nil, fmt.Errorf("too many symbolic links: %w", fs.ErrInvalid)
	}
	if len(f.Linkname) == 0 || f.Linkname[0] == '/' {
		return nil, errOutside
	}
	w.todo = append(append(bytes.Clone(f.Linkname), '/'), w.todo...)
	return w.r.get(w.at)
}

// children goes through what a directory has, each name once, by raw names.
func (r *Reader) children(dir []byte) iter.Seq2[*found, error] {
	return func(yield func(*found, error) bool) {
		prefix := append(bytes.Clone(dir), 0)
		c, err := r.seek(r.footer.tree, treeSection, prefix)
		for err == nil {
			var k, value []byte
			k, value, err = c.next()
			base, inside := bytes.CutPrefix(k, prefix)
			if err != nil || !inside {
				break
			}
			if len(base) == 0 || bytes.IndexByte(base, 0) >= 0 {
				continue // the top itself, or an entry that a later one replaced
			}
			var f *found
			if f, err = newFound(joinPath(dir, base), value); err == nil && !yield(f, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func joinPath(dir, base []byte) []byte {
	if len(dir) == 0 {
		return bytes.Clone(base)
	}
	return append(append(bytes.Clone(dir), '/'), base...)
}

// Tree goes through all that unpacking the archive leaves, directories that it
// has no entries for included: directory by directory, each by names, the top
// first. The Entry's Name is the clean path; it is valid for one step.
func (r *Reader) Tree() iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		c, err := r.seek(r.footer.tree, treeSection, nil)
		for err == nil {
			var k, value []byte
			k, value, err = c.next()
			if err != nil || k == nil {
				break
			}
			dir, base, ok := bytes.Cut(k, []byte{0})
			if !ok || bytes.IndexByte(base, 0) >= 0 {
				continue
			}
			path := joinPath(dir, base)
			var f *found
			if f, err = newFound(path, value); err != nil {
				break
			}
			if f.Name = path; !yield(&f.Entry, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Entries goes through the entries in the order of the archive, beginning with
// the first whose data ends behind the unpacked offset from, or with the one
// before it. Directories without an entry are not among them, entries that later
// ones replace are. The Entry is valid for one step.
func (r *Reader) Entries(from int64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		c, err := r.seekEntry(from)
		var e Entry
		for err == nil {
			var k, value []byte
			k, value, err = c.next()
			if err != nil || k == nil {
				break
			}
			if _, err = parseEntry(value, nil, &e); err == nil && !yield(&e, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// seekEntry finds the last entry whose header does not begin behind an offset.
func (r *Reader) seekEntry(from int64) (*treeCursor, error) {
	root := r.footer.manifest
	c, err := r.seek(root, manifestSection, manifestKey(0))
	if err != nil || from <= 0 {
		return c, err
	}
	last, err := r.lastKey(from)
	if err != nil || last == nil {
		return c, err
	}
	return r.seek(root, manifestSection, last)
}

// lastKey gives the greatest key of the manifest that is not behind an offset.
func (r *Reader) lastKey(from int64) ([]byte, error) {
	root, key := r.footer.manifest, manifestKey(from)
	if root.length == 0 {
		return nil, nil
	}
	ref := root.blockRef
	for level := 0; ; level++ {
		b, err := r.block(ref, manifestSection)
		if err != nil {
			return nil, err
		}
		p := blockPos{b: b}
		if level < root.depth {
			if ref, err = seekInner(&p, key); err != nil {
				return nil, err
			}
			continue
		}
		var last []byte
		for {
			_, more, err := p.next()
			if err != nil || !more || bytes.Compare(p.key, key) > 0 {
				return last, err
			}
			last = append(last[:0], p.key...)
		}
	}
}
