package bundle

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"
)

// madeBit beside a type says that the archive has no entry for the directory.
const madeBit = 0x40

// How an entry's name follows from the path it has when it is unpacked.
const (
	nameIsPath  = iota
	nameDot     // "./" in front
	nameSlash   // "/" behind
	nameBoth    // both
	nameItself  // anything else: it is spelled out
	nameSpecies // how many there are
)

// cleanPath appends to b what name stands for when it is unpacked: components
// with a slash between them; nothing for the top.
func cleanPath(b, name []byte) []byte {
	from := len(b)
	for c, end := component(name, 0); c != nil; c, end = component(name, end) {
		if len(b) > from {
			b = append(b, '/')
		}
		b = append(b, c...)
	}
	return b
}

// parentOf cuts the last component off a clean path.
func parentOf(path []byte) (dir, base []byte) {
	if i := bytes.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return nil, path
}

// appendKey appends a clean path as the tree of directories sorts it: the
// directory, NUL, the last component. So a directory's children stand together.
func appendKey(b, path []byte) []byte {
	dir, base := parentOf(path)
	return append(append(append(b, dir...), 0), base...)
}

// appendVersion appends to a key what tells the entries of one path apart, the
// latest first.
func appendVersion(b []byte, header int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0), ^uint64(header))
}

// versionLen is what appendVersion appends.
const versionLen = 9

// nameOf tells how name follows from path.
func nameOf(name, path []byte) byte {
	if len(path) == 0 {
		return nameItself
	}
	form := byte(nameIsPath)
	rest, dot := bytes.CutPrefix(name, []byte("./"))
	if dot {
		form |= nameDot
	}
	if rest, dot = bytes.CutSuffix(rest, []byte("/")); dot {
		form |= nameSlash
	}
	if !bytes.Equal(rest, path) {
		return nameItself
	}
	return form
}

// appendEntry appends an entry as both trees hold it; the name is told by path
// if it can be.
func appendEntry(b []byte, e *Entry, path []byte, made bool) []byte {
	kind := byte(e.Type)
	if e.Sparse {
		kind |= sparseBit
	}
	if made {
		kind |= madeBit
	}
	b = append(b, kind)
	form := nameOf(e.Name, path)
	b = append(b, form)
	if form == nameItself {
		b = appendText(b, e.Name)
	}
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = binary.AppendVarint(b, e.ModTime.Unix())
	b = binary.AppendUvarint(b, uint64(e.ModTime.Nanosecond()))
	b = binary.AppendUvarint(b, uint64(e.Size))
	if e.Sparse {
		b = binary.AppendUvarint(b, uint64(e.RealSize))
	}
	b = binary.AppendUvarint(b, uint64(e.Header))
	b = binary.AppendUvarint(b, uint64(e.Offset-e.Header))
	if e.Type == TypeSymlink || e.Type == TypeHardlink {
		b = appendText(b, e.Linkname)
	}
	return b
}

// parseEntry is the reverse, for bytes that are not trusted. e gets slices of b
// and of its own memory.
func parseEntry(b, path []byte, e *Entry) (made bool, err error) {
	p := valueReader{b: b}
	kind, form := p.byte(), p.byte()
	*e = Entry{Name: e.Name[:0], Type: Type(kind &^ (sparseBit | madeBit)), Sparse: kind&sparseBit != 0}
	switch {
	case form == nameItself:
		e.Name = append(e.Name, p.text(maxName)...)
	case form < nameItself:
		if form&nameDot != 0 {
			e.Name = append(e.Name, "./"...)
		}
		e.Name = append(e.Name, path...)
		if form&nameSlash != 0 {
			e.Name = append(e.Name, '/')
		}
	default:
		p.bad = true
	}
	e.Mode = uint32(p.number(0o7777))
	seconds := p.signed()
	e.ModTime = time.Unix(seconds, p.number(999_999_999))
	e.Size = p.number(maxStored)
	if e.RealSize = e.Size; e.Sparse {
		e.RealSize = p.number(math.MaxInt64)
	}
	e.Header = p.number(math.MaxInt64 - blockSize)
	e.Offset = e.Header + p.number(math.MaxInt64-blockSize-e.Header)
	if e.Type == TypeSymlink || e.Type == TypeHardlink {
		e.Linkname = p.text(maxName)
	}
	if p.bad || len(p.b) > 0 || e.Type < TypeFile || e.Type > TypeVendor || e.Size > math.MaxInt64-blockSize-e.Offset {
		return false, badIndex("an entry is damaged")
	}
	return kind&madeBit != 0, nil
}

// valueReader reads the parts of a value that is not trusted. After something
// bad all that it gives is zero.
type valueReader struct {
	b   []byte
	bad bool
}

func (p *valueReader) byte() byte {
	if p.bad || len(p.b) == 0 {
		p.bad = true
		return 0
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

// number reads a number of at most limit.
func (p *valueReader) number(limit int64) int64 {
	v, n := binary.Uvarint(p.b)
	if p.bad || n <= 0 || v > uint64(limit) {
		p.bad = true
		return 0
	}
	p.b = p.b[n:]
	return int64(v)
}

func (p *valueReader) signed() int64 {
	v, n := binary.Varint(p.b)
	if p.bad || n <= 0 {
		p.bad = true
		return 0
	}
	p.b = p.b[n:]
	return v
}

func (p *valueReader) text(limit int) []byte {
	n := int(p.number(int64(limit)))
	if p.bad || n > len(p.b) {
		p.bad = true
		return nil
	}
	t := p.b[:n]
	p.b = p.b[n:]
	return t
}
