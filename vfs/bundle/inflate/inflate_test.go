package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// result is all that decoding a stream shows.
type result struct {
	out   []byte
	used  int
	done  bool
	err   string
	fulls string // where the window was full: input bits and output bytes
}

func (r result) String() string {
	if r.err != "" {
		r.used = 0 // says nothing behind an error
	}
	return fmt.Sprintf("%d bytes, used %d, done %v, error %q, full at [%s]", len(r.out), r.used, r.done, r.err, r.fulls)
}

// decode pushes src in pieces of the lengths that next gives.
func decode(d *Decoder, src []byte, next func() int) (r result) {
	for r.used < len(src) {
		piece := src[r.used:min(len(src), r.used+next())]
		for len(piece) > 0 {
			out, n, s, err := d.Decode(piece)
			r.out = append(r.out, out...)
			r.used += n
			piece = piece[n:]
			switch {
			case err != nil:
				r.err = err.Error()
				return r
			case s == Done:
				r.done = true
				return r
			case s == Full:
				r.fulls += fmt.Sprintf("%d:%d ", d.InBits(), d.OutBytes())
			case n == 0 && len(piece) > 0:
				r.err = "stuck"
				return r
			}
		}
	}
	// What the full window held back needs no input.
	for {
		out, _, s, err := d.Decode(nil)
		r.out = append(r.out, out...)
		if s == Full {
			r.fulls += fmt.Sprintf("%d:%d ", d.InBits(), d.OutBytes())
			continue
		}
		r.done = s == Done
		if err != nil {
			r.err = err.Error()
		}
		return r
	}
}

func whole() int { return 1 << 30 }
func ones() int  { return 1 }

func compress(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// samples are plain texts of every kind that matters to a decoder.
func samples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 700_000)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	skewed := make([]byte, 700_000)
	for i := range skewed {
		skewed[i] = byte(r.ExpFloat64() * 20)
	}
	var periods bytes.Buffer
	for p := 1; p < 40; p++ {
		unit := random[p*50 : p*50+p]
		periods.Write(bytes.Repeat(unit, 2000/p))
	}
	return map[string][]byte{
		"empty":   nil,
		"byte":    {7},
		"text":    []byte(strings.Repeat("Nov 23 12:00:00 host app[17]: connection from 10.0.0.1 closed\n", 20) + string(random[:40])),
		"logs":    logs(900_000),
		"random":  random,
		"skewed":  skewed,
		"zeros":   make([]byte, 600_000),
		"periods": periods.Bytes(),
		"repeats": repeats(r, 900_000),
	}
}

// repeats are runs of one line or of several, n bytes of them.
func repeats(r *rand.Rand, n int) []byte {
	var buf bytes.Buffer
	for buf.Len() < n {
		unit := logs(100 + r.IntN(2000))
		unit[r.IntN(len(unit))] = byte(r.Uint32())
		buf.Write(bytes.Repeat(unit, 1+r.IntN(60)))
	}
	return buf.Bytes()[:n]
}

// logs are lines as a product writes them, n bytes of them.
func logs(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields("connection closed by peer timeout while reading from upstream request failed retry scheduled worker started cache miss user session")
	var buf bytes.Buffer
	for buf.Len() < n {
		fmt.Fprintf(&buf, "2026-11-23T%02d:%02d:%02d.%03dZ host%02d app[%d]: level=info", r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000), r.IntN(20), r.IntN(30000))
		for range 3 + r.IntN(8) {
			buf.WriteString(" " + words[r.IntN(len(words))])
		}
		buf.WriteByte('\n')
	}
	return buf.Bytes()[:n]
}

func TestDecodesWhatFlateWrites(t *testing.T) {
	for name, data := range samples() {
		for _, level := range []int{0, 1, 6, 9, flate.HuffmanOnly} {
			src := compress(t, data, level)
			tail := append(bytes.Clone(src), "what follows"...)
			got := decode(New(), tail, whole)
			if !bytes.Equal(got.out, data) || got.used != len(src) || !got.done || got.err != "" {
				t.Errorf("%s at level %d: got %v; want %d bytes, used %d, done", name, level, got, len(data), len(src))
			}
		}
	}
}

// Every splitting gives the same, byte for byte and place for place, also for
// streams that are damaged.
func TestSplittingChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, data := range samples() {
		for _, level := range []int{0, 1, 6, flate.HuffmanOnly} {
			src := compress(t, data, level)
			for damage := range 4 {
				if damage > 0 && len(src) > 2 {
					src = bytes.Clone(src)
					src[r.IntN(len(src))] ^= 1 << r.IntN(8)
				}
				want := decode(New(), src, whole)
				for how, next := range map[string]func() int{
					"bytes":  ones,
					"random": func() int { return 1 + r.IntN(100) },
					"32 KiB": func() int { return 32 << 10 },
					"wild":   func() int { return 1 + r.IntN(70_000) },
				} {
					got := decode(New(), src, next)
					if !bytes.Equal(got.out, want.out) || got.String() != want.String() {
						t.Errorf("%s at level %d, damaged %d times, by %s: got %v; want %v", name, level, damage, how, got, want)
					}
				}
			}
		}
	}
}

// The cut property: saved and restored at any byte, the rest is the same.
func TestSavedAnywhereGoesOn(t *testing.T) {
	short := samples()["text"]
	for _, level := range []int{0, 6, flate.HuffmanOnly} {
		src := compress(t, short, level)
		for cut := range len(src) + 1 {
			checkCut(t, src, cut, short)
		}
	}
	for _, name := range []string{"logs", "random", "periods"} {
		data := samples()[name]
		src := compress(t, data, 6)
		for cut := 1; cut < len(src); cut += len(src)/23 + 1 {
			checkCut(t, src, cut, data)
		}
	}
}

func checkCut(t *testing.T, src []byte, cut int, want []byte) {
	t.Helper()
	d := New()
	first := decode(d, src[:cut], whole)
	state, err := d.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(state) > 34<<10 {
		t.Errorf("a state has %d bytes", len(state))
	}
	restored := New()
	if err := restored.UnmarshalBinary(state); err != nil {
		t.Fatalf("cut at %d: %v", cut, err)
	}
	rest := decode(restored, src[cut:], whole)
	if got := append(first.out, rest.out...); !bytes.Equal(got, want) || !rest.done {
		t.Fatalf("cut at %d: %d bytes, then %v; want %d and done", cut, len(first.out), rest, len(want))
	}
	if restored.OutBytes() != int64(len(want)) || restored.InBits()/8 > int64(len(src)) {
		t.Errorf("cut at %d: OutBytes %d, InBits %d", cut, restored.OutBytes(), restored.InBits())
	}
}

func TestResetForgetsTheHistory(t *testing.T) {
	d := New()
	first := decode(d, compress(t, bytes.Repeat([]byte("abcd"), 100), 6), whole)
	if !first.done {
		t.Fatal(first)
	}
	d.Reset()
	// A fixed block whose first symbol is a match: length 3, distance 1.
	got := decode(d, bitString("1 10 0000001 00000 0000000"), whole)
	if !strings.Contains(got.err, "before the start") {
		t.Errorf("a distance into the last stream: got %v, want an error", got)
	}
}

func TestErrorIsStickyAndTyped(t *testing.T) {
	d := New()
	_, _, _, err := d.Decode([]byte{0x07})
	var c *CorruptError
	if !errors.As(err, &c) || c.Offset != 0 {
		t.Fatalf("got %v, want a *CorruptError at 0", err)
	}
	if _, _, _, again := d.Decode([]byte{0}); again != err {
		t.Errorf("again: got %v, want %v", again, err)
	}
	if _, err := d.AppendBinary(nil); err == nil {
		t.Error("a failed decoder was saved")
	}
}

// bitString packs bits as they come in a stream; Huffman codes are written as in
// the RFC, most significant bit first, which is the order in which they come.
func bitString(s string) []byte {
	var out []byte
	n := 0
	for _, c := range s {
		if c != '0' && c != '1' {
			continue
		}
		if n%8 == 0 {
			out = append(out, 0)
		}
		if c == '1' {
			out[n/8] |= 1 << (n % 8)
		}
		n++
	}
	return out
}

// FuzzDecode compares with compress/flate, whose verdicts are zlib's but for the
// cases in TestVerdicts, and with itself in other pieces.
func FuzzDecode(f *testing.F) {
	for name, data := range samples() {
		if len(data) < 10_000 {
			f.Add(compress(f, data, 6), uint8(len(name)))
		}
	}
	f.Add(bitString("1 10 0000001 00000 0000000"), uint8(3))
	f.Fuzz(func(t *testing.T, src []byte, seed uint8) {
		got := decode(New(), src, whole)
		r := rand.New(rand.NewPCG(uint64(seed), 0))
		pieces := decode(New(), src, func() int { return 1 + r.IntN(int(seed)+1) })
		if !bytes.Equal(got.out, pieces.out) || got.String() != pieces.String() {
			t.Fatalf("in pieces: %v; whole: %v", pieces, got)
		}
		in := bytes.NewReader(src)
		want, err := io.ReadAll(io.LimitReader(flate.NewReader(in), 1<<24))
		if len(want) == 1<<24 {
			return
		}
		if (err == nil) != got.done {
			t.Fatalf("flate says %v after %d bytes, we say %v", err, len(want), got)
		}
		if err == nil && (!bytes.Equal(got.out, want) || got.used != len(src)-in.Len()) {
			t.Fatalf("flate gives %d bytes and leaves %d, we %v", len(want), in.Len(), got)
		}
	})
}

// FuzzState restores junk and goes on with more of it.
func FuzzState(f *testing.F) {
	d := New()
	decode(d, compress(f, samples()["text"], 6)[:60], whole)
	state, err := d.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state, []byte("more"))
	f.Fuzz(func(t *testing.T, state, more []byte) {
		d := New()
		if d.UnmarshalBinary(state) != nil {
			if d.OutBytes() != 0 || d.InBits() != 0 {
				t.Error("a refused state left something")
			}
			return
		}
		again, err := d.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, state) {
			t.Errorf("saved again it differs: %v", err)
		}
		decode(d, more, whole)
	})
}

// TestEndBehindFull: where the window is full just before the stream ends, no call gives
// input back that an earlier one took.
func TestEndBehindFull(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	data := make([]byte, windowEnd+300)
	for i := range data {
		data[i] = "abcdefgh"[rng.IntN(8)]
	}
	for size := windowEnd - 3; size <= len(data); size++ {
		src := append(compress(t, data[:size], 1), "trailing"...)
		d, at := New(), 0
		for s := NeedInput; s != Done; {
			_, n, status, err := d.Decode(src[at:])
			if s = status; err != nil || n < 0 || s == NeedInput {
				t.Fatalf("%d bytes: took %d, status %v, %v", size, n, s, err)
			}
			at += n
		}
		if at != len(src)-len("trailing") {
			t.Errorf("%d bytes: took %d of %d", size, at, len(src)-len("trailing"))
		}
	}
}
