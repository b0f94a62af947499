package inflate

import "errors"

// Tracer finds out which bytes of a checkpoint's history are still referred
// to: usually a few percent. No symbol behind the next HistoryLen bytes of
// output can reach back beyond the checkpoint, so that only those are looked
// at. It holds as much as a Decoder and 100 KiB.
//
// It decodes them twice, with numbers in the place of the history: what comes
// out alike is the stream's own, what differs tells the place in the history
// that it was copied from. So it runs at the decoder's full speed, and the hot
// loop knows nothing of it.
type Tracer struct {
	d     *Decoder
	taint [historyLen]byte
	out   [2][historyLen]byte
	used  [historyLen]bool
}

// NewTracer makes a Tracer.
func NewTracer() *Tracer { return &Tracer{d: New()} }

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
		t.paint(pass, length)
		if err := t.d.Resume(checkpoint, t.taint[historyLen-length:], bits, n); err != nil {
			return nil, err
		}
		var err error
		if got[pass], err = t.decode(t.out[pass][:], input); err != nil {
			return nil, err
		}
	}
	clear(t.used[:])
	for i := range got[0] {
		if a, b := t.out[0][i], t.out[1][i]; a != b {
			t.used[int(a)|int(b-a-1)<<8] = true
		}
	}
	return t.used[historyLen-length:], nil
}

// paint writes the numbers of the places into the history: the low byte in the
// first pass; in the second that and one more than the high bits, modulo 256,
// which is never the same.
func (t *Tracer) paint(pass, length int) {
	for i := historyLen - length; i < historyLen; i++ {
		t.taint[i] = byte(i) + byte(pass)*byte(i>>8+1)
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
