package bundle

import (
	"encoding/binary"

	"bundleup/vfs/bundle/inflate"
)

// spans are the default distances of checkpoints, by how much of the stream lies
// behind. They grow so that the index of a bundle of 100 GB takes a third of the share
// that one of 8 GiB does.
var spans = []struct{ from, span int64 }{
	{48 << 30, 32 << 20},
	{16 << 30, 16 << 20},
	{8 << 30, 8 << 20},
	{0, 4 << 20},
}

// maxGrown is how much output comes to a checkpoint however little input it takes.
const maxGrown = 64 << 20

// lead is how far in front of the chunk that is read from it a checkpoint lies at most.
// Decoding does not depend on the bytes of the history, so a reader may begin with some
// of them missing and throw away what comes out wrong, as long as the chunk comes out
// right. What is still copied from the history after some tens of KiB is half of what
// is copied at first. A decoder stops before it has put out 96 KiB, so there is a place
// for a checkpoint in front of every chunk.
const lead = 3 * inflate.HistoryLen

const (
	// enoughTraced is how much input is kept at least before the tracing ends early,
	// which makes it less exact.
	enoughTraced = 32 << 10
	// maxTraced bounds the input that is kept to trace a history in. More is needed
	// only by streams that are made of empty blocks: their history is stored whole.
	maxTraced = 64 << 10
)

// pointKind is where a checkpoint lies.
type pointKind uint8

const (
	atMember  pointKind = iota // in front of a gzip member: the file's start
	atTrailer                  // in front of a member's trailer
	atSymbol                   // inside of deflated data
	pointKinds
)

// points places the checkpoints: each a little in front of a chunk, from whose start
// on all that follows has to come out right. One is recorded when it is known which
// bytes of the history that depends on.
type points struct {
	lastOut, lastBits int64 // of the last checkpoint

	tracing    bool   // it is being looked at what the history is good for:
	checkpoint []byte // the decoder's at lastOut and lastBits
	history    []byte
	bits       uint64 // pending there
	n          int
	input      []byte // behind them
}

// spanAt is the least distance of checkpoints at an offset.
func (r *recorder) spanAt(offset int64) int64 {
	if r.span != 0 {
		return r.span
	}
	i := 0
	for offset < spans[i].from {
		i++
	}
	return spans[i].span
}

// chunkStart is where the first chunk begins that does not lie before an offset.
func chunkStart(offset int64) int64 { return (offset + chunkLen - 1) &^ (chunkLen - 1) }

// due reports whether a checkpoint is worth its place: at 256 KiB of input for
// 4 MiB of output, or at enough of either.
func (r *recorder) due(out, bits int64) bool {
	span := r.spanAt(out)
	grown, read := chunkStart(out)-chunkStart(r.lastOut), (bits-r.lastBits)/8
	return grown >= span && read >= span/16 || grown >= min(16*span, maxGrown) || read >= 16*span
}

// record goes with the decoder, which has taken input up to the place at of the
// file. Where it stands does not depend on the writes when its window is full,
// at the end of a grain and at the end of its stream.
func (c *Check) record(input []byte, at int64, s inflate.Status, grainEnd bool) {
	if c.rec.tracing {
		c.rec.input = append(c.rec.input, input...)
	}
	if s != inflate.NeedInput || grainEnd {
		c.mark(at, s == inflate.Done)
	}
	if s == inflate.Done {
		c.rec.endMember(c.frame.crc, c.unpacked)
	}
}

// mark is called where the decoder's state does not depend on how the input was
// cut: at is the place in the file behind what was taken.
func (c *Check) mark(at int64, done bool) {
	r := c.rec
	if r.tracing && (done || r.traced(c.unpacked) || at-r.lastBits/8 > maxTraced) {
		r.endTrace(c.unpacked, done)
	}
	bits := at * 8
	if !done {
		bits = c.body*8 + c.dec.InBits()
	}
	if r.tracing || !r.due(c.unpacked, bits) {
		return
	}
	if !done && (chunkStart(c.unpacked)-c.unpacked > lead || !c.checkpoint()) {
		return // too early, or in a block's header: soon
	}
	r.lastOut, r.lastBits = c.unpacked, bits
	if done {
		r.point(atTrailer, nil)
		return
	}
	p := &r.points
	p.history, p.input = r.free.room()
	p.history = c.dec.AppendHistory(p.history)
	p.bits, p.n = c.dec.Pending()
	p.tracing = true
}

// checkpoint keeps what the decoder needs to go on here, if it can.
func (c *Check) checkpoint() (ok bool) {
	p := &c.rec.points
	p.checkpoint, ok = c.dec.AppendCheckpoint(p.checkpoint[:0])
	return ok
}

// point records the checkpoint at lastOut and lastBits.
func (r *recorder) point(k pointKind, window []byte) {
	b := append(r.out, tagPoint, byte(k))
	b = binary.AppendUvarint(b, uint64(r.lastOut))
	b = binary.AppendUvarint(b, uint64(r.lastBits))
	r.out = appendText(b, window)
}

// traced reports whether output up to offset says enough of what is needed.
func (r *recorder) traced(offset int64) bool {
	return offset >= chunkStart(r.lastOut)+inflate.HistoryLen ||
		offset-r.lastOut >= inflate.HistoryLen && len(r.input) >= enoughTraced
}

// endTrace records the checkpoint with what is needed of its history: all of it
// if it cannot be traced. The output has come to end, which is that of the member if
// it is done.
func (r *recorder) endTrace(end int64, done bool) {
	p := &r.points
	var used []byte
	var tracer *inflate.Tracer
	from, to := p.traceIn(end, done)
	if from >= 0 {
		tracer = r.free.tracer()
		// Only a forged state has a history that its input does not fit.
		used, _ = tracer.Trace(p.checkpoint, len(p.history), p.bits, p.n, p.input, from, to)
	}
	r.point(atSymbol, appendWindow(nil, p.checkpoint, p.history, used))
	r.free.done(tracer, p.history, p.input)
	p.history, p.input, p.tracing = nil, nil, false
}

// traceIn is the part of the output behind the checkpoint that tells what is needed:
// the chunk's first HistoryLen bytes, beyond which nothing can refer. Where they have
// not all come, it is what can still be referred to. from is negative if that begins
// in front of the checkpoint.
func (p *points) traceIn(end int64, done bool) (from, to int) {
	chunk := chunkStart(p.lastOut) - p.lastOut
	last := min(end-p.lastOut, chunk+inflate.HistoryLen)
	first := min(chunk, last)
	if !done {
		first = min(chunk, last-inflate.HistoryLen)
	}
	return int(first), int(last)
}

func (p *points) fields(d *codec) {
	coded(d, "checkpoint offset", &p.lastOut, 0, 1<<63-1)
	coded(d, "checkpoint bits", &p.lastBits, 0, 1<<63-1)
	d.flag(&p.tracing)
	if !p.tracing {
		return
	}
	d.bytes("checkpoint", &p.checkpoint, maxCheckpoint)
	d.bytes("history", &p.history, inflate.HistoryLen)
	d.word(&p.bits)
	coded(d, "pending bits", &p.n, 0, 63)
	d.bytes("traced input", &p.input, maxTraced+1<<grainBits)
}
