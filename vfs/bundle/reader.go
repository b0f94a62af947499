package bundle

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
)

// Reader reads inside a bundle through its index: any file, at any place, without
// inflating what comes before it. It is an fs.FS of what unpacking the archive
// would leave; see Open.
//
// Neither the archive nor the index is trusted. Nothing is handed out before the
// checksum of the MiB of the unpacked stream that it lies in was found right: a
// *DamageError says that the archive is not what it was, an *IndexError that the
// index is of no use. Whatever they hold, memory stays bounded and every
// iteration ends.
//
// A Reader is safe for concurrent use if the two ReaderAt are. What it inflated
// stays in the Cache, and up to four decoders (400 KiB each) stay where they
// stopped, so that reading on does not go back to a checkpoint.
type Reader struct {
	archive io.ReaderAt
	size    int64
	index   io.ReaderAt
	header  indexHeader
	footer  indexFooter
	points  int64
	cache   *Cache

	mu     sync.Mutex // guards what follows; never held while reading
	busy   map[int64]*turn
	idle   []*unroller
	closed bool
}

// ReaderOptions are those of NewReader.
type ReaderOptions struct {
	// Cache holds what was inflated; nil stands for 32 MiB of the Reader's own.
	Cache *Cache
}

// DamageError says that an archive does not hold what it held when its index was
// made.
type DamageError struct {
	// Offset is a place in the unpacked stream: damage lies in the MiB that
	// begins there.
	Offset int64
	Reason string
	Err    error // the cause below, may be nil
}

func (e *DamageError) Error() string {
	s := fmt.Sprintf("read bundle: unpacked byte %d: %s", e.Offset, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// NewReader opens an archive of size bytes through its index of indexSize bytes.
// It reads the ends of the index and nothing else, and closes nothing. The error
// is an *IndexError.
func NewReader(archive io.ReaderAt, size int64, index io.ReaderAt, indexSize int64, o ReaderOptions) (*Reader, error) {
	if indexSize < int64(headerLen+footerLen) {
		return nil, badIndex("it is cut short")
	}
	r := &Reader{archive: archive, size: size, index: index, cache: o.Cache, busy: map[int64]*turn{}}
	b := make([]byte, max(headerLen, footerLen))
	if err := r.readIndex(b[:headerLen], 0); err != nil {
		return nil, err
	}
	if err := r.header.parse(b[:headerLen]); err != nil {
		return nil, err
	}
	if err := r.readIndex(b[:footerLen], indexSize-int64(footerLen)); err != nil {
		return nil, err
	}
	if err := r.footer.parse(b[:footerLen], indexSize); err != nil {
		return nil, err
	}
	m := r.header.manifest
	points, chunks := r.footer.sections[pointSection].length, r.footer.sections[chunkSection].length
	r.points = points / pointLen
	switch {
	case m.Size != size:
		return nil, badIndex("it is of another archive")
	case points%pointLen != 0 || r.points == 0 || chunks%chunkEntry != 0 || chunks/chunkEntry != (m.Unpacked+chunkLen-1)/chunkLen:
		return nil, badIndex("the sections are out of range")
	}
	if r.cache == nil {
		r.cache = NewCache(32 << 20)
	}
	return r, nil
}

// Close gives back the memory that the Reader has in its cache. It must not be
// used any more.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.idle, r.closed = nil, true
	r.mu.Unlock()
	r.cache.forget(r)
	return nil
}

// Manifest describes the archive as the check found it.
func (r *Reader) Manifest() Manifest { return r.header.manifest }

// Digest is the SHA-256 of the archive, or nil if it was not known.
func (r *Reader) Digest() []byte { return slices.Clone(r.header.digest) }

// readIndex reads all of b.
func (r *Reader) readIndex(b []byte, at int64) error {
	if err := readFull(r.index, b, at); err != nil {
		return &IndexError{"it cannot be read", err}
	}
	return nil
}

// Verify reads the whole index and compares its checksums. The error is an
// *IndexError, or that of ctx.
func (r *Reader) Verify(ctx context.Context) error {
	for s := range sectionCount {
		if err := r.verify(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) verify(ctx context.Context, s section) error {
	e := r.footer.sections[s]
	b := make([]byte, 64<<10)
	sum := uint32(0)
	for at, end := e.offset, e.offset+e.length; at < end; {
		b = b[:min(int64(len(b)), end-at)]
		if err := r.readIndex(b, at); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		sum = crc32.Update(sum, crc32.IEEETable, b)
		at += int64(len(b))
	}
	if sum != e.crc {
		return badIndex("section " + sectionNames[s] + " is damaged")
	}
	return nil
}

// chunkAt gives the checksum of a chunk and the number of the checkpoint to read
// it from.
func (r *Reader) chunkAt(n int64) (crc uint32, point int64, err error) {
	var b [chunkEntry]byte
	if err := r.readIndex(b[:], r.footer.sections[chunkSection].offset+n*chunkEntry); err != nil {
		return 0, 0, err
	}
	point = int64(binary.LittleEndian.Uint32(b[4:]))
	if point >= r.points {
		return 0, 0, badIndex("a chunk has no checkpoint")
	}
	return binary.LittleEndian.Uint32(b[:]), point, nil
}

// pointAt reads a checkpoint.
func (r *Reader) pointAt(n int64) (p point, err error) {
	var b [pointLen]byte
	if err = r.readIndex(b[:], r.footer.sections[pointSection].offset+n*pointLen); err == nil {
		err = p.parse(b[:])
	}
	if err == nil && (p.out > r.header.manifest.Unpacked || p.bits/8 > r.size) {
		err = badIndex("a checkpoint is out of range")
	}
	return p, err
}

// chunks is how many chunks the unpacked stream has.
func (r *Reader) chunks() int64 { return (r.header.manifest.Unpacked + chunkLen - 1) / chunkLen }

// chunkSize is the length of a chunk: chunkLen but for the last.
func (r *Reader) chunkSize(n int64) int {
	return int(min(r.header.manifest.Unpacked-n*chunkLen, chunkLen))
}
