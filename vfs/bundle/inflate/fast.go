package inflate

import "encoding/binary"

const (
	inputLen   = 32 << 10 // a power of two, see windowLen
	inputMask  = inputLen - 1
	inputSlack = 8
	// fastInput is how much input the fast loop wants to see: a turn loads 8
	// bytes at most three times.
	fastInput = 32
	// fastEnd is where the fast loop leaves the window to the careful one, so
	// that it is full at the same symbol however the input is split. A turn
	// writes at most 2 literals and a match of 258 bytes, rounded up.
	fastEnd = windowEnd - 512
)

// fastSymbols decodes as many symbols of the block as it can without looking at
// the ends of input and window. Where something is wrong it stops before the
// symbol, for the careful loop to say what.
//
// The structure is libdeflate's: one load of 8 bytes without a branch gives at
// least 56 bits, which is two literals and a length, or a length and a distance
// (15+5+15+13 bits).
func (d *Decoder) fastSymbols(src []byte, pos int) int {
	for len(src)-pos >= fastInput && d.op < fastEnd {
		if pos < d.inputFrom || pos-d.inputFrom > d.inputCount-fastInput {
			d.inputFrom = pos
			d.inputCount = copy(d.input[:inputLen], src[pos:])
			d.last = d.inputCount - fastInput
		}
		before := pos
		next, stuck := d.fastLoop(pos - d.inputFrom)
		if stuck {
			next, stuck = d.matchRun(next)
		}
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
//
// Everything hangs on one chain: the bits give an entry, the entry a shift, the
// shift the next bits. What is here keeps the rest off it, and shortens it where a
// branch was predicted wrongly, which is once or twice a match. Whatever an entry is,
// its bits are dropped in the same way: so both of what can follow it, the next entry
// and the distance, are loaded before it is known which. The store of a byte that may
// be no literal comes between them and the branch, and keeps the compiler from moving
// them behind it. The entry of the next turn is loaded before the bits are refilled:
// a load fills all 64, of which a length and a distance take at most 48. It is loaded
// before a match is copied, too.
//
// n is exact in its low six bits only, so that a whole entry can be subtracted from
// it. Arrays are reached by masks, which cost less than checks, and from d or codes
// alone. What is seldom read is in d, as are the bits in front of a match, for the
// case that it is wrong: all else stays in registers, and the compiler has none to
// spare.
func (d *Decoder) fastLoop(at int) (next int, stuck bool) {
	codes, op := d.codes, d.op
	bits, n := d.bits, uint32(d.n)
	d.first = at
	bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:at&inputMask+8]) << (n & 63)
	at += int(^n >> 3 & 7)
	n |= 56
	entry := codes.lit[bits&litMask]
	for stuck = true; op < fastEnd; {
		rest := bits >> (entry & 63)
		next, far := codes.lit[rest&litMask], codes.dist[rest&distMask]
		d.buf[op&windowMask] = byte(entry >> 16)
		if int32(entry) < 0 {
			op++
			bits, n, entry = rest, n-entry, next
			rest = bits >> (entry & 63)
			next, far = codes.lit[rest&litMask], codes.dist[rest&distMask]
			d.buf[op&windowMask] = byte(entry >> 16)
			if int32(entry) < 0 {
				op++
				bits, n, entry = rest, n-entry, next
				bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:at&inputMask+8]) << (n & 63)
				at += int(^n >> 3 & 7)
				n |= 56
				goto more
			}
			bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:at&inputMask+8]) << (n & 63)
			at += int(^n >> 3 & 7)
			n |= 56
			rest = bits >> (entry & 63)
		}
		{
			d.bits, d.n = bits, uint(n)
			if entry&special != 0 {
				if entry&subTable == 0 {
					break
				}
				bits >>= litBits
				n -= litBits
				entry = codes.lit[(entry>>16+uint32(bits)&(1<<(entry>>8&15)-1))&(1<<11-1)]
				if int32(entry) < 0 {
					bits >>= entry & 63
					n -= entry
					d.buf[op&windowMask] = byte(entry >> 16)
					op++
					goto refill
				}
				if entry&special != 0 {
					bits, n = d.bits, uint32(d.n)
					break
				}
				rest = bits >> (entry & 63)
				far = codes.dist[rest&distMask]
			}
			n -= entry
			length := int(uint8(entry>>16)) + int(bits>>(entry>>8&63)&uint64(entry>>24)) + 3
			if far&special != 0 {
				if far&subTable == 0 {
					bits, n = d.bits, uint32(d.n)
					break
				}
				rest >>= distBits
				n -= distBits
				far = codes.dist[(far>>16+rest&(1<<(far>>8&15)-1))&(1<<10-1)]
				if far&special != 0 {
					bits, n = d.bits, uint32(d.n)
					break
				}
			}
			bits = rest >> (far & 63)
			n -= uint32(far)
			distance := int(far>>32) + int(rest>>(far>>8&63)&uint64(uint16(far>>16)))
			from := op - distance
			if from < d.low {
				bits, n = d.bits, uint32(d.n)
				break
			}

			entry = codes.lit[bits&litMask]
			bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:at&inputMask+8]) << (n & 63)
			at += int(^n >> 3 & 7)
			n |= 56

			to := op
			op += length
			switch {
			case distance >= 16:
				// Nearly all matches. 32 bytes before the first question:
				// how long they are a processor can seldom predict. They
				// are moved 16 after 16, for what lies near.
				a, b := to&windowMask, from&windowMask
				dst, src := (*[32]byte)(d.buf[a:a+32]), (*[32]byte)(d.buf[b:b+32])
				*(*[16]byte)(dst[:16]) = *(*[16]byte)(src[:16])
				*(*[16]byte)(dst[16:]) = *(*[16]byte)(src[16:])
				for to += 32; to < op; to += 32 {
					from += 32
					a, b := to&windowMask, from&windowMask
					dst, src := (*[32]byte)(d.buf[a:a+32]), (*[32]byte)(d.buf[b:b+32])
					*(*[16]byte)(dst[:16]) = *(*[16]byte)(src[:16])
					*(*[16]byte)(dst[16:]) = *(*[16]byte)(src[16:])
				}
			case distance == 1:
				word := uint64(d.buf[from&windowMask]) * 0x0101010101010101
				for ; to < op; to += 8 {
					binary.LittleEndian.PutUint64(d.buf[to&windowMask:to&windowMask+8], word)
				}
			default:
				// A short period: spell out as many of its turns as make 16
				// bytes, and copy from there.
				period := distance * periods[distance&15]
				for end := min(op, from+period); to < end; to++ {
					d.buf[to&windowMask] = d.buf[from&windowMask]
					from++
				}
				for from = to - period; to < op; to += 16 {
					*(*[16]byte)(d.buf[to&windowMask : to&windowMask+16]) = *(*[16]byte)(d.buf[from&windowMask : from&windowMask+16])
					from += 16
				}
			}
		}
		goto more
	refill:
		bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:at&inputMask+8]) << (n & 63)
		at += int(^n >> 3 & 7)
		n |= 56
		entry = codes.lit[bits&litMask]
	more:
		if at > d.last {
			stuck = false
			break
		}
	}
	d.op = op
	return d.leave(at, at-d.first, bits, uint(n)), stuck
}

// leave puts the bit buffer back into the Decoder. Whole bytes that were loaded but
// not used go back to the input, unless they come from an earlier call: only the last
// loaded bytes do not. It gives the place of the next input.
func (d *Decoder) leave(at, loaded int, bits uint64, n uint) int {
	n &= 63
	whole := min(n>>3, uint(loaded))
	d.n = n - 8*whole
	d.bits = bits & (1<<d.n - 1)
	return at - int(whole)
}

// periods is how many turns of a short distance make at least 16 bytes.
var periods = [16]int{0, 16, 8, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2}
