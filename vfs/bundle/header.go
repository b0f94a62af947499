package bundle

import (
	"bytes"
	"encoding/binary"
	"math"
)

// blockSize is the size of a tar block: headers are one, data is padded to it.
const blockSize = 512

// block is a header block. The fields are those of POSIX.1-2017 pax, "ustar
// Interchange Format", which v7, GNU and star share in front.
type block [blockSize]byte

func (b *block) name() []byte     { return cstring(b[0:100]) }
func (b *block) linkname() []byte { return cstring(b[157:257]) }
func (b *block) typeflag() byte   { return b[156] }

// isGNU reports the magic of GNU tar, which has other fields where ustar has
// the prefix.
func (b *block) isGNU() bool { return string(b[257:265]) == "ustar  \x00" }

func (b *block) isUstar() bool { return string(b[257:263]) == "ustar\x00" }
func (b *block) isStar() bool  { return b.isUstar() && string(b[508:512]) == "tar\x00" }

// prefix is the part of the name that ustar splits off. star shortens it to
// 131 bytes for two time stamps.
func (b *block) prefix() []byte {
	switch {
	case !b.isUstar():
		return nil
	case b.isStar():
		return cstring(b[345:476])
	}
	return cstring(b[345:500])
}

// cstring is b up to the first NUL.
func cstring(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// sum adds up the bytes of the block, eight at a time in lanes of 16 bits. A
// lane takes 64 bytes, and two lanes together are below 2^15: none overflows.
func (b *block) sum() uint32 {
	const lanes = 0x00ff00ff00ff00ff
	var even, odd uint64
	for i := 0; i <= blockSize-16; i += 16 {
		v, w := binary.LittleEndian.Uint64(b[i:]), binary.LittleEndian.Uint64(b[i+8:])
		even += v&lanes + w&lanes
		odd += v>>8&lanes + w>>8&lanes
	}
	s := even + odd
	return uint32(s&0xffff + s>>16&0xffff + s>>32&0xffff + s>>48)
}

// checks reports whether the header's checksum is that of the block, whose
// bytes add up to sum: as unsigned or, in some old archives, as signed bytes,
// with the field itself taken as blanks.
func (b *block) checks(sum uint32) bool {
	field := b[148:156]
	want, _, ok := number(field)
	if !ok {
		return false
	}
	got := int64(sum) + 8*' '
	for _, c := range field {
		got -= int64(c)
	}
	return got == want || b.signed(got) == want
}

// signed turns the sum of unsigned bytes into that of signed bytes.
func (b *block) signed(sum int64) int64 {
	for i, c := range b {
		if c >= 0x80 && (i < 148 || i >= 156) {
			sum -= 256
		}
	}
	return sum
}

// looksLikeTar reports whether b may begin a tar archive.
func (b *block) looksLikeTar() bool {
	sum := b.sum()
	return sum != 0 && b.checks(sum)
}

// number reads a numeric field: octal digits between blanks and NULs, or
// base-256 with the top bit set (GNU). digits is 0 only for a field without
// any, whose value is 0.
func number(f []byte) (v int64, digits int, ok bool) {
	if f[0]&0x80 != 0 {
		v, ok = base256(f)
		return v, len(f), ok
	}
	if v, ok := octal(f); ok {
		return v, 1, true
	}
	i := 0
	for i < len(f) && (f[i] == ' ' || f[i] == 0) {
		i++
	}
	for ; i < len(f) && '0' <= f[i] && f[i] <= '7'; i++ {
		v = v<<3 | int64(f[i]-'0')
		digits++
	}
	for i < len(f) && (f[i] == ' ' || f[i] == 0) {
		i++
	}
	return v, digits, i == len(f)
}

// octal is number for what archivers usually write: digits up to at most two
// blanks or NULs at the end. It reads eight digits at once: the headers of
// small files are half of what an archive of them holds.
func octal(f []byte) (int64, bool) {
	x := binary.LittleEndian.Uint64(f)
	if len(f) == 8 {
		for range 2 {
			if last := byte(x >> 56); last == 0 || last == ' ' {
				x = x<<8 | '0'
			}
		}
		return eightDigits(x)
	}
	v, ok := eightDigits(x)
	if !ok || len(f) != 12 {
		return 0, false
	}
	i := 8
	for ; i < 12 && f[i]&^7 == '0'; i++ {
		v = v<<3 | int64(f[i]&7)
	}
	for ; i < 12; i++ {
		ok = ok && (f[i] == 0 || f[i] == ' ')
	}
	return v, ok
}

// eightDigits reads octal digits, the first in the lowest byte, by adding up
// neighbours: pairs, then fours, then all.
func eightDigits(x uint64) (int64, bool) {
	x ^= 0x3030303030303030
	if x&0xf8f8f8f8f8f8f8f8 != 0 {
		return 0, false
	}
	x = x&0x00ff00ff00ff00ff<<3 + x>>8&0x00ff00ff00ff00ff
	x = x&0x0000ffff0000ffff<<6 + x>>16&0x0000ffff0000ffff
	return int64(x&0xffffffff<<12 + x>>32), true
}

// base256 reads a two's complement number of any width, the bit 0x40 of its
// first byte being the sign.
func base256(f []byte) (int64, bool) {
	var flip byte
	if f[0]&0x40 != 0 {
		flip = 0xff
	}
	var x uint64
	for i, c := range f {
		c ^= flip
		if i == 0 {
			c &= 0x7f
		}
		if x>>55 != 0 {
			return 0, false
		}
		x = x<<8 | uint64(c)
	}
	if flip != 0 {
		return ^int64(x), true
	}
	return int64(x), true
}

// maxStored is the largest size that can be padded to whole blocks.
const maxStored = math.MaxInt64 - blockSize

// size reads the size field. All NUL is 0; blank is not: an archiver that
// writes blanks has not known the size.
func (b *block) size() (int64, bool) {
	f := b[124:136]
	v, digits, ok := number(f)
	if digits == 0 && bytes.IndexByte(f, ' ') >= 0 {
		return 0, false
	}
	return v, ok && v >= 0 && v <= maxStored
}

// numbers reads the mode and the time and names the first numeric field, but
// for the size, that holds no number; bad is "" if all do. What is read where
// depends on the magic: a reader that takes the time stamps of a GNU header for
// a prefix would see another name.
func (b *block) numbers() (mode, mtime int64, bad string) {
	mode, _, ok := number(b[100:108])
	if !ok {
		return 0, 0, "mode"
	}
	if mtime, _, ok = number(b[136:148]); !ok {
		return 0, 0, "time"
	}
	if !areNumbers(b[108:116], b[116:124]) {
		return 0, 0, "owner"
	}
	gnu, star := b.isGNU(), b.isStar()
	switch {
	case (gnu || b.isUstar()) && !areNumbers(b[329:337], b[337:345]):
		return 0, 0, "device number"
	case gnu && !areNumbers(b[345:357], b[357:369]), star && !areNumbers(b[476:488], b[488:500]):
		return 0, 0, "access time"
	}
	return mode, mtime, ""
}

// areNumbers reports whether both fields are numbers or have no digits.
func areNumbers(f, g []byte) bool {
	_, _, ok := number(f)
	if ok {
		_, _, ok = number(g)
	}
	return ok
}

// padding is how many bytes fill n up to whole blocks.
func padding(n int64) int64 { return -n & (blockSize - 1) }
