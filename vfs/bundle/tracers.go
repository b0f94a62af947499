package bundle

import (
	"sync"

	"bundleup/vfs/bundle/inflate"
)

// Tracers are what checks that record need now and then, for some 10 us at every
// checkpoint, and may share: 340 KiB for a tracer, and up to 100 KiB of history and
// input while it is looked at what the history is good for. The zero value is ready,
// and safe for concurrent use.
type Tracers struct {
	idle  sync.Pool // of *inflate.Tracer
	rooms sync.Pool // of *traceRoom
}

// traceRoom are the buffers of a checkpoint that is being traced.
type traceRoom struct{ history, input []byte }

// tracer gives one that nobody uses.
func (t *Tracers) tracer() *inflate.Tracer {
	if idle, ok := t.idle.Get().(*inflate.Tracer); ok {
		return idle
	}
	return inflate.NewTracer()
}

// room gives empty buffers.
func (t *Tracers) room() (history, input []byte) {
	if r, ok := t.rooms.Get().(*traceRoom); ok {
		return r.history[:0], r.input[:0]
	}
	return nil, nil
}

// done takes both back.
func (t *Tracers) done(tracer *inflate.Tracer, history, input []byte) {
	if tracer != nil {
		t.idle.Put(tracer)
	}
	t.rooms.Put(&traceRoom{history, input})
}
