package inflate

import (
	"bytes"
	"strings"
	"testing"
)

// bitWriter writes DEFLATE by hand.
type bitWriter struct{ strings.Builder }

// num writes n bits of v, the lowest first (RFC 1951 3.1.1).
func (w *bitWriter) num(v, n int) *bitWriter {
	for i := range n {
		w.WriteByte('0' + byte(v>>i&1))
	}
	return w
}

// code writes a Huffman code, the highest bit first.
func (w *bitWriter) code(v, n int) *bitWriter {
	for i := n - 1; i >= 0; i-- {
		w.WriteByte('0' + byte(v>>i&1))
	}
	return w
}

func (w *bitWriter) bytes() []byte { return bitString(w.String()) }

// header writes the start of a final dynamic block. The code length code gives
// symbols 0 to 12 four bits, 13 to 18 five.
func (w *bitWriter) header(lits, dists int) *bitWriter {
	w.num(1, 1).num(2, 2).num(lits-257, 5).num(dists-1, 5).num(19-4, 4)
	for _, sym := range preOrder {
		n := 4
		if sym > 12 {
			n = 5
		}
		w.num(n, 3)
	}
	return w
}

// pre writes a symbol of the code length code.
func (w *bitWriter) pre(sym int) *bitWriter {
	if sym <= 12 {
		return w.code(sym, 4)
	}
	return w.code(26+sym-13, 5)
}

// zeros writes n code lengths of zero.
func (w *bitWriter) zeros(n int) *bitWriter {
	for ; n >= 11; n -= min(n, 138) {
		w.pre(18).num(min(n, 138)-11, 7)
	}
	for ; n > 0; n-- {
		w.pre(0)
	}
	return w
}

// lens writes n code lengths, zero but for those given.
func (w *bitWriter) lens(n int, given map[int]int) *bitWriter {
	run := 0
	for i := range n {
		if given[i] == 0 {
			run++
			continue
		}
		w.zeros(run).pre(given[i])
		run = 0
	}
	return w.zeros(run)
}

// dynamic writes a whole dynamic header for the codes given.
func dynamic(lits, dists int, lit, dist map[int]int) *bitWriter {
	w := &bitWriter{}
	return w.header(lits, dists).lens(lits, lit).lens(dists, dist)
}

func fixedBlock() *bitWriter { return (&bitWriter{}).num(1, 1).num(1, 2) }

// verdicts are what zlib says of streams that decoders disagree about.
func verdicts() []struct {
	name   string
	stream []byte
	want   string // what comes out, or "error: " and a part of the reason
} {
	type lens = map[int]int
	ab := lens{97: 1, 256: 2, 257: 2} // a = 0, end = 10, length 3 = 11
	far := func(history int) []byte {
		b := append([]byte{0, byte(history), byte(history >> 8), ^byte(history), ^byte(history >> 8)}, bytes.Repeat([]byte("x"), history)...)
		match := fixedBlock().code(1, 7).code(29, 5).num(0x1fff, 13).code(0, 7)
		return append(b, match.bytes()...)
	}
	a := fixedBlock().code(0x30+97, 8).String()
	after := func(bits string) []byte { return bitString(a + bits) }
	w := func() *bitWriter { return &bitWriter{} }
	end := "0000000"
	return []struct {
		name   string
		stream []byte
		want   string
	}{
		{"length 258 as code 285", after(w().code(0xc5, 8).code(0, 5).String() + end), strings.Repeat("a", 259)},
		{"length 258 as code 284 and 31", after(w().code(0xc4, 8).num(31, 5).code(0, 5).String() + end), strings.Repeat("a", 259)},
		{"length code 286", after(w().code(0xc6, 8).String() + end), "error: length code"},
		{"length code 287", after(w().code(0xc7, 8).String() + end), "error: length code"},
		{"distance code 30", after(w().code(1, 7).code(30, 5).String() + end), "error: distance code"},
		{"distance code 31", after(w().code(1, 7).code(31, 5).String() + end), "error: distance code"},
		{"distance 32768 with that history", far(32768), strings.Repeat("x", 32771)},
		{"distance 32768 with one byte less", far(32767), "error: before the start"},
		{"a match at the very start", fixedBlock().code(1, 7).code(0, 5).code(0, 7).bytes(), "error: before the start"},
		{"no distance codes, literals only", dynamic(257, 1, lens{97: 1, 256: 1}, nil).num(0, 1).num(1, 1).bytes(), "a"},
		{"no distance codes, yet a match", dynamic(258, 1, ab, nil).code(0, 1).code(3, 2).num(0, 1).bytes(), "error: distance code"},
		{"one distance code of one bit", dynamic(258, 1, ab, lens{0: 1}).code(0, 1).code(3, 2).num(0, 1).code(2, 2).bytes(), "aaaa"},
		{"its unused half", dynamic(258, 1, ab, lens{0: 1}).code(0, 1).code(3, 2).num(1, 1).code(2, 2).bytes(), "error: distance code"},
		{"one distance code of two bits", dynamic(258, 1, ab, lens{0: 2}).code(2, 2).bytes(), "error: code for distances"},
		{"an incomplete distance code", dynamic(258, 2, ab, lens{0: 1, 1: 2}).code(2, 2).bytes(), "error: code for distances"},
		{"an over-subscribed distance code", dynamic(258, 3, ab, lens{0: 1, 1: 1, 2: 1}).code(2, 2).bytes(), "error: code for distances"},
		{"only an end of block", dynamic(257, 1, lens{256: 1}, nil).num(0, 1).bytes(), ""},
		{"its unused half", dynamic(257, 1, lens{256: 1}, nil).num(1, 1).bytes(), "error: length code"},
		{"an end of block of two bits alone", dynamic(257, 1, lens{256: 2}, nil).num(0, 2).bytes(), "error: literals"},
		{"an incomplete literal code", dynamic(257, 1, lens{97: 2, 256: 2}, nil).num(0, 2).bytes(), "error: literals"},
		{"an over-subscribed literal code", dynamic(257, 1, lens{97: 1, 98: 1, 256: 1}, nil).num(0, 2).bytes(), "error: literals"},
		{"no end of block", dynamic(257, 1, lens{97: 1, 98: 1}, nil).num(0, 2).bytes(), "error: no end"},
		{"HLIT 286", dynamic(286, 1, lens{97: 1, 256: 1}, nil).num(1, 1).bytes(), ""},
		{"HLIT 287", dynamic(287, 1, lens{97: 1, 256: 1}, nil).num(1, 1).bytes(), "error: too many"},
		{"HDIST 30", dynamic(257, 30, lens{97: 1, 256: 1}, nil).num(1, 1).bytes(), ""},
		{"HDIST 31", dynamic(257, 31, lens{97: 1, 256: 1}, nil).num(1, 1).bytes(), "error: too many"},
		{"a repeat of nothing", w().header(257, 1).pre(16).num(0, 2).bytes(), "error: repeats nothing"},
		{"a repeat from literals into distances", w().header(258, 2).lens(257, lens{97: 1, 256: 1}).pre(17).num(0, 3).num(1, 1).bytes(), ""},
		{"a repeat beyond the last length", w().header(257, 1).lens(257, lens{97: 1, 256: 1}).pre(17).num(0, 3).num(1, 1).bytes(), "error: more code lengths"},
		{"a code length code of one code", w().num(1, 1).num(2, 2).num(0, 5).num(0, 5).num(0, 4).num(1, 3).num(0, 3).num(0, 3).num(0, 3).num(0, 40).bytes(), "error: code for code lengths"},
		{"a code length code of none", w().num(1, 1).num(2, 2).num(0, 5).num(0, 5).num(0, 4).num(0, 60).bytes(), "error: code for code lengths"},
		{"a stored block of nothing", []byte{1, 0, 0, 0xff, 0xff}, ""},
		{"a stored block with a wrong complement", []byte{1, 1, 0, 0xff, 0xff, 'x'}, "error: stored block"},
		{"block type 3", []byte{7}, "error: block type"},
		{"set bits behind the end", append(fixedBlock().code(0, 7).num(0x3f, 6).bytes(), 0xff), ""},
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range verdicts() {
		for how, next := range map[string]func() int{"whole": whole, "by bytes": ones} {
			got := decode(New(), c.stream, next)
			reason, refused := strings.CutPrefix(c.want, "error: ")
			switch {
			case refused && !strings.Contains(got.err, reason):
				t.Errorf("%s, %s: got %v, want an error about %q", c.name, how, got, reason)
			case !refused && (string(got.out) != c.want || !got.done || got.err != ""):
				t.Errorf("%s, %s: got %v, want %d bytes", c.name, how, got, len(c.want))
			}
		}
	}
}
