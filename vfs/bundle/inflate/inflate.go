// Package inflate decodes DEFLATE streams (RFC 1951) that are pushed into it.
//
// It starts no goroutine and never waits: Decode takes what there is and gives
// back what can be known from it. Everything that follows from the bytes given so
// far, output, corruption or the stream's end, shows on the call that brings the
// deciding byte. Output, verdict and the places where the window is full are the
// same however the input is split. Between any two calls the state can be saved
// and restored (AppendBinary).
//
// What it accepts is exactly what zlib accepts. It knows nothing of gzip, tar or
// checksums.
package inflate

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	historyLen = 32 << 10 // the farthest distance (RFC 1951 2)
	// windowLen bounds history and pending output together. It is a power of
	// two, so that a mask replaces the bounds checks of the hot loop. Twice as
	// much is not faster but for what compresses best, by a twelfth.
	windowLen  = 128 << 10
	windowMask = windowLen - 1
	// windowEnd is where the window counts as full: a match that begins just
	// before it still fits.
	windowEnd = windowLen - 1024
	// slack is what fast copies may write beyond the last byte.
	slack = 64
)

// Status says why Decode returned.
type Status int

// The statuses.
const (
	NeedInput Status = iota // all input was consumed
	Full                    // the window is full: take the output, call again
	Done                    // the final block ended; what follows is not the stream's
)

// CorruptError says that the input is no DEFLATE stream.
type CorruptError struct {
	// Offset is the byte, counted from Reset, in which the wrong symbol or
	// block header begins.
	Offset int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("inflate: byte %d: %s", e.Offset, e.Reason)
}

// phase is what the next bits are.
type phase uint8

const (
	atBlock   phase = iota // a block header
	inLengths              // LEN and NLEN of a stored block
	inStored               // bytes of a stored block
	inCounts               // HLIT, HDIST, HCLEN
	inPrecode              // lengths of the code length code
	inCodes                // literal/length and distance code lengths
	inSymbols              // a Huffman-coded block
	atEnd                  // nothing: the stream ended
	phaseCount
)

// Decoder decodes one stream after the other. It holds about 180 KiB. Make one
// with New.
type Decoder struct {
	bits  uint64 // input that is not yet decoded, low bits first; zero above n
	n     uint   // how many bits
	taken int64  // input bytes since Reset that went into bits or further

	phase  phase
	final  bool // the block at hand is the last one
	stored int  // bytes of a stored block to come
	header header
	fixed  bool // the block at hand uses the fixed code

	codes *tables // of the block at hand: the fixed ones, or own
	own   tables

	// buf[low:op] is what a distance may reach, buf[start:op] what the caller
	// has not seen.
	buf     [windowLen + slack]byte
	low, op int
	start   int
	out     int64 // output bytes since Reset
	err     error

	// What the fast loop reads from. first and last are here, not in its
	// registers: where it began, and up to where it goes on.
	input       [inputLen + inputSlack]byte
	inputFrom   int // the place of input[0] in src
	inputCount  int // bytes of src in input
	first, last int
}

// New makes a Decoder at the start of a stream.
func New() *Decoder { return &Decoder{} }

// Reset begins a new stream: no distance reaches back into the last one. It costs
// nothing.
func (d *Decoder) Reset() {
	d.bits, d.n, d.taken = 0, 0, 0
	d.phase, d.final, d.stored = atBlock, false, 0
	d.low, d.start, d.out, d.err = d.op, d.op, 0, nil
}

// InBits is how many bits of the stream were decoded since Reset. Where Decode
// says Full or Done it is the same for every splitting of the input.
func (d *Decoder) InBits() int64 { return d.taken*8 - int64(d.n) }

// OutBytes is how many bytes were put out since Reset.
func (d *Decoder) OutBytes() int64 { return d.out }

// Decode goes on with the stream. out is the output of this call, valid until the
// next; n is how many bytes of src belong to the stream, all of them unless the
// status is Full or Done. With a *CorruptError, out is what came before the place
// and n says nothing; the error is sticky.
func (d *Decoder) Decode(src []byte) (out []byte, n int, s Status, err error) {
	if d.err != nil {
		return nil, 0, NeedInput, d.err
	}
	d.slide()
	d.inputFrom, d.inputCount = 0, 0
	n, s, err = d.run(src)
	if err != nil {
		d.err = d.located(err)
		err = d.err
	}
	out = d.buf[d.start:d.op]
	d.start = d.op
	d.out += int64(len(out))
	return out, n, s, err
}

// located tells an error where it is.
func (d *Decoder) located(err error) error {
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		corrupt.Offset = d.InBits() / 8
	}
	return err
}

// slide makes room in a full window: only the history stays.
func (d *Decoder) slide() {
	if d.op < windowEnd {
		return
	}
	from := max(d.op-historyLen, 0)
	copy(d.buf[:historyLen], d.buf[from:d.op])
	d.low = max(d.low-from, 0)
	d.op -= from
	d.start = d.op
}

// run decodes until there is nothing more to do with src.
func (d *Decoder) run(src []byte) (pos int, s Status, err error) {
	for {
		ok := true
		switch d.phase {
		case atBlock:
			pos, ok, err = d.block(src, pos)
		case inLengths:
			pos, ok, err = d.lengths(src, pos)
		case inStored:
			pos, ok = d.copyStored(src, pos)
		case inCounts, inPrecode, inCodes:
			pos, ok, err = d.dynamic(src, pos)
		case inSymbols:
			pos, ok, err = d.symbols(src, pos)
		case atEnd:
			if int(d.n/8) > pos {
				return pos, NeedInput, &CorruptError{Reason: "the restored state has input behind the end of the stream"}
			}
			return d.giveBack(pos), Done, nil
		}
		switch {
		case err != nil:
			return pos, NeedInput, err
		case d.phase == atEnd:
		case d.op >= windowEnd:
			return d.unread(pos), Full, nil
		case !ok:
			return pos, NeedInput, nil
		}
	}
}

// unread returns whole bytes that are not decoded yet: the next call may find the
// stream's end in front of them, and could not return what it was not given. They are
// src's, but for a forged state: earlier input was not enough for the last symbol.
func (d *Decoder) unread(pos int) int {
	whole := min(int(d.n/8), pos)
	d.n -= 8 * uint(whole)
	d.bits &= 1<<d.n - 1
	d.taken -= int64(whole)
	return pos - whole
}

// giveBack returns whole bytes behind the stream.
func (d *Decoder) giveBack(pos int) int {
	pos = d.unread(pos)
	d.n, d.bits = 0, 0
	return pos
}

// fill brings at least want bits, at most 56, if src has them.
func (d *Decoder) fill(src []byte, pos int, want uint) (int, bool) {
	for d.n < want {
		if pos >= len(src) {
			return pos, false
		}
		d.bits |= uint64(src[pos]) << d.n
		d.n += 8
		d.taken++
		pos++
	}
	return pos, true
}

// refill brings at least 56 bits, or all that src has.
func (d *Decoder) refill(src []byte, pos int) int {
	if len(src)-pos >= 8 {
		d.bits |= binary.LittleEndian.Uint64(src[pos:]) << (d.n & 63)
		more := (63 - d.n) / 8
		d.n |= 56
		d.bits &= 1<<d.n - 1
		d.taken += int64(more)
		return pos + int(more)
	}
	for d.n <= 55 && pos < len(src) {
		d.bits |= uint64(src[pos]) << d.n
		d.n += 8
		d.taken++
		pos++
	}
	return pos
}

// drop forgets the lowest bits.
func (d *Decoder) drop(n uint) {
	d.bits >>= n
	d.n -= n
}

// block reads a block header (RFC 1951 3.2.3).
func (d *Decoder) block(src []byte, pos int) (int, bool, error) {
	pos, ok := d.fill(src, pos, 3)
	if !ok {
		return pos, false, nil
	}
	kind := d.bits >> 1 & 3
	if kind == 3 {
		return pos, false, &CorruptError{Reason: "the block type is unknown"}
	}
	d.final = d.bits&1 == 1
	d.drop(3)
	switch kind {
	case 0:
		d.drop(d.n % 8)
		d.phase = inLengths
	case 1:
		d.fixed, d.codes = true, fixed
		d.phase = inSymbols
	case 2:
		d.phase = inCounts
	}
	return pos, true, nil
}

// ended goes on behind a block.
func (d *Decoder) ended() {
	d.phase = atBlock
	if d.final {
		d.phase = atEnd
	}
}

// lengths reads LEN and its complement (RFC 1951 3.2.4).
func (d *Decoder) lengths(src []byte, pos int) (int, bool, error) {
	pos, ok := d.fill(src, pos, 32)
	if !ok {
		return pos, false, nil
	}
	if length, check := uint16(d.bits), uint16(d.bits>>16); length != ^check {
		return pos, false, &CorruptError{Reason: "the length of a stored block is damaged"}
	}
	d.stored = int(uint16(d.bits))
	d.drop(32)
	d.phase = inStored
	return pos, true, nil
}

// copyStored copies a stored block's bytes, first those already in bits.
func (d *Decoder) copyStored(src []byte, pos int) (int, bool) {
	for d.n > 0 && d.stored > 0 && d.op < windowEnd {
		d.buf[d.op] = byte(d.bits)
		d.op++
		d.stored--
		d.drop(8)
	}
	if d.n == 0 {
		room := max(windowEnd-d.op, 0)
		c := copy(d.buf[d.op:], src[pos:min(len(src), pos+min(d.stored, room))])
		d.op += c
		d.stored -= c
		d.taken += int64(c)
		pos += c
	}
	if d.stored > 0 {
		return pos, false
	}
	d.ended()
	return pos, true
}
