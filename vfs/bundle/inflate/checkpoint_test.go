package inflate

import (
	"bytes"
	"testing"
)

// TestCheckpoint resumes at every place where a decoder stops between two pieces of
// input, with nothing of the history but what a Tracer says is needed.
func TestCheckpoint(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{0, 1, 6, -2} {
			src := compress(t, data, level)
			d, tracer := New(), NewTracer()
			step := 1 + len(src)/50
			total := 0
			for at := 0; at < len(src); {
				out, n, s, err := d.Decode(src[at:min(at+step, len(src))])
				if err != nil {
					t.Fatal(name, level, err)
				}
				total, at = total+len(out), at+n
				if s == Done {
					break
				}
				if c, ok := d.AppendCheckpoint(nil); ok {
					resumed(t, name, d, tracer, c, src[at:], data[total:])
				}
			}
		}
	}
}

func resumed(t *testing.T, name string, d *Decoder, tracer *Tracer, checkpoint, rest, want []byte) {
	t.Helper()
	history := d.AppendHistory(nil)
	bits, n := d.Pending()
	used, err := tracer.Trace(checkpoint, len(history), bits, n, rest, 0, HistoryLen)
	if err != nil {
		t.Fatal(name, err)
	}
	for i := range history {
		if used[i] == 0 {
			history[i] = '?'
		}
	}
	e := New()
	if err := e.Resume(checkpoint, history, bits, n); err != nil {
		t.Fatal(name, err)
	}
	var got []byte
	for {
		out, n, s, err := e.Decode(rest)
		if err != nil {
			t.Fatal(name, err)
		}
		got, rest = append(got, out...), rest[n:]
		if s == Done {
			break
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: resumed before %d bytes, they come out wrong", name, len(want))
	}
}

func TestResumeRefuses(t *testing.T) {
	for _, c := range [][]byte{nil, {4}, {0, 0}, {1, 0}, {2, 0}, {3}, {3, 30, 0}, {3, 0, 0}, append([]byte{3, 0, 0}, make([]byte, 129)...)} {
		if New().Resume(c, nil, 0, 0) == nil {
			t.Errorf("checkpoint %v is taken", c)
		}
	}
	if New().Resume([]byte{0}, make([]byte, HistoryLen+1), 0, 0) == nil || New().Resume([]byte{0}, nil, 8, 3) == nil {
		t.Error("too long a history or too many bits are taken")
	}
}
