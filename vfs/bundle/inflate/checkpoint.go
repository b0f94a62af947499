package inflate

import (
	"encoding/binary"
	"errors"
)

// HistoryLen is how far back a stream may refer, in bytes of output (RFC 1951 2).
const HistoryLen = historyLen

// The kinds of a checkpoint; the bit atFinal beside them says that the block is
// the last one.
const (
	atNewBlock = iota
	atStoredByte
	atFixedSymbol
	atDynamicSymbol
	atFinal = 0x80
)

// errCheckpoint says that bytes are no checkpoint.
var errCheckpoint = errors.New("resume inflate: the checkpoint is damaged")

// AppendCheckpoint appends what must be known to go on from InBits beside the
// input and the history: the kind of the block and its code lengths, 1 to 161
// bytes. ok is false where the decoder cannot be resumed: inside the header of a
// block, behind the stream's end, and after an error.
//
//	kind     one byte
//	stored   the bytes of the block to come, two bytes
//	dynamic  HLIT-257, HDIST-1, the code lengths as nibbles (RFC 1951 3.2.7)
func (d *Decoder) AppendCheckpoint(b []byte) (_ []byte, ok bool) {
	kind := byte(0)
	if d.final {
		kind = atFinal
	}
	switch {
	case d.err != nil:
		return b, false
	case d.phase == atBlock:
		return append(b, atNewBlock), true
	case d.phase == inStored:
		b = append(b, kind|atStoredByte)
		return binary.LittleEndian.AppendUint16(b, uint16(d.stored)), true
	case d.phase == inSymbols && d.fixed:
		return append(b, kind|atFixedSymbol), true
	case d.phase == inSymbols:
		return d.header.appendLens(append(b, kind|atDynamicSymbol)), true
	}
	return b, false
}

func (h *header) appendLens(b []byte) []byte {
	b = append(b, byte(h.lits-257), byte(h.dists-1))
	lens := h.lens[:h.lits+h.dists]
	for ; len(lens) > 1; lens = lens[2:] {
		b = append(b, lens[0]|lens[1]<<4)
	}
	if len(lens) == 1 {
		b = append(b, lens[0])
	}
	return b
}

// AppendHistory appends the output that what follows may refer to, at most
// HistoryLen bytes.
func (d *Decoder) AppendHistory(b []byte) []byte {
	return append(b, d.buf[max(d.low, d.op-historyLen):d.op]...)
}

// Pending is the input that was taken and not yet decoded: n bits, the first
// the lowest. It lies between InBits and the input that comes next.
func (d *Decoder) Pending() (bits uint64, n int) {
	return d.bits & (1<<d.n - 1), int(d.n)
}

// Resume goes on at a checkpoint, with the history that there was and pending
// input in front of what Decode will be given. Offsets and counts are from
// here on. What is not trusted may be given: on an error the Decoder is at the
// start of a stream.
func (d *Decoder) Resume(checkpoint, history []byte, bits uint64, n int) error {
	d.op, d.low = 0, 0
	d.Reset()
	if n < 0 || n > 63 || bits>>n != 0 || len(history) > historyLen || !d.resume(checkpoint) {
		d.Reset()
		return errCheckpoint
	}
	d.bits, d.n, d.taken = bits, uint(n), int64(n+7)/8
	d.op = copy(d.buf[:], history)
	d.start = d.op
	return nil
}

// resume takes up the block at hand.
func (d *Decoder) resume(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	d.final = b[0]&atFinal != 0
	switch kind := b[0] &^ atFinal; {
	case kind == atNewBlock && len(b) == 1:
		d.phase, d.final = atBlock, false
	case kind == atStoredByte && len(b) == 3:
		d.phase, d.stored = inStored, int(binary.LittleEndian.Uint16(b[1:]))
	case kind == atFixedSymbol && len(b) == 1:
		d.phase, d.fixed = inSymbols, true
	case kind == atDynamicSymbol && d.header.resumeLens(b[1:]):
		d.phase, d.fixed = inSymbols, false
	default:
		return false
	}
	return d.restoreTables()
}

// resumeLens reads what appendLens wrote.
func (h *header) resumeLens(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	h.lits, h.dists = int(b[0])+257, int(b[1])+1
	total := h.lits + h.dists
	if b = b[2:]; h.lits > 286 || h.dists > 30 || len(b) != (total+1)/2 {
		return false
	}
	for i := range total {
		h.lens[i] = b[i/2] >> (i % 2 * 4) & 15
	}
	return true
}
