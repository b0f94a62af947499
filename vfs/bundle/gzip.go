package bundle

import (
	"bytes"
	"hash/crc32"
)

// part is what the next compressed byte belongs to (RFC 1952 2.2).
type part uint8

const (
	atStart part = iota // of the file: no gzip member yet
	inFixed             // the ten bytes in front of every member
	inExtraLen
	inExtra
	inFileName
	inComment
	inHeaderCRC
	inBody
	inCRC
	inSize
	behind    // a member: another may follow
	inPadding // zeros behind the last member
	parts
)

// The flags of a member's header (RFC 1952 2.3.1).
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 0xe0
)

const (
	fixedLen = 10
	maxText  = 64 << 10 // bytes of a file name or comment
)

// frame is the gzip framing around the deflated bytes.
type frame struct {
	part  part
	n     int    // bytes of the part so far
	left  int    // bytes of the extra field to come
	flags byte   // of the member's header
	word  uint32 // little-endian number so far: a length, CRC or size
	crc   uint32 // of the header, then of the member's output
	size  uint32 // of the member's output, modulo 2^32
}

func badHeader(reason string) *Rejection { return reject(RuleGzipHeader, reason, mendDamaged) }

// next goes on to a part.
func (f *frame) next(p part) { f.part, f.n, f.word = p, 0, 0 }

// afterHeader goes on to the first part from p on that the flags announce.
func (f *frame) afterHeader(p part) {
	switch {
	case p <= inExtraLen && f.flags&flagExtra != 0:
		f.next(inExtraLen)
	case p <= inFileName && f.flags&flagName != 0:
		f.next(inFileName)
	case p <= inComment && f.flags&flagComment != 0:
		f.next(inComment)
	case p <= inHeaderCRC && f.flags&flagHeaderCRC != 0:
		f.next(inHeaderCRC)
	default:
		f.next(inBody)
		f.crc, f.size = 0, 0
	}
}

// header takes bytes of a member's header and says how many lie before what
// is wrong with it.
func (f *frame) header(p []byte) (n int, r *Rejection) {
	switch f.part {
	case inExtra:
		n = min(len(p), f.left)
		f.hash(p[:n])
		if f.left -= n; f.left == 0 {
			f.afterHeader(inFileName)
		}
		return n, nil
	case inFileName, inComment:
		return f.text(p)
	}
	for n < len(p) && r == nil {
		switch f.part {
		case inFixed:
			r = f.fixed(p[n])
		case inExtraLen, inHeaderCRC:
			r = f.short(p[n])
		default:
			return n, nil
		}
		if r == nil {
			n++
		}
	}
	return n, r
}

// hash adds bytes of the header to its CRC.
func (f *frame) hash(p []byte) { f.crc = crc32.Update(f.crc, crc32.IEEETable, p) }

// fixed takes the next of the ten bytes.
func (f *frame) fixed(c byte) *Rejection {
	switch {
	case f.n == 2 && c != 8:
		return badHeader("the gzip compression method is unknown")
	case f.n == 3 && c&flagsReserved != 0:
		return badHeader("the gzip header has reserved flags")
	case f.n == 3:
		f.flags = c
	}
	f.hash([]byte{c})
	if f.n++; f.n == fixedLen {
		f.afterHeader(inExtraLen)
	}
	return nil
}

// short takes a byte of a number of two bytes.
func (f *frame) short(c byte) *Rejection {
	f.word |= uint32(c) << (8 * f.n)
	if f.part == inHeaderCRC {
		if f.n++; f.n < 2 {
			return nil
		}
		if f.word != f.crc&0xffff {
			return badHeader("the CRC of the gzip header does not match")
		}
		f.afterHeader(inBody)
		return nil
	}
	f.hash([]byte{c})
	if f.n++; f.n < 2 {
		return nil
	}
	if f.left = int(f.word); f.left == 0 {
		f.afterHeader(inFileName)
	} else {
		f.next(inExtra)
	}
	return nil
}

// text takes a file name or a comment, which ends in NUL.
func (f *frame) text(p []byte) (int, *Rejection) {
	p = p[:min(len(p), maxText+1-f.n)]
	end := bytes.IndexByte(p, 0)
	if end >= 0 {
		p = p[:end+1]
	}
	f.hash(p)
	f.n += len(p)
	switch {
	case end >= 0:
		f.afterHeader(f.part + 1)
	case f.n > maxText:
		return len(p) - 1, badHeader("the name or comment in the gzip header is longer than 64 KiB")
	}
	return len(p), nil
}

// trailer takes bytes of a member's trailer; n on a rejection is how many lie
// before the number that is wrong, and may be negative.
func (f *frame) trailer(p []byte) (n int, r *Rejection) {
	for n < len(p) && (f.part == inCRC || f.part == inSize) {
		f.word |= uint32(p[n]) << (8 * f.n)
		n++
		if f.n++; f.n < 4 {
			continue
		}
		switch {
		case f.part == inSize && f.word != f.size:
			return n - 4, reject(RuleGzipSize, "the gzip size does not match", mendDamaged)
		case f.part == inSize:
			f.next(behind)
		case f.word != f.crc:
			return n - 4, reject(RuleGzipCRC, "the gzip CRC does not match", mendDamaged)
		default:
			f.next(inSize)
		}
	}
	return n, nil
}

// output takes what came out of the decoder.
func (f *frame) output(p []byte) {
	f.crc = crc32.Update(f.crc, crc32.IEEETable, p)
	f.size += uint32(len(p))
}

// begin starts a member's header with the bytes of the magic that have come.
func (f *frame) begin(magic []byte) {
	f.next(inFixed)
	f.crc, f.n = crc32.ChecksumIEEE(magic), len(magic)
}

// isGzip reports whether head begins, or may come to begin, a gzip member.
func isGzip(head []byte) bool {
	n := min(len(head), 2)
	return string(head[:n]) == "\x1f\x8b"[:n]
}
