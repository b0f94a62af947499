package inflate

import (
	"encoding/binary"
	"errors"
)

// stateVersion is the first byte of a saved state.
const stateVersion = 2

// errState says that saved bytes are no state of a Decoder.
var errState = errors.New("restore inflate state: damaged or of another version")

// AppendBinary appends all that is needed to go on later: at most 33,300 bytes, of
// which 32,768 are the history. A Decoder that failed cannot be saved.
func (d *Decoder) AppendBinary(b []byte) ([]byte, error) {
	if d.err != nil {
		return b, d.err
	}
	flags := byte(0)
	if d.final {
		flags |= 1
	}
	if d.fixed {
		flags |= 2
	}
	b = append(b, stateVersion, byte(d.phase), flags, byte(d.n))
	b = binary.LittleEndian.AppendUint64(b, d.bits)
	b = binary.LittleEndian.AppendUint64(b, uint64(d.taken))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.out))
	b = binary.LittleEndian.AppendUint32(b, uint32(d.stored))
	b = d.header.append(b)
	history := d.buf[max(d.low, d.op-historyLen):d.op]
	b = binary.LittleEndian.AppendUint32(b, uint32(d.op))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(history)))
	return append(b, history...), nil
}

func (h *header) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(h.lits))
	b = append(b, byte(h.dists), byte(h.pres))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.next))
	b = append(b, h.preLens[:]...)
	for i := 0; i < maxLens; i += 2 {
		b = append(b, h.lens[i]|h.lens[i+1]<<4)
	}
	return b
}

// maxLens is how many code lengths a block can have.
const maxLens = 286 + 30

// stateHead is the length of a state without its history.
const stateHead = 4 + 3*8 + 4 + (6 + preSymbols + maxLens/2) + 8

// UnmarshalBinary restores what AppendBinary saved. The bytes are not trusted: what
// no Decoder can have saved is an error, and the Decoder is then at the start of
// a stream.
func (d *Decoder) UnmarshalBinary(b []byte) error {
	d.op, d.low = 0, 0
	d.Reset()
	if !d.restore(b) {
		d.op, d.low = 0, 0
		d.Reset()
		return errState
	}
	return nil
}

func (d *Decoder) restore(b []byte) bool {
	if len(b) < stateHead || b[0] != stateVersion || b[1] >= byte(phaseCount) || b[2] > 3 || b[3] > 63 {
		return false
	}
	d.phase, d.final, d.fixed, d.n = phase(b[1]), b[2]&1 != 0, b[2]&2 != 0, uint(b[3])
	b = b[4:]
	d.bits = binary.LittleEndian.Uint64(b)
	taken, out := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	stored := binary.LittleEndian.Uint32(b[24:])
	if d.bits>>d.n != 0 || taken > 1<<60 || out > 1<<60 || uint64(d.n) > taken*8 || stored > 0xffff {
		return false
	}
	d.taken, d.out, d.stored = int64(taken), int64(out), int(stored)
	b = b[28:]
	if !d.header.restore(b, d.phase) || !d.restoreTables() {
		return false
	}
	return d.restoreWindow(b[6+preSymbols+maxLens/2:])
}

// restore reads the header's progress, within the bounds of the phase.
func (h *header) restore(b []byte, p phase) bool {
	h.lits, h.dists, h.pres = int(binary.LittleEndian.Uint16(b)), int(b[2]), int(b[3])
	h.next = int(binary.LittleEndian.Uint16(b[4:]))
	copy(h.preLens[:], b[6:6+preSymbols])
	b = b[6+preSymbols:]
	for i := 0; i < maxLens; i += 2 {
		h.lens[i], h.lens[i+1] = b[i/2]&15, b[i/2]>>4
	}
	if p < inPrecode || p == atEnd {
		return true
	}
	for _, l := range h.preLens {
		if l > 7 {
			return false
		}
	}
	limit := h.pres
	if p != inPrecode {
		limit = h.lits + h.dists
	}
	if h.lits > 286 || h.dists > 30 || h.pres > preSymbols || h.next > limit {
		return false
	}
	if p == inCodes {
		clear(h.lens[h.next:])
	}
	return true
}

// restoreTables makes the tables of the phase anew.
func (d *Decoder) restoreTables() bool {
	switch d.phase {
	case inCodes:
		d.header.count = countLens(d.header.lens[:d.header.next])
		return d.header.buildPrecode()
	case inSymbols:
		if d.fixed {
			d.codes = fixed
			return true
		}
		if d.header.lits < 257 || d.header.dists < 1 {
			return false
		}
		d.header.count = countLens(d.header.lens[:d.header.lits+d.header.dists])
		return d.buildTables() == ""
	}
	return true
}

// restoreWindow puts the history where it was, so that the window is full at the
// same place as it would have been.
func (d *Decoder) restoreWindow(b []byte) bool {
	op, count := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	b = b[8:]
	if op > windowLen || count > historyLen || count > op || int(count) != len(b) {
		return false
	}
	d.op, d.start, d.low = int(op), int(op), int(op)-int(count)
	copy(d.buf[d.low:d.op], b)
	return true
}
