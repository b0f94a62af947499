package inflate

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The Huffman tables are those of libdeflate: a look-up by the next bits gives an
// entry that holds all there is to know of a symbol, so that one addition and one
// shift consume code and extra bits together.
//
//	literal:  bit 31, the byte in 16-23
//	length:   the base less 3 in 16-23, the mask of the extra bits in 24-28
//	distance: the base in 32-47, the mask of the extra bits in 16-28
//	all:      code length in 8-11, code length plus extra bits in 0-5
//	code length code: the symbol in 16-20
//	special:  bit 15, and bit 14 for a pointer to a sub-table (index in 16-30,
//	          its bits in 8-11), bit 13 for the end of the block, bit 12 for
//	          the longest match, none for a code that must not be used
//
// The masks save the hot loop making them, which takes four instructions and a
// shift count in CL for each match's length and again for its distance. Lengths
// need no more than 32 bits for it, so that their table stays in the first-level
// cache.
const (
	literal   = 1 << 31
	special   = 1 << 15
	subTable  = 1 << 14
	blockEnd  = 1 << 13
	longMatch = 1 << 12

	litBits  = 10
	distBits = 9
	preBits  = 7

	litMask  = 1<<litBits - 1
	distMask = 1<<distBits - 1
	preMask  = 1<<preBits - 1

	maxCode  = 15  // bits
	maxMatch = 258 // bytes

	litSymbols  = 288
	distSymbols = 32
	preSymbols  = 19
)

// The arrays are powers of two for the masks of the hot loop; zlib's "enough"
// counts 1,334 entries for 288 codes at 10 bits and 594 for 30 at 9. One pointer
// reaches both: registers are scarce there. 11 bits for literals and lengths are no
// faster: the first-level cache has to hold the tables beside what matches copy.
type tables struct {
	lit  [2048]uint32
	dist [1024]uint64
}

// entry is what a table holds.
type entry interface{ uint32 | uint64 }

// The entries of all symbols without their code lengths.
var (
	litEntries  = makeLitEntries()
	distEntries = makeDistEntries()
	preEntries  = makePreEntries()
)

// makeLitEntries is RFC 1951 3.2.5, literals and lengths.
func makeLitEntries() (e [litSymbols]uint32) {
	for i := range 256 {
		e[i] = literal | uint32(i)<<16
	}
	e[256] = special | blockEnd
	base := uint32(3)
	for i := uint32(257); i < 285; i++ {
		extra := uint32(0)
		if i >= 265 {
			extra = (i - 261) / 4
		}
		e[i] = (1<<extra-1)<<24 | (base-3)<<16 | extra
		base += 1 << extra
	}
	e[285] = special | longMatch | (maxMatch-3)<<16
	e[286], e[287] = special, special
	return e
}

// makeDistEntries is RFC 1951 3.2.5, distances.
func makeDistEntries() (e [distSymbols]uint64) {
	base := uint64(1)
	for i := range uint64(30) {
		extra := uint64(0)
		if i >= 4 {
			extra = (i - 2) / 2
		}
		e[i] = base<<32 | (1<<extra-1)<<16 | extra
		base += 1 << extra
	}
	e[30], e[31] = special, special
	return e
}

func makePreEntries() (e [preSymbols]uint32) {
	for i := range e {
		e[i] = uint32(i) << 16
	}
	e[16], e[17], e[18] = e[16]|2, e[17]|3, e[18]|7
	return e
}

// build fills a table for the code of the given lengths (RFC 1951 3.2.2), one per
// symbol; count is how many symbols have each length. It reports whether the code is
// one that zlib accepts: complete, or, where partial is set, a single code of one bit
// or none at all.
func build[E entry](table []E, lens []uint8, count *lengthCount, entries []E, tableBits uint, partial bool) bool {
	longest := uint(maxCode)
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	used, complete := 0, 1<<longest
	for l := uint(1); l <= longest; l++ {
		used = used<<1 + count[l]
	}
	if used > complete {
		return false
	}
	if longest == 0 || used < complete {
		return partial && longest <= 1 && buildPartial(table, lens, entries, tableBits)
	}
	var sorted [litSymbols]uint16
	sortSymbols(&sorted, lens, count)
	fillTable(table, &sorted, entries, count, tableBits)
	return true
}

// lengthCount is how many symbols have each length; of those without a code it
// may say anything.
type lengthCount [maxCode + 1]int

// countLens counts the symbols of each length but zero. Many symbols have none, and
// runs of symbols have the same: so words of zeros are skipped, and neighbours do not
// wait for each other's counts.
func countLens(lens []uint8) (count lengthCount) {
	var odd lengthCount
	for ; len(lens) >= 8; lens = lens[8:] {
		for w := binary.LittleEndian.Uint64(lens); w != 0; w >>= 16 {
			count[w&maxCode]++
			odd[w>>8&maxCode]++
		}
	}
	for _, l := range lens {
		count[l&maxCode]++
	}
	for l, n := range odd {
		count[l] += n
	}
	return count
}

// buildPartial fills the table of a code with one symbol, or with none: bits that
// are no code lead to an entry that must not be used. A block with such a code can
// be eleven bytes long, so that a flood of them is a flood of tables.
func buildPartial[E entry](table []E, lens []uint8, entries []E, tableBits uint) bool {
	const unused = special | 1<<8 | 1
	table[0], table[1] = unused, unused
	if sym := bytes.IndexByte(lens, 1); sym >= 0 {
		table[0] = entries[sym] + 1<<8 + 1
	}
	double(table, 2, 1, tableBits)
	return true
}

// sortSymbols lists the symbols with a code by length, then by value. Runs of equal
// lengths, most of all of none, are taken four at a time: what says least costs most.
func sortSymbols(sorted *[litSymbols]uint16, lens []uint8, count *lengthCount) {
	var offset [maxCode + 2]int
	for l := 1; l <= maxCode; l++ {
		offset[l+1] = offset[l] + count[l]
	}
	for sym := 0; sym < len(lens); {
		l := lens[sym] & maxCode
		if rest := lens[sym:]; len(rest) >= 4 && binary.LittleEndian.Uint32(rest) == uint32(l)*0x01010101 {
			if l != 0 {
				group, s := sorted[offset[l]:offset[l]+4], uint16(sym)
				group[0], group[1], group[2], group[3] = s, s+1, s+2, s+3
				offset[l] += 4
			}
			sym += 4
			continue
		}
		if l != 0 {
			sorted[offset[l]] = uint16(sym)
			offset[l]++
		}
		sym++
	}
}

// fillTable writes the entries of a complete code. The table doubles with every
// length, so that each entry is written once and copied in blocks. Codes come in the
// stream bit by bit reversed.
func fillTable[E entry](table []E, sorted *[litSymbols]uint16, entries []E, count *lengthCount, tableBits uint) {
	code, next := uint(0), 0
	for length := uint(1); length <= tableBits; length++ {
		end := uint(1) << length
		if code <<= 1; next > 0 {
			copy(table[end/2:end], table[:end/2])
		}
		group := sorted[next : next+count[length]]
		place(table, group, entries, code, length)
		code += uint(len(group))
		next += count[length]
		if code == end {
			double(table, end, length, tableBits)
			return
		}
	}
	length := tableBits + 1
	for count[length] == 0 {
		length++
	}
	reversed := uint(bits.Reverse16(uint16(code)) >> (16 - tableBits))
	fillSubTables(table, sorted[next:], entries, count, tableBits, reversed, length, count[length])
}

// place writes the entries of all codes of one length; the first is code. It is a
// function of its own for the registers.
//
//go:noinline
func place[E entry](table []E, sorted []uint16, entries []E, code, length uint) {
	own := E(length)<<8 + E(length)
	at, step := uint16(code<<(16-length)), uint16(1)<<(16-length)
	for _, sym := range sorted {
		table[bits.Reverse16(at)] = entries[sym] + own
		at += step
	}
}

// double copies the table's first end entries until it is full.
func double[E entry](table []E, end, length, tableBits uint) {
	for ; length < tableBits; length++ {
		copy(table[end:2*end], table[:end])
		end <<= 1
	}
}

// increment counts a bit-reversed code up; all is the code of ones.
func increment(code, all uint) uint {
	bit := uint(1) << (bits.Len(code^all) - 1)
	return code&(bit-1) | bit
}

// fillSubTables writes the codes that are longer than the table's bits.
func fillSubTables[E entry](table []E, sorted []uint16, entries []E, count *lengthCount, tableBits, code, length uint, left int) {
	mask := uint(1)<<tableBits - 1
	prefix, start, end := mask+1, uint(0), mask+1
	for _, sym := range sorted {
		if code&mask != prefix {
			prefix, start = code&mask, end
			sub := subBits(count, tableBits, length, left)
			end = start + 1<<sub
			table[prefix] = E(start)<<16 | special | subTable | E(sub)<<8 | E(tableBits)
		}
		rest := length - tableBits
		entry := entries[sym] + E(rest)<<8 + E(rest)
		for i := start + code>>tableBits; i < end; i += 1 << rest {
			table[i] = entry
		}
		all := uint(1)<<length - 1
		if code == all {
			return
		}
		code = increment(code, all)
		for left--; left == 0; {
			length++
			left = count[length]
		}
	}
}

// subBits is how many bits the sub-table takes that begins with left codes of the
// length.
func subBits(count *lengthCount, tableBits, length uint, left int) uint {
	sub := length - tableBits
	for used := left; used < 1<<sub; {
		sub++
		used = used<<1 + count[tableBits+sub]
	}
	return sub
}

// The tables of the fixed code (RFC 1951 3.2.6).
var fixed = makeFixed()

func makeFixed() *tables {
	var lens [litSymbols]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	var distLens [distSymbols]uint8
	for i := range distLens {
		distLens[i] = 5
	}
	t := new(tables)
	count, distCount := countLens(lens[:]), countLens(distLens[:])
	if !build(t.lit[:], lens[:], &count, litEntries[:], litBits, true) || !build(t.dist[:], distLens[:], &distCount, distEntries[:], distBits, true) {
		panic("inflate: internal error: the fixed code is not complete")
	}
	return t
}
