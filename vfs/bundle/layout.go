package bundle

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The index file; docs/index-format.md describes it.
const (
	indexMagic = "bundleup index\x00\x01" // its last byte is the version
	indexTail  = "bndl-idx"
	headerLen  = len(indexMagic) + 4*8 + 4 + 4 + digestLen + 4
	digestLen  = 32
	pointLen   = 48
	chunkEntry = 8
	rootLen    = refLen + 4
	footerLen  = int(sectionCount)*20 + 2*rootLen + 4 + len(indexTail)
)

// section is a part of the index with a checksum of its own.
type section int

const (
	manifestSection section = iota // entries in the order of the archive
	windowSection                  // what decoders need at checkpoints
	pointSection                   // checkpoints, of fixed width
	chunkSection                   // checksums, of fixed width
	treeSection                    // entries by directory and name
	sectionCount
)

var sectionNames = [sectionCount]string{"manifest", "windows", "points", "chunks", "tree"}

// IndexError says that an index or a journal is damaged, of another version or
// of another archive: it has to be built anew.
type IndexError struct {
	Reason string
	Err    error // the cause below, may be nil
}

func (e *IndexError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("bundle index: %s: %v", e.Reason, e.Err)
	}
	return "bundle index: " + e.Reason
}

// Unwrap gives the cause.
func (e *IndexError) Unwrap() error { return e.Err }

func badIndex(reason string) *IndexError { return &IndexError{Reason: reason} }

// indexHeader begins the file: magic, four numbers, the length of a chunk,
// whether there is a digest, the digest, CRC.
type indexHeader struct {
	manifest Manifest
	digest   []byte // digestLen bytes, or nil
}

func (h *indexHeader) append(b []byte) []byte {
	from := len(b)
	b = append(b, indexMagic...)
	for _, v := range []int64{h.manifest.Size, h.manifest.Unpacked, h.manifest.Entries, h.manifest.Members} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	b = binary.LittleEndian.AppendUint32(b, chunkLen)
	var digest [digestLen]byte
	b = binary.LittleEndian.AppendUint32(b, uint32(min(len(h.digest), 1)))
	copy(digest[:], h.digest)
	b = append(b, digest[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

// parse reads headerLen bytes.
func (h *indexHeader) parse(b []byte) error {
	n := headerLen - 4
	switch {
	case string(b[:len(indexMagic)-1]) != indexMagic[:len(indexMagic)-1]:
		return badIndex("this is no index")
	case b[len(indexMagic)-1] != indexMagic[len(indexMagic)-1]:
		return badIndex("it is of another version")
	case crc32.ChecksumIEEE(b[:n]) != binary.LittleEndian.Uint32(b[n:]):
		return badIndex("the header is damaged")
	}
	b = b[len(indexMagic):]
	for i, p := range []*int64{&h.manifest.Size, &h.manifest.Unpacked, &h.manifest.Entries, &h.manifest.Members} {
		if *p = int64(binary.LittleEndian.Uint64(b[8*i:])); *p < 0 {
			return badIndex("the header is out of range")
		}
	}
	if b = b[32:]; binary.LittleEndian.Uint32(b) != chunkLen {
		return badIndex("its chunks are of another length")
	}
	if binary.LittleEndian.Uint32(b[4:]) != 0 {
		h.digest = append([]byte(nil), b[8:8+digestLen]...)
	}
	return nil
}

// extent is where a section is.
type extent struct {
	offset, length int64
	crc            uint32
}

// treeRoot is the topmost block of a tree, and its level above the leaves.
type treeRoot struct {
	blockRef
	depth int
}

// indexFooter ends the file: sections, roots, CRC, tail.
type indexFooter struct {
	sections [sectionCount]extent
	manifest treeRoot // of the manifest
	tree     treeRoot
}

func (f *indexFooter) append(b []byte) []byte {
	from := len(b)
	for _, s := range f.sections {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(s.length))
		b = binary.LittleEndian.AppendUint32(b, s.crc)
	}
	for _, t := range []treeRoot{f.manifest, f.tree} {
		b = binary.LittleEndian.AppendUint32(t.blockRef.append(b), uint32(t.depth))
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
	return append(b, indexTail...)
}

// parse reads footerLen bytes. The sections must lie one behind the other, from
// the header to the footer.
func (f *indexFooter) parse(b []byte, size int64) error {
	n := footerLen - 4 - len(indexTail)
	if string(b[n+4:]) != indexTail || crc32.ChecksumIEEE(b[:n]) != binary.LittleEndian.Uint32(b[n:]) {
		return badIndex("the footer is damaged")
	}
	at := int64(headerLen)
	for i := range f.sections {
		s := &f.sections[i]
		s.offset, s.length = int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
		s.crc = binary.LittleEndian.Uint32(b[16:])
		if s.offset != at || s.length < 0 || s.length > size-int64(footerLen)-at {
			return badIndex("the sections are out of range")
		}
		at += s.length
		b = b[20:]
	}
	for _, t := range []*treeRoot{&f.manifest, &f.tree} {
		t.blockRef, t.depth = parseRef(b), int(binary.LittleEndian.Uint32(b[refLen:]))
		if t.depth < 0 || t.depth > maxDepth {
			return badIndex("a tree is too deep")
		}
		b = b[rootLen:]
	}
	if at != size-int64(footerLen) {
		return badIndex("the sections are out of range")
	}
	return nil
}

// point is a checkpoint of the index: out, bits, where its window is, kind, CRC.
type point struct {
	out, bits int64
	window    blockRef // of length 0 if there is none
	kind      pointKind
}

func (p *point) append(b []byte) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.out))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.bits))
	b = p.window.append(b)
	b = append(b, byte(p.kind), 0, 0, 0, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

// parse reads pointLen bytes.
func (p *point) parse(b []byte) error {
	if crc32.ChecksumIEEE(b[:pointLen-4]) != binary.LittleEndian.Uint32(b[pointLen-4:]) {
		return badIndex("a checkpoint is damaged")
	}
	p.out, p.bits = int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	p.window, p.kind = parseRef(b[16:]), pointKind(b[36])
	if p.out < 0 || p.bits < 0 || p.kind >= pointKinds {
		return badIndex("a checkpoint is out of range")
	}
	return nil
}
