package vfs

import (
	"context"
	"io/fs"
	"iter"
	"path"

	"bundleup/vfs/bundle"
)

// Contents is what is inside a bundle, for those who have a Reader and no View. Names
// are as they are in the archive, relative to its root, "" for the root itself. It is a
// world of its own: no link leads out of it. Errors are those of the Reader.
type Contents struct{ Reader *bundle.Reader }

// Stat describes a name, following links.
func (c Contents) Stat(name string) (*Info, error) { return c.info(name, true) }

// Lstat describes a name, a link itself.
func (c Contents) Lstat(name string) (*Info, error) { return c.info(name, false) }

func (c Contents) info(name string, follow bool) (*Info, error) {
	i, err := lookup(c.Reader, bundle.FSName(name), follow)
	if err != nil {
		return nil, err
	}
	return insideInfo(i, path.Base(name)), nil
}

// Readlink gives a link's target, relative to the link's directory.
func (c Contents) Readlink(name string) (string, error) {
	return relative(c.Reader, bundle.FSName(name))
}

// List yields what is in a directory, sorted by name, until ctx ends.
func (c Contents) List(ctx context.Context, name string) iter.Seq2[*Info, error] {
	return func(yield func(*Info, error) bool) {
		dir, err := directory(c.Reader, bundle.FSName(name))
		if err != nil {
			yield(nil, err)
			return
		}
		for e, err := range c.Reader.List(dir) {
			var i fs.FileInfo
			if err == nil {
				i, err = e.Info()
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(insideInfo(i, bundle.RawName(i.Name())), nil) {
				return
			}
		}
	}
}

// Open opens a regular file, following links.
func (c Contents) Open(name string) (fs.File, error) {
	fsName := bundle.FSName(name)
	i, err := lookup(c.Reader, fsName, true)
	if err != nil {
		return nil, err
	}
	switch {
	case i.IsDir():
		return nil, &Error{Kind: Refused, Op: "open", Name: name, Text: "that is a directory"}
	case !i.Mode().IsRegular():
		return nil, &Error{Kind: Refused, Op: "open", Name: name, Text: "that is not a regular file"}
	}
	f, err := c.Reader.Open(fsName)
	if err == nil {
		return f, nil
	}
	at, err := enter(c.Reader, fsName)
	if err != nil {
		return nil, err
	}
	return c.Reader.Open(at)
}
