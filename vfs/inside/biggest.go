package inside

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

// Big is one of the biggest files of a bundle.
type Big struct {
	Name string // within the bundle, in no particular encoding
	Size int64  // bytes, unpacked
}

// Biggest gives the n biggest files that unpacking the bundle leaves, the biggest
// first. It reads the index once and holds n names. The FS must be a vfs.Bundler.
func Biggest(ctx context.Context, fsys FS, name string, n int) ([]Big, error) {
	b, ok := fsys.(vfs.Bundler)
	if !ok {
		return nil, &vfs.Error{Kind: vfs.Denied, Op: "read", Name: name, Text: "what is inside cannot be read here"}
	}
	r, release, err := b.Bundle(ctx, name)
	if err != nil {
		return nil, err
	}
	defer release()
	var list []Big
	for e, err := range r.Tree() {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, explained(err)
		}
		if e.Type != bundle.TypeFile || len(list) == n && e.RealSize <= list[n-1].Size {
			continue
		}
		at, _ := slices.BinarySearchFunc(list, e.RealSize, func(f Big, size int64) int { return cmp.Compare(size, f.Size) })
		list = slices.Insert(list, at, Big{string(e.Name), e.RealSize})
		list = list[:min(len(list), n)]
	}
	return list, nil
}
