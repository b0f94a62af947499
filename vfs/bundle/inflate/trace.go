package inflate

import (
	"encoding/binary"
	"errors"
)

// Tracer finds out which bytes of a checkpoint's history matter to a part of what
// follows: usually a few percent. It holds as much as a Decoder and 160 KiB.
//
// It decodes what follows twice, with numbers in the place of the history: what
// comes out alike is the stream's own, what differs tells the place in the history
// that it was copied from, directly or through other copies. So it runs at the
// decoder's full speed, and the hot loop knows nothing of it.
type Tracer struct {
	d     *Decoder
	taint [2][historyLen]byte // the numbers of the places, see paint
	out   [2][historyLen]byte
	used  [historyLen]byte
}

// NewTracer makes a Tracer.
func NewTracer() *Tracer {
	t := &Tracer{d: New()}
	t.paint()
	return t
}

// errTrace says that the output ended early though the stream did not.
var errTrace = errors.New("trace inflate: the input is too short")

// tracePiece is how much input a Tracer decodes at once: what it decodes beyond the
// part is in vain.
const tracePiece = 1 << 10

// Trace reports for each byte of a history of length bytes, with a 1, whether the
// output [from, to) behind the checkpoint with the pending bits depends on it. to-from
// is at most HistoryLen: no symbol behind such a part can reach back beyond it. The
// input must hold the output up to to, or up to the end of the stream. The result is
// valid until the next call.
func (t *Tracer) Trace(checkpoint []byte, length int, bits uint64, n int, input []byte, from, to int) ([]byte, error) {
	var got int
	for pass := range 2 {
		if err := t.d.Resume(checkpoint, t.taint[pass][historyLen-length:], bits, n); err != nil {
			return nil, err
		}
		var err error
		if got, err = t.decode(t.out[pass][:to-from], input, from); err != nil {
			return nil, err
		}
	}
	clear(t.used[:])
	t.compare(t.out[0][:got], t.out[1][:got])
	return t.used[historyLen-length:], nil
}

// compare notes where two outputs differ, eight bytes at a time: most are alike.
func (t *Tracer) compare(first, second []byte) {
	for len(first) >= 8 {
		if binary.LittleEndian.Uint64(first) != binary.LittleEndian.Uint64(second) {
			t.note(first[:8], second[:8])
		}
		first, second = first[8:], second[8:]
	}
	t.note(first, second)
}

func (t *Tracer) note(first, second []byte) {
	for i, a := range first {
		if b := second[i]; a != b {
			t.used[int(a)|int(b-a-1)<<8] = 1
		}
	}
}

// paint numbers the places of the history: the low byte for the first pass; for
// the second that and one more than the high bits, modulo 256, which is never the
// same.
func (t *Tracer) paint() {
	for i := range historyLen {
		t.taint[0][i] = byte(i)
		t.taint[1][i] = byte(i) + byte(i>>8+1)
	}
}

// decode fills out with what lies behind skip bytes of output, or stops with the
// stream.
func (t *Tracer) decode(out, input []byte, skip int) (n int, err error) {
	for n < len(out) {
		piece := input[:min(len(input), tracePiece)]
		got, k, s, err := t.d.Decode(piece)
		if err != nil {
			return n, err
		}
		skipped := min(skip, len(got))
		skip -= skipped
		n += copy(out[n:], got[skipped:])
		input = input[k:]
		switch {
		case s == Done:
			return n, nil
		case s == NeedInput && len(input) == 0 && n < len(out):
			return n, errTrace
		}
	}
	return n, nil
}
