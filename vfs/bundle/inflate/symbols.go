package inflate

// symbols decodes the block at hand: the bulk fast, its ends with care.
func (d *Decoder) symbols(src []byte, pos int) (int, bool, error) {
	for {
		pos = d.fastSymbols(src, pos)
		for again := false; !again; {
			var step progress
			var err error
			pos, step, err = d.symbol(src, pos)
			switch {
			case err != nil || step == short:
				return pos, false, err
			case step == blockOver:
				d.ended()
				return pos, true, nil
			case d.op >= windowEnd:
				return pos, true, nil
			}
			again = len(src)-pos >= fastInput && d.op < fastEnd
		}
	}
}

// progress is what became of one symbol.
type progress int

const (
	moved     progress = iota // it was decoded
	short                     // its last bit is still to come
	blockOver                 // it ended the block
)

// symbol decodes one literal, match or end of block, if all of its bits are
// there; else nothing changes but that more bits are in d.bits.
func (d *Decoder) symbol(src []byte, pos int) (int, progress, error) {
	pos = d.refill(src, pos)
	bits, have := d.bits, d.n
	entry := d.codes.lit[bits&litMask]
	if entry&subTable != 0 && have >= litBits {
		bits, have = bits>>litBits, have-litBits
		entry = d.codes.lit[entry>>16&0x7fff+uint32(bits&(1<<(entry>>8&15)-1))]
	}
	code := uint(entry >> 8 & 15)
	switch {
	case entry&literal == 0 && entry&subTable != 0, code > have:
		return pos, short, nil
	case entry&literal != 0:
		d.buf[d.op] = byte(entry >> 16)
		d.op++
		d.bits, d.n = bits>>code, have-code
		return pos, moved, nil
	case entry&blockEnd != 0:
		d.bits, d.n = bits>>code, have-code
		return pos, blockOver, nil
	case entry&special != 0 && entry&longMatch == 0:
		return pos, moved, &CorruptError{Reason: "a length code is not allowed"}
	}
	whole := uint(entry & 63)
	if whole > have {
		return pos, short, nil
	}
	length := int(uint8(entry>>16)) + int(bits>>code&uint64(entry>>24)) + 3
	return d.distance(pos, bits>>whole, have-whole, length)
}

// distance decodes the second half of a match and copies it.
func (d *Decoder) distance(pos int, bits uint64, have uint, length int) (int, progress, error) {
	entry := d.codes.dist[bits&distMask]
	if entry&subTable != 0 && have >= distBits {
		bits, have = bits>>distBits, have-distBits
		entry = d.codes.dist[entry>>16+bits&(1<<(entry>>8&15)-1)]
	}
	code := uint(entry >> 8 & 15)
	switch {
	case entry&subTable != 0 && entry&special != 0, code > have:
		return pos, short, nil
	case entry&special != 0:
		return pos, moved, &CorruptError{Reason: "a distance code is not allowed"}
	}
	whole := uint(entry & 63)
	if whole > have {
		return pos, short, nil
	}
	dist := int(entry>>32) + int(bits>>code&uint64(uint16(entry>>16)))
	if dist > d.op-d.low {
		return pos, moved, &CorruptError{Reason: "a distance reaches back before the start"}
	}
	// Where the match overlaps itself, what there is of it doubles each time.
	for from := d.op - dist; length > 0; {
		n := copy(d.buf[d.op:d.op+length], d.buf[from:d.op])
		d.op += n
		length -= n
	}
	d.bits, d.n = bits>>whole, have-whole
	return pos, moved, nil
}
