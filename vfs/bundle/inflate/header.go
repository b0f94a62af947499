package inflate

// header is the progress through a dynamic block's header (RFC 1951 3.2.7).
type header struct {
	lits, dists, pres int // how many code lengths follow: HLIT, HDIST, HCLEN
	next              int // the code length that comes next
	preLens           [preSymbols]uint8
	// lens are the literal/length code's lengths and behind them the
	// distance code's: a repeat may cross.
	lens  [286 + 30 + 138]uint8
	table [1 << preBits]uint32 // the code length code
}

// preOrder is the order in which the code length code's lengths come.
var preOrder = [preSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

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
		for ; h.next < h.pres; h.next++ {
			if pos, ok = d.fill(src, pos, 3); !ok {
				return pos, false, nil
			}
			h.preLens[preOrder[h.next]] = uint8(d.bits & 7)
			d.drop(3)
		}
		if !h.buildPrecode() {
			return pos, false, &CorruptError{Reason: "the code for code lengths is damaged"}
		}
		h.next = 0
		d.phase = inCodes
	}
	return d.codeLengths(src, pos)
}

func (h *header) buildPrecode() bool {
	return build(h.table[:], h.preLens[:], preEntries[:], preBits, false)
}

// codeLengths reads the code lengths and makes the block's tables.
func (d *Decoder) codeLengths(src []byte, pos int) (int, bool, error) {
	h := &d.header
	total := h.lits + h.dists
	for h.next < total {
		// The longest step is 7 bits of code and 7 of repeat.
		for d.n <= 48 && pos < len(src) {
			d.bits |= uint64(src[pos]) << d.n
			d.n += 8
			d.taken++
			pos++
		}
		entry := h.table[d.bits&preMask]
		sym, n := entry>>16, uint(entry&0xff)
		if n > d.n {
			return pos, false, nil
		}
		if sym < 16 {
			h.lens[h.next] = uint8(sym)
			h.next++
			d.drop(n)
			continue
		}
		if sym == 16 && h.next == 0 {
			return pos, false, &CorruptError{Reason: "a code length repeats nothing"}
		}
		extra := [...]uint{2, 3, 7}[sym-16]
		if n+extra > d.n {
			return pos, false, nil
		}
		times := int(d.bits>>n&(1<<extra-1)) + [...]int{3, 3, 11}[sym-16]
		if h.next+times > total {
			return pos, false, &CorruptError{Reason: "a block has more code lengths than it says"}
		}
		h.repeat(sym, times)
		d.drop(n + extra)
	}
	d.fixed = false
	if reason := d.buildTables(); reason != "" {
		return pos, false, &CorruptError{Reason: reason}
	}
	d.phase = inSymbols
	return pos, true, nil
}

// repeat writes the last length, or zero, several times.
func (h *header) repeat(sym uint32, times int) {
	l := uint8(0)
	if sym == 16 {
		l = h.lens[h.next-1]
	}
	for i := range times {
		h.lens[h.next+i] = l
	}
	h.next += times
}

// buildTables makes the tables from the header's lengths; it says what is wrong
// with them, or nothing.
func (d *Decoder) buildTables() string {
	h := &d.header
	lit, dist := h.lens[:h.lits], h.lens[h.lits:h.lits+h.dists]
	d.codes = &d.own
	switch {
	case lit[256] == 0:
		return "a block has no end"
	case !build(d.own.lit[:], lit, litEntries[:], litBits, true):
		return "the code for literals and lengths is damaged"
	case !build(d.own.dist[:], dist, distEntries[:], distBits, true):
		return "the code for distances is damaged"
	}
	return ""
}
