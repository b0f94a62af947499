package bundle

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
)

// The journal is what a check that records puts out as it goes: an append-only
// sequence of records, in the order in which the stream shows them, and the same
// however the stream is cut into writes. Compile makes an index of it. See
// docs/index-format.md.
const journalMagic = "bundleup journal\x01"

// The tags of the journal's records.
const (
	tagEntry = 'E' // an entry whose header was found sound
	tagChunk = 'C' // the CRC of a whole chunk
	tagPoint = 'P' // a checkpoint
	tagEnd   = 'Z' // the stream's end
)

// chunkLen is how many bytes of the unpacked stream share a checksum. It is
// what a reader decodes at least: smaller ones cost more of a bundle that is
// highly compressed, of which there are 200 MiB in one.
const chunkLen = 1 << 20

// endLen is the length of the last record: tag, four numbers of 8 bytes, the
// CRC of the chunk that the end cut, the CRC of the journal up to here.
const endLen = 1 + 4*8 + 4 + 4

// IndexOptions says how densely an index is recorded.
type IndexOptions struct {
	// Span is how many unpacked bytes lie between two checkpoints at least, up to
	// 64 MiB; there is at most one in a MiB. 0 stands for 4 MiB, and from 8 GiB of
	// the unpacked stream on for 8 MiB, from 16 GiB on 16, from 48 GiB on 32.
	Span int64
	// Tracers is what several checks share; nil: this check has its own.
	Tracers *Tracers
}

// recorder keeps a check's journal and what has to be known to go on with it.
type recorder struct {
	span int64 // of the options
	free *Tracers
	out  []byte // records that nobody has taken
	size int64  // bytes that were taken
	crc  uint32 // of those

	name    []byte // of the last entry
	end     int64  // of its data, with padding
	seconds int64  // of its time

	// The chunk at hand: sum is the CRC of its bytes up to at, base that of
	// the gzip member's bytes up to there.
	sum, base uint32
	at        int64

	points
}

func newRecorder(o IndexOptions) *recorder {
	r := &recorder{span: o.Span, free: cmp.Or(o.Tracers, new(Tracers)), out: []byte(journalMagic)}
	if r.span != 0 {
		r.span = min(max(r.span, 64<<10), 64<<20)
	}
	return r
}

// Record makes the check keep a journal, from which Compile makes an index.
// Call it before the first Write or UnmarshalBinary.
//
// Its memory is what Tracers says, while a checkpoint is traced.
func (c *Check) Record(o IndexOptions) {
	c.rec = newRecorder(o)
	c.tar.rec = c.rec
}

// Recording reports whether the check keeps a journal. It does not after
// UnmarshalBinary of a state that was saved without one, nor after a rejection.
func (c *Check) Recording() bool { return c.rec != nil }

// Index appends to b the journal's bytes since the last call. Call it after
// every Write, or they pile up in memory, and before AppendBinary, which fails
// while there are some that nobody took.
func (c *Check) Index(b []byte) []byte {
	r := c.rec
	if r == nil || len(r.out) == 0 {
		return b
	}
	r.crc = crc32.Update(r.crc, crc32.IEEETable, r.out)
	r.size += int64(len(r.out))
	b = append(b, r.out...)
	r.out = r.out[:0]
	return b
}

// IndexSize is how many bytes of the journal Index has given, before a save and
// restore included. Who resumes cuts the journal to it.
func (c *Check) IndexSize() int64 {
	if c.rec == nil {
		return 0
	}
	return c.rec.size
}

// IndexEnd appends to b the record that closes the journal of a stream that ends
// here. Call it after Index and after a Finish that found the stream sound. It
// changes nothing: should more bytes come, cut the journal to IndexSize and go
// on.
func (c *Check) IndexEnd(b []byte) []byte {
	r := c.rec
	if r == nil {
		return b
	}
	from := len(b)
	b = append(b, tagEnd)
	for _, v := range []int64{c.in, c.unpacked, c.tar.entries, c.members} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	b = binary.LittleEndian.AppendUint32(b, r.sum)
	sum := crc32.Update(r.crc, crc32.IEEETable, r.out)
	return binary.LittleEndian.AppendUint32(b, crc32.Update(sum, crc32.IEEETable, b[from:]))
}

// enter records an entry: what differs from the one before it.
func (r *recorder) enter(e *Entry) {
	shared := sharedPrefix(r.name, e.Name)
	b := append(r.out, tagEntry)
	b = appendNumber(b, uint64(shared))
	b = appendText(b, e.Name[shared:])
	kind := byte(e.Type)
	if e.Sparse {
		kind |= sparseBit
	}
	b = append(b, kind)
	b = appendNumber(b, uint64(e.implied))
	b = appendNumber(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.ModTime.Unix()-r.seconds)
	b = appendNumber(b, uint64(e.ModTime.Nanosecond()))
	b = appendNumber(b, uint64(e.Size))
	if e.Sparse {
		b = appendNumber(b, uint64(e.RealSize))
	}
	b = appendNumber(b, uint64(e.Header-r.end))
	b = appendNumber(b, uint64(e.Offset-e.Header))
	if e.Type == TypeSymlink || e.Type == TypeHardlink {
		b = appendText(b, e.Linkname)
	}
	r.out = b
	r.name = append(r.name[:shared], e.Name[shared:]...)
	r.seconds, r.end = e.ModTime.Unix(), e.Offset+e.Size+padding(e.Size)
}

// sparseBit beside a type says that the entry is sparse.
const sparseBit = 0x80

func appendText(b, text []byte) []byte {
	return append(appendNumber(b, uint64(len(text))), text...)
}

// appendNumber is binary.AppendUvarint, inlined for the numbers that are most.
func appendNumber(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, v)
}

// sharedPrefix is how many bytes a and b have in common in front.
func sharedPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n && binary.LittleEndian.Uint64(a[i:]) == binary.LittleEndian.Uint64(b[i:]); i += 8 {
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// fold brings the chunk's sum up to an offset of the unpacked stream, where the
// member's CRC is crc. It needs no second look at the bytes: what the CRC of a
// part is follows from those of the whole and of what came before it.
func (r *recorder) fold(crc uint32, offset int64) {
	n := offset - r.at
	r.sum = shift32(r.sum, n) ^ crc ^ shift32(r.base, n)
	r.base, r.at = crc, offset
}

// chunk records the end of a chunk.
func (r *recorder) chunk(crc uint32, offset int64) {
	r.fold(crc, offset)
	r.out = binary.LittleEndian.AppendUint32(append(r.out, tagChunk), r.sum)
	r.sum = 0
}

// endMember ends the part of the chunk that a member's CRC speaks of.
func (r *recorder) endMember(crc uint32, offset int64) {
	r.fold(crc, offset)
	r.base = 0
}

func (r *recorder) fields(d *codec) {
	coded(d, "span", &r.span, 0, 64<<20)
	coded(d, "journal size", &r.size, 0, 1<<62)
	coded(d, "journal crc", &r.crc, 0, 1<<32-1)
	d.bytes("journal name", &r.name, maxName)
	coded(d, "entry end", &r.end, -1<<63, 1<<63-1)
	coded(d, "journal seconds", &r.seconds, -1<<63, 1<<63-1)
	coded(d, "chunk sum", &r.sum, 0, 1<<32-1)
	coded(d, "chunk base", &r.base, 0, 1<<32-1)
	coded(d, "chunk place", &r.at, 0, 1<<63-1)
	r.points.fields(d)
}
