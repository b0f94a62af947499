package vfs

import (
	"context"
	"io/fs"
	"iter"
)

// denyAll is a View that allows nothing. A view embeds it and overrides what its
// role may do, so that everything else, and every new operation, is denied.
type denyAll struct{}

func (denyAll) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	return nil, denied("stat", name)
}

func (denyAll) List(_ context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) { yield(nil, denied("list", dir)) }
}

func (denyAll) Open(_ context.Context, name string) (File, error) { return nil, denied("open", name) }

func (denyAll) Create(_ context.Context, name string, _ Flags) (*Upload, error) {
	return nil, denied("create", name)
}

func (denyAll) Rename(_ context.Context, from, _ string) error { return denied("rename", from) }

func (denyAll) Remove(_ context.Context, name string) error { return denied("remove", name) }

func (denyAll) Mkdir(_ context.Context, name string) error { return denied("mkdir", name) }

func denied(op, name string) error {
	return &Error{Kind: Denied, Op: op, Name: name, Text: "this account may not do that"}
}

func missing(op, name string) error {
	return &Error{Kind: NotExist, Op: op, Name: name, Text: "no such file or directory"}
}
