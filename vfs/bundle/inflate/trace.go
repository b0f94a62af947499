package inflate

import "errors"

// Tracer finds out which bytes of a checkpoint's history are still referred
// to: usually a few percent. No symbol behind the next HistoryLen bytes of
// output can reach back beyond the checkpoint, so that only those are looked
// at. It holds as much as a Decoder and 160 KiB.
//
// It decodes them twice, with numbers in the place of the history: what comes
// out alike is the stream's own, what differs tells the place in the history
// that it was copied from. So it runs at the decoder's full speed, and the hot
// loop knows nothing of it.
type Tracer struct {
	d     *Decoder
	taint [2][historyLen]byte // the numbers of the places, see paint
	out   [2][historyLen]byte
	used  [historyLen]bool
}

// NewTracer makes a Tracer.
func NewTracer() *Tracer {
	t := &Tracer{d: New()}
	t.paint()
	return t
}

// errTrace says that the output ended early though the stream did not.
var errTrace = errors.New("trace inflate: the input is too short")

// tracePiece is how much input a Tracer decodes at once: what it decodes beyond
// HistoryLen bytes of output is in vain.
const tracePiece = 256

// Trace reports for each byte of a history of length bytes whether the stream
// refers to it, from the checkpoint with the pending bits on. The input must
// hold HistoryLen bytes of output or the end of the stream. The result is valid
// until the next call.
func (t *Tracer) Trace(checkpoint []byte, length int, bits uint64, n int, input []byte) ([]bool, error) {
	var got [2]int
	for pass := range 2 {
		if err := t.d.Resume(checkpoint, t.taint[pass][historyLen-length:], bits, n); err != nil {
			return nil, err
		}
		var err error
		if got[pass], err = t.decode(t.out[pass][:], input); err != nil {
			return nil, err
		}
	}
	clear(t.used[:])
	first, second := t.out[0][:got[0]], t.out[1][:got[0]]
	for i, a := range first {
		if b := second[i]; a != b {
			t.used[int(a)|int(b-a-1)<<8] = true
		}
	}
	return t.used[historyLen-length:], nil
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

// decode fills out, or stops with the stream.
func (t *Tracer) decode(out, input []byte) (n int, err error) {
	for n < len(out) {
		piece := input[:min(len(input), tracePiece)]
		got, k, s, err := t.d.Decode(piece)
		if err != nil {
			return n, err
		}
		n += copy(out[n:], got)
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
