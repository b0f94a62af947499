package inflate

import "encoding/binary"

const (
	inputLen   = 32 << 10 // a power of two, see windowLen
	inputSlack = 8
	// fastInput is how much input the fast loop wants to see: one turn takes
	// at most 8 bytes, twice.
	fastInput = 32
	// fastEnd is where the fast loop leaves the window to the careful one, so
	// that it is full at the same symbol however the input is split. A turn
	// writes at most 3 literals and a match of 258 bytes, rounded up.
	fastEnd = windowEnd - 512
)

// fastSymbols decodes as many symbols of the block as it can without looking at
// the ends of input and window. Where something is wrong it stops before the
// symbol, for the careful loop to say what.
//
// The structure is libdeflate's: one load of 8 bytes without a branch gives at
// least 56 bits, which is three literals and a length, or a length and a
// distance (15+5+15+13 bits).
func (d *Decoder) fastSymbols(src []byte, pos int) int {
	for len(src)-pos >= fastInput && d.op < fastEnd {
		if pos < d.inputFrom || pos-d.inputFrom > d.inputCount-fastInput {
			d.inputFrom = pos
			d.inputCount = copy(d.input[:inputLen], src[pos:])
		}
		before := pos
		next, stuck := d.fastLoop(pos - d.inputFrom)
		pos = d.inputFrom + next
		d.taken += int64(pos - before)
		if stuck {
			break
		}
	}
	return pos
}

// fastLoop works on d.input from at on. stuck says that the careful loop has to
// go on, for any reason but the end of the input.
func (d *Decoder) fastLoop(at int) (next int, stuck bool) {
	in, out := &d.input, &d.buf
	lit, dist := d.lit, d.dist
	bits, n := d.bits, d.n
	op, low := d.op, d.low
	first, last := at, d.inputCount-fastInput
	stuck = true
loop:
	for {
		if at > last {
			stuck = false
			break
		}
		if op >= fastEnd {
			break
		}
		bits |= binary.LittleEndian.Uint64(in[at&(inputLen-1):at&(inputLen-1)+8]) << (n & 63)
		at += int((63 - n) >> 3)
		n |= 56
		entry := lit[bits&litMask]
		if int32(entry) < 0 {
			bits >>= entry & 63
			n -= uint(entry & 63)
			out[op&(windowLen-1)] = byte(entry >> 16)
			op++
			entry = lit[bits&litMask]
			if int32(entry) < 0 {
				bits >>= entry & 63
				n -= uint(entry & 63)
				out[op&(windowLen-1)] = byte(entry >> 16)
				op++
				entry = lit[bits&litMask]
				if int32(entry) < 0 {
					bits >>= entry & 63
					n -= uint(entry & 63)
					out[op&(windowLen-1)] = byte(entry >> 16)
					op++
					continue
				}
			}
			bits |= binary.LittleEndian.Uint64(in[at&(inputLen-1):at&(inputLen-1)+8]) << (n & 63)
			at += int((63 - n) >> 3)
			n |= 56
		}
		startBits, startN := bits, n
		if entry&special != 0 {
			if entry&subTable == 0 {
				break
			}
			bits >>= litBits
			n -= litBits
			entry = lit[(entry>>16+uint32(bits)&(1<<(entry>>8&15)-1))&4095]
			if int32(entry) < 0 {
				bits >>= entry & 63
				n -= uint(entry & 63)
				out[op&(windowLen-1)] = byte(entry >> 16)
				op++
				continue
			}
			if entry&special != 0 {
				bits, n = startBits, startN
				break
			}
		}
		extra := bits
		bits >>= entry & 63
		n -= uint(entry & 63)
		length := int(entry>>16) + int(extra&(1<<(entry&63)-1)>>(entry>>8&15))

		entry = dist[bits&distMask]
		if entry&special != 0 {
			if entry&subTable == 0 {
				bits, n = startBits, startN
				break
			}
			bits >>= distBits
			n -= distBits
			entry = dist[(entry>>16+uint32(bits)&(1<<(entry>>8&15)-1))&1023]
			if entry&special != 0 {
				bits, n = startBits, startN
				break
			}
		}
		extra = bits
		bits >>= entry & 63
		n -= uint(entry & 63)
		distance := int(entry>>16) + int(extra&(1<<(entry&63)-1)>>(entry>>8&15))
		if distance > op-low {
			bits, n = startBits, startN
			break loop
		}

		to, from := op, op-distance
		op += length
		if distance >= 16 {
			*(*[16]byte)(out[to&(windowLen-1) : to&(windowLen-1)+16]) = *(*[16]byte)(out[from&(windowLen-1) : from&(windowLen-1)+16])
			if length > 16 {
				for to += 16; to < op; to += 16 {
					from += 16
					*(*[16]byte)(out[to&(windowLen-1) : to&(windowLen-1)+16]) = *(*[16]byte)(out[from&(windowLen-1) : from&(windowLen-1)+16])
				}
			}
			continue
		}
		if distance == 1 {
			word := uint64(out[from&(windowLen-1)]) * 0x0101010101010101
			for ; to < op; to += 8 {
				binary.LittleEndian.PutUint64(out[to&(windowLen-1):to&(windowLen-1)+8], word)
			}
			continue
		}
		// A short period: spell out as many of its turns as make 16 bytes,
		// and copy from there.
		far := distance * periods[distance&15]
		for end := min(op, from+far); to < end; to++ {
			out[to&(windowLen-1)] = out[from&(windowLen-1)]
			from++
		}
		for from = to - far; to < op; to += 16 {
			*(*[16]byte)(out[to&(windowLen-1) : to&(windowLen-1)+16]) = *(*[16]byte)(out[from&(windowLen-1) : from&(windowLen-1)+16])
			from += 16
		}
	}
	// Whole bytes that were loaded but not used go back to the input, but for
	// those of an earlier call.
	whole := min(n>>3, uint(at-first))
	n -= 8 * whole
	d.bits, d.n, d.op = bits&(1<<n-1), n, op
	return at - int(whole), stuck
}

// periods is how many turns of a short distance make at least 16 bytes.
var periods = [16]int{0, 16, 8, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2}
