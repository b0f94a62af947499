package bundle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestSpans: checkpoints lie farther apart the more of the stream lies behind, so that
// an index that takes 0.35 % of a bundle at 4 MiB takes 0.1 % of one of 100 GB.
func TestSpans(t *testing.T) {
	r := newRecorder(IndexOptions{})
	for _, c := range []struct{ at, want int64 }{
		{0, 4 << 20}, {8<<30 - 1, 4 << 20}, {8 << 30, 8 << 20}, {16 << 30, 16 << 20},
		{48<<30 - 1, 16 << 20}, {48 << 30, 32 << 20}, {1 << 50, 32 << 20},
	} {
		if got := r.spanAt(c.at); got != c.want {
			t.Errorf("at %d: %d, want %d", c.at, got, c.want)
		}
	}
	const size = 100e9
	points := 0
	for out := int64(0); out < size; out += lead {
		if bits := out; r.due(out, bits) { // packed 8 : 1
			r.lastOut, r.lastBits = out, bits
			points++
		}
	}
	if share := 0.35 * float64(points) / (size / (4 << 20)); share >= 0.1 {
		t.Errorf("%d points, an index of %.3f %%", points, share)
	}
	if got := newRecorder(IndexOptions{Span: 1 << 40}).spanAt(1 << 50); got != 64<<20 {
		t.Errorf("a span of %d", got)
	}
}

// TestTraceIn: what tells which bytes of the history are needed.
func TestTraceIn(t *testing.T) {
	const h = 32 << 10
	for _, c := range []struct {
		name       string
		point, end int64
		done       bool
		from, to   int
	}{
		{"the chunk's beginning", chunkLen - 2*h, chunkLen + 3*h, false, 2 * h, 3 * h},
		{"ended early", chunkLen - 2*h, chunkLen - 2*h + h + 5, false, 5, h + 5},
		{"ended in the chunk's beginning", chunkLen - h, chunkLen + 9, false, 9, h + 9},
		{"at a chunk", chunkLen, chunkLen + h, false, 0, h},
		{"too little came", chunkLen - 2*h, chunkLen - h - 1, false, -1, h - 1},
		{"the member ended before the chunk", chunkLen - 2*h, chunkLen - h - 1, true, h - 1, h - 1},
		{"the member ended soon", chunkLen - h, chunkLen + 9, true, h, h + 9},
		{"the member ended late", chunkLen - h, chunkLen + 3*h, true, h, 2 * h},
	} {
		p := points{lastOut: c.point}
		if from, to := p.traceIn(c.end, c.done); from != c.from || to != c.to {
			t.Errorf("%s: [%d, %d), want [%d, %d)", c.name, from, to, c.from, c.to)
		}
	}
}

// TestIndexShare: of a log that packs well and repeats itself in few places alike, such
// as a web server's, the index takes less than 0.35 %.
func TestIndexShare(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var b bytes.Buffer
	for b.Len() < 24<<20 {
		fmt.Fprintf(&b, "%d.%d.%d.%d - - [20/Nov/2024:08:%02d:%02d +0000] \"GET /case/%d/part-%d HTTP/1.1\" %d %d \"https://example.com/%d\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36\"\n",
			rng.IntN(256), rng.IntN(256), rng.IntN(256), rng.IntN(256), b.Len()>>20, rng.IntN(60), rng.IntN(70), rng.IntN(100000),
			200+rng.IntN(4), rng.IntN(100000), rng.IntN(70), 90+rng.IntN(30), rng.IntN(6000), rng.IntN(200))
	}
	data := gz(whole(entry('0', "var/log/access", b.String())))
	var index bytes.Buffer
	if _, err := BuildIndex(t.Context(), &index, bytes.NewReader(data), Limits{}, BuildOptions{}); err != nil {
		t.Fatal(err)
	}
	if share := 100 * float64(index.Len()) / float64(len(data)); share >= 0.35 {
		t.Errorf("%d bytes have an index of %.3f %%", len(data), share)
	}
}
