package vfs

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"time"

	"bundleup/vfs/bundle"
)

// View is what one connection of one account sees and may do. There are two
// kinds: customer decides about every operation, support starts from denyAll and
// overrides what reads. Names are slash-separated and absolute ("/case-17/X.tgz");
// every method cleans them first. Methods are safe for concurrent use by all
// channels of the connection. Errors are told to the peer through Explain
// only.
type View interface {
	// Stat describes a file, a directory or an upload in progress. A missing
	// name and one that the account may not know of give the same error.
	Stat(ctx context.Context, name string) (fs.FileInfo, error)

	// List yields what is in a directory, sorted by name. It yields an error
	// once, last.
	List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error]

	// Open opens a file for reading: for support bundles and what is inside
	// them, for a customer his receipts.
	Open(ctx context.Context, name string) (File, error)

	// Create opens name for an upload. See Flags and Upload.
	Create(ctx context.Context, name string, f Flags) (*Upload, error)

	// Rename publishes a finished upload that has a temporary name.
	Rename(ctx context.Context, from, to string) error

	// Remove forgets an unfinished upload of the account's tenant.
	Remove(ctx context.Context, name string) error

	// Mkdir makes a directory, at most eight levels deep.
	Mkdir(ctx context.Context, name string) error
}

// Toucher is the optional capability of a View to keep a modification time
// that a client sends: before, during or, on the connection that sent the
// bundle, after the upload.
type Toucher interface {
	Touch(ctx context.Context, name string, mtime time.Time) error
}

// Noticer is the optional capability of a View to tell what a person should read
// beside plain success about a name that this connection published: the Notice of
// its receipt, or nothing.
type Noticer interface {
	Notice(name string) string
}

// Linker is the optional capability of a View to show symbolic links. Stat and Open
// follow them.
type Linker interface {
	// Lstat is Stat, but for a link, which it describes itself.
	Lstat(ctx context.Context, name string) (fs.FileInfo, error)
	// Readlink gives a link's target, relative to the directory that holds the
	// link, and never leading out of the bundle that the link is in.
	Readlink(ctx context.Context, name string) (string, error)
}

// Bundler is the optional capability of a View to open a bundle inside, for those
// who go through all of it. release must be called; it closes nothing that others
// use.
type Bundler interface {
	Bundle(ctx context.Context, name string) (r *bundle.Reader, release func(), err error)
}

// Announcer is the optional capability of a View to tell people what they wait for.
// to is called with a line now and then, on the goroutine of the request, until stop.
type Announcer interface {
	Announce(to func(line string)) (stop func())
}

// File is a file open for reading. ReadAt is safe for concurrent use.
type File interface {
	io.ReaderAt
	io.Closer
	Stat() (fs.FileInfo, error)
}

// Flags say how a client opens a name for an upload, as SFTP's open flags do
// (draft-ietf-secsh-filexfer-02, 6.3). They decide nothing alone: the first
// offset does, see Upload.Begin.
type Flags struct {
	Create bool // make it if it is missing; without it something must be kept
	Trunc  bool // start anew; the first write must be at offset 0
	Excl   bool // fail if the name exists
	Append bool // continue; writing at 0 over kept bytes is refused
}

// Peer says who is at the other end of a connection, for receipts and logs.
type Peer struct {
	Session  string // the connection's ID in the log
	Remote   string // address
	Client   string // software version string, sanitised
	Protocol string // "sftp", "scp", "http"
}
