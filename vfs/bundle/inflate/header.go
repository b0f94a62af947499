package inflate

import "encoding/binary"

// header is the progress through a dynamic block's header (RFC 1951 3.2.7).
type header struct {
	lits, dists, pres int // how many code lengths follow: HLIT, HDIST, HCLEN
	next              int // the code length that comes next
	preLens           [preSymbols]uint8
	// lens are the literal/length code's lengths and behind them the
	// distance code's: a repeat may cross. From next on they are zero, so
	// that to repeat zero is to step.
	lens  [286 + 30 + 138]uint8
	count lengthCount          // of lens[:next]
	table [1 << preBits]uint32 // the code length code
}

// preOrder is the order in which the code length code's lengths come.
var preOrder = [preSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

const (
	preCopy    = 16 // repeats the last code length; 17 and 18 repeat zero
	preLongest = 14 // bits: 7 of code, 7 of repeat
)

// preTimes are the fewest repeats of 16, 17, 18 (RFC 1951 3.2.7), and of what is
// no symbol.
var preTimes = [4]int{3, 3, 11, 0}

// dynamic goes on with the header.
func (d *Decoder) dynamic(src []byte, pos int) (int, bool, error) {
	h := &d.header
	var ok bool
	if d.phase == inCounts {
		if pos, ok = d.fill(src, pos, 14); !ok {
			return pos, false, nil
		}
		h.lits, h.dists, h.pres = int(d.bits&31)+257, int(d.bits>>5&31)+1, int(d.bits>>10&15)+4
		if h.lits > 286 || h.dists > 30 {
			return pos, false, &CorruptError{Reason: "a block has too many code lengths"}
		}
		d.drop(14)
		h.next, h.preLens = 0, [preSymbols]uint8{}
		d.phase = inPrecode
	}
	if d.phase == inPrecode {
		if pos, ok = d.preLengths(src, pos); !ok {
			return pos, false, nil
		}
		if !h.buildPrecode() {
			return pos, false, &CorruptError{Reason: "the code for code lengths is damaged"}
		}
		h.next, h.lens, h.count = 0, [len(h.lens)]uint8{}, lengthCount{}
		d.phase = inCodes
	}
	return d.codeLengths(src, pos)
}

// preLengths reads the lengths of the code length code.
func (d *Decoder) preLengths(src []byte, pos int) (int, bool) {
	h := &d.header
	for h.next < h.pres {
		pos = d.refill(src, pos)
		if d.n < 3 {
			return pos, false
		}
		bits, n := d.bits, d.n
		for ; h.next < h.pres && n >= 3; h.next++ {
			h.preLens[preOrder[h.next]] = uint8(bits & 7)
			bits, n = bits>>3, n-3
		}
		d.bits, d.n = bits, n
	}
	return pos, true
}

func (h *header) buildPrecode() bool {
	count := countLens(h.preLens[:])
	return build(h.table[:], h.preLens[:], &count, preEntries[:], preBits, false)
}

// codeLengths reads the code lengths and makes the block's tables.
func (d *Decoder) codeLengths(src []byte, pos int) (int, bool, error) {
	h := &d.header
	total, ok := h.lits+h.dists, true
	for h.next < total {
		pos = d.fastLengths(src, pos, total)
		if h.next == total {
			break
		}
		pos = d.refill(src, pos)
		entry := h.table[d.bits&preMask]
		if uint(entry>>8&15) > d.n {
			return pos, false, nil
		}
		if entry>>16 == preCopy && h.next == 0 {
			return pos, false, &CorruptError{Reason: "a code length repeats nothing"}
		}
		if uint(entry&63) > d.n {
			return pos, false, nil
		}
		if entry < preCopy<<16 {
			h.lens[h.next] = uint8(entry >> 16)
			h.count[entry>>16]++
			h.next++
		} else if h.next, ok = h.again(entry, d.bits, h.next, total); !ok {
			return pos, false, &CorruptError{Reason: "a block has more code lengths than it says"}
		}
		d.drop(uint(entry & 63))
	}
	d.fixed = false
	if reason := d.buildTables(); reason != "" {
		return pos, false, &CorruptError{Reason: reason}
	}
	d.phase = inSymbols
	return pos, true, nil
}

// fastLengths reads code lengths while there is input for a load of 8 bytes. It
// stops before what is wrong, for codeLengths to say what.
func (d *Decoder) fastLengths(src []byte, pos, total int) int {
	h := &d.header
	bits, n, first, next := d.bits, d.n, pos, h.next
	for ok := true; ok && next < total && len(src)-pos >= 8; {
		bits |= binary.LittleEndian.Uint64(src[pos:]) << (n & 63)
		pos += int(63-n) / 8
		n |= 56
		for n >= preLongest && next < total {
			entry := h.table[bits&preMask]
			if entry < preCopy<<16 {
				h.lens[next] = uint8(entry >> 16)
				h.count[entry>>16]++
				next++
			} else if next, ok = h.again(entry, bits, next, total); !ok {
				break
			}
			bits >>= entry & 63
			n -= uint(entry & 63)
		}
	}
	d.bits, d.n, h.next = bits&(1<<n-1), n, next
	d.taken += int64(pos - first)
	return pos
}

// again repeats a length as often as the symbol in the low bits says, if total
// allows it. It gives the next place.
func (h *header) again(entry uint32, bits uint64, next, total int) (int, bool) {
	sym, code := entry>>16, entry>>8&15
	extra := uint64(1)<<(entry&63-code) - 1
	times := int(bits>>code&extra) + preTimes[sym&3]
	if next+times > total {
		return next, false
	}
	if sym == preCopy {
		if next == 0 {
			return next, false
		}
		last := h.lens[next-1]
		h.count[last&maxCode] += times
		binary.LittleEndian.PutUint64(h.lens[next:], uint64(last)*0x0101010101010101&(1<<(8*times)-1))
	}
	return next + times, true
}

// buildTables makes the tables from the header's lengths; it says what is wrong
// with them, or nothing.
func (d *Decoder) buildTables() string {
	h := &d.header
	lit, dist := h.lens[:h.lits], h.lens[h.lits:h.lits+h.dists]
	count, distCount := h.count, countLens(dist)
	for l, n := range distCount {
		count[l] -= n
	}
	d.codes = &d.own
	switch {
	case lit[256] == 0:
		return "a block has no end"
	case !build(d.own.lit[:], lit, &count, litEntries[:], litBits, true):
		return "the code for literals and lengths is damaged"
	case !build(d.own.dist[:], dist, &distCount, distEntries[:], distBits, true):
		return "the code for distances is damaged"
	}
	return ""
}
