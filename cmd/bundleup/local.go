package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

const insideExt = ".tgz.d"

// localFiles are the files of this machine, and what is inside those that are bundles:
// FILE.tgz.d. It implements inside.FS, vfs.Linker and vfs.Bundler. It is used by one
// command, one at a time but for what is done with open files and Readers.
type localFiles struct {
	indexes *localIndexes
	open    map[string]*localBundle // by the name of the file
}

type localBundle struct {
	file  *os.File
	index *os.File
	*bundle.Reader
}

func newLocalFiles(x *localIndexes) *localFiles {
	return &localFiles{indexes: x, open: map[string]*localBundle{}}
}

func (l *localFiles) close() {
	for _, b := range l.open {
		b.Reader.Close()
		b.index.Close()
		b.file.Close()
	}
}

// cut finds the bundle that a name leads into. A directory that exists is what it is.
func (l *localFiles) cut(name string) (file, sub string, ok bool) {
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		head := name[:i]
		if len(head) <= len(insideExt) || !strings.EqualFold(head[len(head)-len(insideExt):], insideExt) {
			continue
		}
		if _, err := os.Stat(head); errors.Is(err, fs.ErrNotExist) {
			return head[:len(head)-len(".d")], strings.Trim(name[i:], "/"), true
		}
	}
	return "", "", false
}

// Bundle implements vfs.Bundler.
func (l *localFiles) Bundle(ctx context.Context, name string) (*bundle.Reader, func(), error) {
	b := l.open[name]
	if b == nil {
		var err error
		if b, err = l.indexes.open(ctx, name); err != nil {
			return nil, nil, told(name, err)
		}
		l.open[name] = b
	}
	return b.Reader, func() {}, nil
}

func (l *localFiles) contents(ctx context.Context, file string) (vfs.Contents, error) {
	r, _, err := l.Bundle(ctx, file)
	return vfs.Contents{Reader: r}, err
}

// Stat implements inside.FS.
func (l *localFiles) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	file, sub, ok := l.cut(name)
	if !ok {
		i, err := os.Stat(name)
		return i, told(name, err)
	}
	c, err := l.contents(ctx, file)
	if err != nil {
		return nil, err
	}
	i, err := c.Stat(sub)
	return i, told(name, err)
}

// Lstat implements vfs.Linker.
func (l *localFiles) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	file, sub, ok := l.cut(name)
	if !ok {
		i, err := os.Lstat(name)
		return i, told(name, err)
	}
	c, err := l.contents(ctx, file)
	if err != nil {
		return nil, err
	}
	i, err := c.Lstat(sub)
	return i, told(name, err)
}

// Readlink implements vfs.Linker.
func (l *localFiles) Readlink(ctx context.Context, name string) (string, error) {
	file, sub, ok := l.cut(name)
	if !ok {
		to, err := os.Readlink(name)
		return to, told(name, err)
	}
	c, err := l.contents(ctx, file)
	if err != nil {
		return "", err
	}
	to, err := c.Readlink(sub)
	return to, told(name, err)
}

// List implements inside.FS.
func (l *localFiles) List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		if file, sub, ok := l.cut(dir); ok {
			c, err := l.contents(ctx, file)
			if err != nil {
				yield(nil, err)
				return
			}
			for i, err := range c.List(ctx, sub) {
				if !yield(i, told(dir, err)) {
					return
				}
			}
			return
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			yield(nil, told(dir, err))
			return
		}
		for _, e := range entries {
			i, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if !yield(i, told(filepath.Join(dir, e.Name()), err)) {
				return
			}
		}
	}
}

// Open implements inside.FS.
func (l *localFiles) Open(ctx context.Context, name string) (vfs.File, error) {
	file, sub, ok := l.cut(name)
	if !ok {
		f, err := os.Open(name)
		return f, told(name, err)
	}
	c, err := l.contents(ctx, file)
	if err != nil {
		return nil, err
	}
	f, err := c.Open(sub)
	if err != nil {
		return nil, told(name, err)
	}
	at, ok := f.(io.ReaderAt)
	if !ok {
		f.Close()
		return nil, told(name, fs.ErrInvalid)
	}
	return localFile{f, at}, nil
}

type localFile struct {
	fs.File
	io.ReaderAt
}

// told words an error for the person at this machine, from whom nothing is hidden.
func told(name string, err error) error {
	var ours *vfs.Error
	var p *fs.PathError
	var r *bundle.Rejection
	switch {
	case err == nil, errors.As(err, &ours), errors.As(err, &r), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return &vfs.Error{Kind: vfs.NotExist, Op: "open", Name: name, Text: "no such file or directory", Err: err}
	case errors.As(err, &p):
		return &vfs.Error{Kind: vfs.Refused, Op: "open", Name: name, Text: p.Err.Error(), Err: err}
	}
	return &vfs.Error{Kind: vfs.Refused, Op: "open", Name: name, Text: fmt.Sprint(err), Err: err}
}
