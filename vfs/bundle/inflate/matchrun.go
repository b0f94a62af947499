package inflate

import "encoding/binary"

// runChunk is how much of a run is copied at once: so much stays in the first-level
// cache.
const runChunk = 8 << 10

// matchRun takes a match of the longest length and those like it that follow, from at in
// d.input. What compresses best consists of such matches: the same bits again and
// again. stuck says that there is none, and then nothing was changed.
//
// It asks for what fastLoop asks for, so that the window is full at the same symbol
// however the input is split.
func (d *Decoder) matchRun(at int) (next int, stuck bool) {
	if at > d.last || d.op >= fastEnd {
		return at, true
	}
	first, bits, n := at, d.bits, d.n
	bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:]) << (n & 63)
	at += int(^n >> 3 & 7)
	n |= 56
	entry := d.codes.lit[bits&litMask]
	far := d.codes.dist[bits>>(entry&63)&distMask]
	if entry&longMatch == 0 || far&special != 0 {
		return first, true
	}
	extra := bits >> (entry & 63) >> (far >> 8 & 15)
	distance := int(far>>32) + int(extra&uint64(uint16(far>>16)))
	if distance > d.op-d.low {
		return first, true
	}
	used := uint(entry&63) + uint(far&63)
	mask := uint64(1)<<used - 1
	match, length := bits&mask, 0
	for ok := true; ok; ok = bits&mask == match && d.op+length < fastEnd && at <= d.last {
		length += maxMatch
		bits >>= used
		n -= used
		bits |= binary.LittleEndian.Uint64(d.input[at&inputMask:]) << (n & 63)
		at += int(^n >> 3 & 7)
		n |= 56
	}
	d.repeat(distance, length)
	return d.leave(at, at-first, bits, n), false
}

// repeat writes length bytes that repeat what lies distance bytes back. Where they
// overlap themselves, what there is of them doubles each time.
func (d *Decoder) repeat(distance, length int) {
	for from := d.op - distance; length > 0; {
		n := copy(d.buf[d.op:d.op+min(length, runChunk)], d.buf[from:d.op])
		d.op += n
		length -= n
		if n == runChunk {
			from += n
		}
	}
}
