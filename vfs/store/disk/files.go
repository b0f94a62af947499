package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// files is the part of a file system that the store uses; tests put one in its
// place that fails and crashes. Names are relative to the root and use
// slashes. Errors are those of package os.
//
// What the store assumes of it: Link and Mkdir never replace; Rename within a
// directory is atomic; nothing of a file is durable before its Sync, and no
// name before a SyncDir of the directory that holds it.
type files interface {
	OpenFile(name string, flag int) (file, error)
	Mkdir(name string) error
	Link(oldname, newname string) error
	Rename(oldname, newname string) error
	Remove(name string) error
	Lstat(name string) (fs.FileInfo, error)
	SameFile(a, b fs.FileInfo) bool
	ReadDir(name string) ([]fs.DirEntry, error)
	Chtimes(name string, mtime time.Time) error
	SyncDir(name string) error
}

// file is an open file of files.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	// Lock makes the file this process's until it is closed or the process ends,
	// or says ErrLocked.
	Lock() error
	// Sync makes the file's bytes and attributes durable, SyncData the bytes
	// and what is needed to read them.
	Sync() error
	SyncData() error
	// Flush starts to write a range back, or waits until it is written. It
	// makes nothing durable.
	Flush(off, n int64, wait bool) error
}

// rootFiles is the file system below a directory.
type rootFiles struct{ root *os.Root }

func (r rootFiles) OpenFile(name string, flag int) (file, error) {
	f, err := r.root.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (r rootFiles) Mkdir(name string) error                { return r.root.Mkdir(name, dirMode) }
func (r rootFiles) Link(oldname, newname string) error     { return r.root.Link(oldname, newname) }
func (r rootFiles) Rename(oldname, newname string) error   { return r.root.Rename(oldname, newname) }
func (r rootFiles) Remove(name string) error               { return r.root.Remove(name) }
func (r rootFiles) Lstat(name string) (fs.FileInfo, error) { return r.root.Lstat(name) }
func (r rootFiles) SameFile(a, b fs.FileInfo) bool         { return os.SameFile(a, b) }

func (r rootFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := r.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// Chtimes leaves the access time alone.
func (r rootFiles) Chtimes(name string, mtime time.Time) error {
	return r.root.Chtimes(name, time.Time{}, mtime)
}

func (r rootFiles) SyncDir(name string) error { return syncAndClose(r.root.Open(name)) }

// syncAndClose syncs what an Open returned.
func syncAndClose(f *os.File, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// osFile is a file of the operating system.
type osFile struct{ *os.File }

func (f osFile) Lock() error                         { return lockFile(f.File) }
func (f osFile) SyncData() error                     { return syncData(f.File) }
func (f osFile) Flush(off, n int64, wait bool) error { return flush(f.File, off, n, wait) }
