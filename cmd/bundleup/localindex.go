package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"bundleup/vfs/bundle"
)

// maxLocalIndexes bounds the indexes that are kept in the user's cache.
const maxLocalIndexes = 64

// localIndexes keeps the indexes of local files, so that the second look at one is
// quick. A file that changes gets a new one.
type localIndexes struct {
	dir      string    // empty: none is kept
	progress io.Writer // a terminal gets a bar
}

func newLocalIndexes(progress io.Writer) *localIndexes {
	x := &localIndexes{progress: progress}
	if cache, err := os.UserCacheDir(); err == nil {
		x.dir = filepath.Join(cache, "bundleup", "indexes")
	}
	return x
}

// open opens a bundle of this machine inside.
func (x *localIndexes) open(ctx context.Context, name string) (*localBundle, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := x.inside(ctx, f)
	if err != nil {
		f.Close()
	}
	return b, err
}

func (x *localIndexes) inside(ctx context.Context, f *os.File) (*localBundle, error) {
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	kept := x.path(f.Name(), i)
	if kept != "" {
		if b, err := x.read(f, i.Size(), kept); err == nil {
			return b, nil
		}
	}
	temp, err := x.build(ctx, f, i.Size())
	if err != nil {
		return nil, err
	}
	if kept != "" && os.Rename(temp, kept) == nil {
		x.prune()
		return x.read(f, i.Size(), kept)
	}
	defer os.Remove(temp)
	return x.read(f, i.Size(), temp)
}

// path is where the index of a file is kept.
func (x *localIndexes) path(name string, i os.FileInfo) string {
	whole, err := filepath.Abs(name)
	if x.dir == "" || err != nil || os.MkdirAll(x.dir, 0o700) != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", whole, i.Size(), i.ModTime().UnixNano()))
	return filepath.Join(x.dir, hex.EncodeToString(sum[:16]))
}

func (x *localIndexes) read(f *os.File, size int64, index string) (*localBundle, error) {
	in, err := os.Open(index)
	if err != nil {
		return nil, err
	}
	i, err := in.Stat()
	if err == nil {
		var r *bundle.Reader
		if r, err = bundle.NewReader(f, size, in, i.Size(), bundle.ReaderOptions{}); err == nil {
			return &localBundle{f, in, r}, nil
		}
	}
	in.Close()
	return nil, err
}

// build makes an index in a temporary file.
func (x *localIndexes) build(ctx context.Context, f *os.File, size int64) (name string, err error) {
	temp, err := os.CreateTemp(x.dir, "making-*")
	if err != nil {
		temp, err = os.CreateTemp("", "bundleup-*")
	}
	if err != nil {
		return "", err
	}
	in := io.Reader(io.NewSectionReader(f, 0, size))
	if bar := newBar(x.progress, f.Name(), size, progressFrom); bar != nil {
		defer bar.clear()
		in = io.TeeReader(in, bar)
	}
	_, err = bundle.BuildIndex(ctx, temp, in, bundle.DefaultLimits(), bundle.BuildOptions{})
	if err = errors.Join(err, temp.Close()); err != nil {
		os.Remove(temp.Name())
		return "", err
	}
	return temp.Name(), nil
}

// prune removes the oldest of too many indexes. What cannot be removed stays.
func (x *localIndexes) prune() {
	entries, err := os.ReadDir(x.dir)
	if err != nil || len(entries) <= maxLocalIndexes {
		return
	}
	var files []os.FileInfo
	for _, e := range entries {
		if i, err := e.Info(); err == nil {
			files = append(files, i)
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return cmp.Compare(b.ModTime().UnixNano(), a.ModTime().UnixNano()) })
	for _, i := range files[min(maxLocalIndexes, len(files)):] {
		os.Remove(filepath.Join(x.dir, i.Name()))
	}
}
