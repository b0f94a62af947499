package bundle

import "time"

// Manifest describes a bundle that was found sound.
type Manifest struct {
	Entries  int64 // tar entries, extension headers not counted
	Unpacked int64 // bytes of the tar stream, end marker and padding included
	Members  int64 // gzip members
	Size     int64 // compressed bytes, zero padding behind the last member included
}

// Progress is how far a Check has come.
type Progress struct {
	Size     int64 // compressed bytes taken
	Unpacked int64 // bytes of the tar stream walked
	Entries  int64 // entries whose header was found sound
	Members  int64 // gzip members begun
}

// Type is the kind of a tar entry.
type Type uint8

// The types. Vendor is any type that POSIX leaves to implementations: it is
// skipped by its size, and some unpackers make a file of it.
const (
	TypeFile Type = iota + 1
	TypeDir
	TypeSymlink
	TypeHardlink
	TypeFIFO
	TypeLabel // a GNU volume label: nothing that is unpacked
	TypeVendor
)

// Entry describes one entry of the archive. Its names are as they are in the
// archive, in no particular encoding.
type Entry struct {
	Name     []byte // as it counts: long names, PAX and sparse names resolved
	Linkname []byte // target of a symlink or a hard link
	Type     Type
	Sparse   bool  // Size bytes hold a part of RealSize bytes; the rest is zero
	Size     int64 // bytes stored in the archive, a PAX 1.0 sparse map included
	RealSize int64 // bytes of the file when unpacked
	Mode     uint32
	ModTime  time.Time
	Offset   int64 // of the stored bytes, in the unpacked stream
	Header   int64 // of the first header block, extension headers included

	implied int // directories that the name is the first to stand for
}
