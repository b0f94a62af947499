package bundle

import (
	"encoding/binary"

	"bundleup/vfs/bundle/inflate"
)

// The default spans between checkpoints, by how much of the stream lies behind.
const (
	spanNear   = 4 << 20
	spanFar    = 8 << 20 // from 16 GiB on
	spanRemote = 16 << 20
	farFrom    = 16 << 30
	remoteFrom = 64 << 30
)

// maxGrown is how much output comes to a checkpoint however little input it takes.
const maxGrown = 64 << 20

// maxTraced bounds the input that is kept to trace a history in. More is needed
// only by streams that are made of empty blocks: theirs is stored whole.
const maxTraced = 64 << 10

// pointKind is where a checkpoint lies.
type pointKind uint8

const (
	atMember  pointKind = iota // in front of a gzip member: the file's start
	atTrailer                  // in front of a member's trailer
	atSymbol                   // inside of deflated data
	pointKinds
)

// points places the checkpoints. One is recorded when it is known which bytes of
// the history are still referred to, HistoryLen bytes of output later.
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
	switch {
	case r.span != 0:
		return r.span
	case offset < farFrom:
		return spanNear
	case offset < remoteFrom:
		return spanFar
	}
	return spanRemote
}

// due reports whether a checkpoint is worth its place: at 256 KiB of input for
// 4 MiB of output, or at enough of either.
func (r *recorder) due(out, bits int64) bool {
	span := r.spanAt(out)
	grown, read := out-r.lastOut, (bits-r.lastBits)/8
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
	if r.tracing && (done || c.unpacked-r.lastOut >= inflate.HistoryLen || at-r.lastBits/8 > maxTraced) {
		r.endTrace(done || c.unpacked-r.lastOut >= inflate.HistoryLen)
	}
	bits := at * 8
	if !done {
		bits = c.body*8 + c.dec.InBits()
	}
	if r.tracing || !r.due(c.unpacked, bits) {
		return
	}
	if !done && !c.checkpoint() {
		return // in a block's header: soon
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

// endTrace records the checkpoint with what is needed of its history: all of it
// if it cannot be traced.
func (r *recorder) endTrace(traced bool) {
	p := &r.points
	var used []bool
	var tracer *inflate.Tracer
	if traced {
		tracer = r.free.tracer()
		// Only a forged state has a history that its input does not fit.
		used, _ = tracer.Trace(p.checkpoint, len(p.history), p.bits, p.n, p.input)
	}
	r.point(atSymbol, appendWindow(nil, p.checkpoint, p.history, used))
	r.free.done(tracer, p.history, p.input)
	p.history, p.input, p.tracing = nil, nil, false
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
