// Package store is the promise every storage medium keeps to the rest of
// bundleup: bytes on their way in are private until they are sealed, a sealed
// object is durable, whole and never changes, and no key is ever overwritten.
//
// The package holds the interfaces, the key type and an in-memory medium.
// The media live in sub-packages (disk, s3); storetest proves the promises on
// any of them. Nothing here knows what a bundle, an account or a protocol is.
package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Sentinel errors. Every other error is an I/O failure of the medium.
// A missing key is reported as an error that wraps [io/fs.ErrNotExist].
var (
	// ErrExist says that the key to seal under is taken. The writer stays
	// usable: the caller may seal under another key, or discard.
	ErrExist = errors.New("key exists")
	// ErrFull says that the medium is out of space, inodes or quota.
	ErrFull = errors.New("storage is full")
	// ErrState says that a suspended upload's saved state is missing, torn
	// or from another version. The bytes may still be read and checked anew.
	ErrState = errors.New("saved state is unusable")
	// ErrBusy says that the upload to resume is open in another Writer, of
	// this process or of another one.
	ErrBusy = errors.New("upload is open elsewhere")
	// ErrUnavailable says that the medium did not answer, or only that it
	// cannot serve now: the same may succeed later.
	ErrUnavailable = errors.New("storage is not answering")
)

// Store keeps sealed objects. All methods are safe for concurrent use.
type Store interface {
	// Create begins a new upload. id is unique for ever and becomes part of
	// the medium's private names; name is the key the uploader used, kept so
	// that a later process can tell what a suspended upload is. Nothing is
	// visible through Open or List until the Writer is sealed.
	Create(ctx context.Context, id ID, name Key) (Writer, error)

	// Open opens a sealed object for random reads.
	Open(ctx context.Context, key Key) (Object, error)

	// List yields the immediate children of dir, sealed objects and
	// directories, sorted by name. A missing dir yields one error that wraps
	// fs.ErrNotExist. The empty key is the root. The walk stops at the first
	// error.
	List(ctx context.Context, dir Key) iter.Seq2[Info, error]

	// Mkdir makes a directory and its parents durable; one that exists is
	// fine, an object in its place is ErrExist.
	Mkdir(ctx context.Context, dir Key) error
}

// Writer is one upload on its way in. It is used by one goroutine at a time.
// After Seal, Discard and Close every method but Close fails with fs.ErrClosed.
type Writer interface {
	// Write appends. The bytes need not be durable when it returns, but the
	// medium pushes them out as they come, so that Save and Seal have only a
	// bounded rest left to sync. A failure is sticky: what was saved before
	// can be resumed, but this Writer saves and seals no more. Only after
	// ErrFull a medium may still Save the bytes that it took.
	io.Writer

	// Save makes every byte written so far durable, and then, never before,
	// state with the offset it belongs to. After a crash the upload resumes
	// at the last saved offset; the medium may hold bytes beyond it.
	Save(ctx context.Context, state []byte) error

	// Seal publishes the bytes as the object key with meta beside it: when
	// it returns nil both are durable and visible, and the upload is gone.
	// If key is taken the error wraps ErrExist and nothing has changed; the
	// object that has it can be opened, with its documents, unless its own
	// seal is one that failed and waits to be completed. Any
	// other error leaves the upload resumable or sealed, never half visible;
	// reopening the store decides which.
	Seal(ctx context.Context, key Key, meta Meta) error

	// Discard forgets the upload and its bytes.
	Discard(ctx context.Context) error

	// Close releases the writer without deciding the upload's end: what was
	// saved stays suspended, an upload that never was saved is forgotten. It
	// is a no-op after Seal or Discard.
	Close() error
}

// Resumer is the optional capability of going on with an upload in another
// process or after a crash.
type Resumer interface {
	// Suspended yields the uploads that were saved and neither sealed nor
	// discarded, in no particular order. Those that a Writer of this process
	// has open are left out.
	Suspended(ctx context.Context) iter.Seq2[Suspended, error]

	// Resume opens a suspended upload for writing at the saved offset. Bytes
	// beyond the saved state are cut off. An unusable state is ErrState; the
	// caller may then Recover, and go on or discard. An upload that is not
	// there is fs.ErrNotExist, one that a Writer has open is ErrBusy.
	Resume(ctx context.Context, id ID) (w Writer, state []byte, off int64, err error)

	// Recover opens a suspended upload whose state is unusable: r reads all
	// bytes that are on the medium, w continues behind them. A medium that
	// does not read back what is not sealed says ErrState, and the upload is
	// as it was.
	Recover(ctx context.Context, id ID) (w Writer, r io.ReadCloser, size int64, err error)
}

// Recorder keeps small documents beside keys: receipts of what was refused,
// and other records that are not part of a sealed object. Documents are
// replaced as a whole, durably. All methods are safe for concurrent use.
type Recorder interface {
	PutRecord(ctx context.Context, key Key, name string, doc []byte) error
	Record(ctx context.Context, key Key, name string) ([]byte, error)
	RemoveRecord(ctx context.Context, key Key, name string) error
	// Records yields the immediate children of dir that hold records or are
	// directories of such, sorted by name. Where there are none it yields
	// nothing, whether dir exists or not.
	Records(ctx context.Context, dir Key) iter.Seq2[RecordInfo, error]
}

// AsideWriter is the optional capability of a Writer to take a second, smaller
// stream beside its bytes, such as an index of them. The aside is expendable:
// what fails there costs the aside and never the upload.
//
// Save makes it durable with the bytes, and Resume cuts it to the length that
// belongs to the saved state; after Recover the first WriteAside begins a new
// one. Seal publishes it as the document Meta.Aside, Discard forgets it.
type AsideWriter interface {
	// WriteAside appends to the aside. A failure is sticky: the aside is lost,
	// and Save and Seal go on as if there had never been one.
	WriteAside(p []byte) error
	// AsideSize is how many bytes the aside has, -1 when it is lost.
	AsideSize() int64
}

// LargeRecorder keeps documents that are too large for memory beside those of a
// Recorder, and under the same names. All methods are safe for concurrent use.
type LargeRecorder interface {
	// OpenRecord opens a document for random reads. Replacing or removing it
	// does not disturb who has it open, or his reads fail with ErrReplaced.
	// The Info has the key that it lies beside.
	OpenRecord(ctx context.Context, key Key, name string) (Object, error)
	// StreamRecord replaces a document, durably, by all that write writes. If
	// write fails its error is returned and nothing has changed.
	StreamRecord(ctx context.Context, key Key, name string, write func(io.Writer) error) error
}

// Toucher is the optional capability of setting a sealed object's
// modification time, the one attribute that clients may send late.
type Toucher interface {
	Touch(ctx context.Context, key Key, mtime time.Time) error
}

// Spacer is the optional capability of telling how much the medium can take.
type Spacer interface {
	// Free is how many bytes are left.
	Free(ctx context.Context) (uint64, error)
}

// Eraser is the optional capability of removing what was sealed. It serves an
// operator's order to erase, and retention; nothing that a peer asks for may lead
// to it.
type Eraser interface {
	// Erase removes what is at key for good: a sealed object with all its
	// documents, documents without an object, or a directory with nothing in
	// it; one that is not empty is an error. When it returns nil all of it is
	// durably gone; after a crash or an error the object may be gone and its
	// documents not, and Erase can be called again. Objects that are open stay
	// readable, or their reads fail with fs.ErrNotExist. Where nothing is, the
	// error wraps fs.ErrNotExist.
	Erase(ctx context.Context, key Key) error
}

// Sizer is the optional capability of telling how much the medium holds in all.
type Sizer interface {
	// Size is Free plus what is taken, in bytes, by whomever.
	Size(ctx context.Context) (uint64, error)
}

// Object is a sealed object, open for reading. ReadAt is safe for concurrent
// use.
type Object interface {
	io.ReaderAt
	io.Closer
	Info() Info
}

// Meta is what is kept beside a sealed object: small documents by name, made
// visible in the same step as the object. Names are single path components.
type Meta struct {
	// ModTime is the object's modification time; zero means the time of Seal.
	ModTime time.Time
	// Docs are the documents, readable afterwards through Recorder.Record.
	Docs map[string][]byte
	// Aside is the name of the document that an AsideWriter's aside becomes;
	// empty: none. A lost or empty aside gives none either.
	Aside string
}

// Info describes an object or a directory.
type Info struct {
	Key     Key
	Size    int64 // bytes; 0 for a directory
	ModTime time.Time
	Dir     bool
}

// RecordInfo describes a key that has records.
type RecordInfo struct {
	Key Key
	// Dir says that further keys lie below; a key may be both.
	Dir bool
	// Docs are the names of the documents kept at the key, with their times.
	Docs map[string]time.Time
}

// Suspended describes an upload that can be resumed.
type Suspended struct {
	ID    ID
	Name  Key
	Size  int64 // bytes durable with the saved state
	Saved time.Time
}
