package store

import (
	"context"
	"errors"
	"iter"
)

// ErrReplaced says that a document was replaced while it was open for reading, on
// a medium that does not keep the old one. To open it anew reads the new one.
var ErrReplaced = errors.New("document was replaced")

// Finder is the capability of a medium that several processes share: an upload
// that one of them suspended is found by another one when its client comes back.
// All methods are safe for concurrent use.
type Finder interface {
	// Shared says that other processes may use the medium at this moment.
	Shared() bool

	// Find yields, as Suspended does and in no particular order, the uploads
	// whose name is base in dir; with an empty base all whose name lies
	// directly in dir. Those that another process has open are among them:
	// they are told as what they would be if it died now, and to resume one
	// is ErrBusy.
	Find(ctx context.Context, dir Key, base string) iter.Seq2[Suspended, error]
}

// Checkpointer is the optional capability of a Writer that takes its bytes in
// pieces and makes them durable while the next ones come. Its methods are called
// like those of the Writer.
type Checkpointer interface {
	// Due says that a piece is full and that no state was taken since: it is
	// cheap to take one now.
	Due() bool

	// Checkpoint is a Save that does not wait: state becomes durable as soon
	// as the bytes before it are. A failure shows in a later call.
	Checkpoint(state []byte) error

	// Kept is the offset of the latest durable state.
	Kept() int64
}

// BesideSaver is the optional capability of a Writer that can save while more bytes
// come. Its methods are called like those of the Writer.
type BesideSaver interface {
	// SaveBeside is a Save of what was written so far that does not wait, but for
	// one before it. A failure shows in a later call: in a Write, or where that call
	// fails for the same reason.
	SaveBeside(state []byte) error

	// Kept is the offset of the latest state that a SaveBeside made durable.
	Kept() int64
}

// Aimer is the optional capability of a Writer that has to choose early where its
// bytes go. To seal under a name that was aimed at is cheap; any other one may have
// to copy them. From its first bytes on the name may be promised to the upload: to
// seal another one under it is ErrExist, although nothing can be opened there yet.
type Aimer interface {
	// Aim says before the first Write under which names, the likeliest first,
	// the upload may be sealed. Without it that is the name of Create.
	Aim(keys ...Key)
}
