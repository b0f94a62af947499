package disk

import "bundleup/vfs/store"

// beside is a save that runs while more bytes come. Waiting for the disk at every
// checkpoint would cost an upload that is as fast as the disk a quarter of its time.
type beside struct {
	done chan struct{} // closed at the end
	// as is the writer as it was, with nothing else in common with it than open
	// files. It is its save that runs.
	as  writer
	err error
}

// SaveBeside implements store.BesideSaver.
func (w *writer) SaveBeside(state []byte) error {
	w.settle()
	if err := w.mayGoOn(); err != nil {
		return w.wrap("save", err)
	}
	b := &beside{done: make(chan struct{}), as: *w}
	w.beside = b
	go func() {
		defer close(b.done)
		b.err = b.as.save(state)
	}()
	return nil
}

// Kept implements store.BesideSaver.
func (w *writer) Kept() int64 {
	w.look()
	return w.kept
}

// settle waits for a save that runs. What is done next makes good what failed in it,
// or tells of it again.
func (w *writer) settle() {
	if w.beside != nil {
		<-w.beside.done
		w.learn()
		w.late = nil
	}
}

// look learns how a save ended, if it has.
func (w *writer) look() {
	if w.beside == nil {
		return
	}
	select {
	case <-w.beside.done:
		w.learn()
	default:
	}
}

// learn takes over what a save that has ended found out.
func (w *writer) learn() {
	b := w.beside
	w.beside = nil
	w.saved = w.saved || b.as.saved
	w.anchored = w.anchored || b.as.anchored
	if w.failed == nil {
		w.failed = b.as.failed
	}
	switch aside := &b.as.aside; {
	case aside.lost && !w.aside.lost:
		w.loseAside()
	case aside.named && aside.f == w.aside.f:
		w.aside.named = true
	}
	if w.late = b.err; b.err == nil {
		w.kept = b.as.off
	}
}

// takeLate gives why the last save failed, once.
func (w *writer) takeLate() error {
	err := w.late
	w.late = nil
	return err
}

var _ store.BesideSaver = (*writer)(nil)
