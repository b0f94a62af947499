package vfs

import (
	"io/fs"
	"time"
)

// What each kind of file shows as its mode. Nothing enforces these bits; they
// tell a client's user what he may do.
const (
	modeDir      = fs.ModeDir | 0o755 // a customer's directory
	modeReadDir  = fs.ModeDir | 0o555 // one that the account cannot write to
	modeBundle   = 0o444
	modeUpload   = 0o644
	modeReadOnly = 0o444
)

// Info is the fs.FileInfo of everything a View shows.
type Info struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
	sys  any
}

// Name is the last component.
func (i *Info) Name() string { return i.name }

// Size is in bytes.
func (i *Info) Size() int64 { return i.size }

// Mode has the type and what the account may do with it.
func (i *Info) Mode() fs.FileMode { return i.mode }

// ModTime is the client's, where it sent one, else the time of acceptance.
func (i *Info) ModTime() time.Time { return i.time }

// IsDir reports a directory.
func (i *Info) IsDir() bool { return i.mode.IsDir() }

// Sys is the *bundle.Entry of what is inside a bundle, nil for all else and for
// directories that an archive only implies.
func (i *Info) Sys() any { return i.sys }

// IsUnfinished reports whether i describes an upload that is running or
// suspended: its size is what has come so far.
func IsUnfinished(i fs.FileInfo) bool {
	u, ok := i.(*Info)
	return ok && u.mode == modeUpload
}
