package bundle

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A block tree is a sorted list of keys with values in blocks, and above them
// levels of blocks that hold the first key of each block below: a B-tree that is
// written once, in order. A block is deflated; its items are
//
//	how much of the key is the last key's, the rest behind its length, the value
//	behind its length
//
// and the value in an inner block is a blockRef.
const (
	// blockTarget is where a block of at least two items ends.
	blockTarget = 16 << 10
	// maxBlock bounds a block as it is read: two items of long names fit.
	maxBlock = 64 << 10
	// maxDepth bounds the levels: each divides by two at least.
	maxDepth = 40
)

// blockRef is where a block is, and what it must be.
type blockRef struct {
	offset      int64
	length, raw uint32 // deflated and not
	crc         uint32 // of the deflated bytes
}

const refLen = 8 + 4 + 4 + 4

func (f blockRef) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(f.offset))
	b = binary.LittleEndian.AppendUint32(b, f.length)
	b = binary.LittleEndian.AppendUint32(b, f.raw)
	return binary.LittleEndian.AppendUint32(b, f.crc)
}

// parseRef reads refLen bytes.
func parseRef(b []byte) blockRef {
	return blockRef{
		offset: int64(binary.LittleEndian.Uint64(b)),
		length: binary.LittleEndian.Uint32(b[8:]), raw: binary.LittleEndian.Uint32(b[12:]),
		crc: binary.LittleEndian.Uint32(b[16:]),
	}
}

// indexWriter writes an index in order. It deflates one blob after the other
// with the same memory. The first error stays.
type indexWriter struct {
	w       *bufio.Writer
	offset  int64
	sum     uint32 // of the section at hand
	deflate *flate.Writer
	level   int // of deflate; 0 if there is none yet
	packed  bytes.Buffer
	err     error
}

func newIndexWriter(w io.Writer) *indexWriter {
	return &indexWriter{w: bufio.NewWriterSize(w, 64<<10)}
}

// begin begins a section whose blobs are deflated at a level.
func (w *indexWriter) begin(level int) {
	w.sum = 0
	if w.level == level {
		return
	}
	z, err := flate.NewWriter(nil, level)
	if err != nil {
		panic("bundle: internal error: " + err.Error())
	}
	w.deflate, w.level = z, level
}

// Write writes to the section at hand.
func (w *indexWriter) Write(b []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
	w.offset += int64(len(b))
	w.sum = crc32.Update(w.sum, crc32.IEEETable, b)
	return len(b), w.err
}

// pack writes b deflated.
func (w *indexWriter) pack(b []byte) blockRef {
	w.packed.Reset()
	w.deflate.Reset(&w.packed)
	w.deflate.Write(b) // into memory: no error
	w.deflate.Close()
	p := w.packed.Bytes()
	ref := blockRef{w.offset, uint32(len(p)), uint32(len(b)), crc32.ChecksumIEEE(p)}
	w.Write(p)
	return ref
}

// treeWriter writes a block tree. It holds a block of each level.
type treeWriter struct {
	w      *indexWriter
	levels []*blockWriter // leaves first
}

type blockWriter struct {
	b           []byte
	n           int
	first, last []byte
}

// add appends an item to a level; keys come in order.
func (t *treeWriter) add(level int, key, value []byte) {
	if level == len(t.levels) {
		t.levels = append(t.levels, &blockWriter{})
	}
	b := t.levels[level]
	if b.n >= 2 && len(b.b)+len(key)+len(value) > blockTarget {
		t.end(level)
	}
	if b.n == 0 {
		b.first = append(b.first[:0], key...)
	}
	shared := sharedPrefix(b.last, key)
	b.b = binary.AppendUvarint(b.b, uint64(shared))
	b.b = appendText(b.b, key[shared:])
	b.b = appendText(b.b, value)
	b.last = append(b.last[:shared], key[shared:]...)
	b.n++
}

// end writes a level's block.
func (t *treeWriter) end(level int) {
	b := t.levels[level]
	ref := t.w.pack(b.b)
	t.add(level+1, b.first, ref.append(nil))
	b.b, b.n, b.last = b.b[:0], 0, b.last[:0]
}

// finish writes what is left and gives the topmost block and its level. A tree
// without items has none, and a length of zero.
func (t *treeWriter) finish() (root blockRef, depth int) {
	for level := 0; level < len(t.levels); level++ {
		if level == len(t.levels)-1 {
			return t.w.pack(t.levels[level].b), level
		}
		t.end(level)
	}
	return blockRef{offset: t.w.offset}, 0
}
