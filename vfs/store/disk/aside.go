package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"bundleup/vfs/store"
)

const asideName = "aside" // in an upload's directory

// errAside says that the aside is lost; the bytes are not.
var errAside = errors.New("the aside is lost")

// aside is the second stream of an upload. Whatever fails in it loses it, and
// nothing else: a disk that is full refuses the bytes soon enough.
type aside struct {
	f     file  // nil before the first write and when lost
	size  int64 // bytes written
	lost  bool
	named bool // the file's name is durable
}

// WriteAside implements store.AsideWriter.
func (w *writer) WriteAside(p []byte) error {
	err := w.ready(context.Background())
	if err == nil {
		err = w.writeAside(p)
	}
	return w.wrap("write aside of", err)
}

func (w *writer) writeAside(p []byte) error {
	if w.aside.lost {
		return errAside
	}
	if w.aside.f == nil {
		f, err := w.s.files.OpenFile(w.dir+"/"+asideName, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND)
		if err != nil {
			w.loseAside()
			return err
		}
		w.aside.f = f
	}
	n, err := w.aside.f.Write(p)
	w.aside.size += int64(n)
	if err != nil {
		w.loseAside()
	}
	return err
}

// AsideSize implements store.AsideWriter.
func (w *writer) AsideSize() int64 {
	if w.aside.lost {
		return -1
	}
	return w.aside.size
}

func (w *writer) loseAside() {
	w.closeAside()
	w.aside = aside{lost: true}
}

func (w *writer) closeAside() {
	if w.aside.f != nil {
		w.aside.f.Close()
	}
}

// syncAside makes the aside durable, or loses it.
func (w *writer) syncAside() {
	if w.aside.f == nil {
		return
	}
	err := w.aside.f.Sync()
	if err == nil && !w.aside.named {
		err = w.s.files.SyncDir(w.dir)
	}
	if err != nil {
		w.loseAside()
		return
	}
	w.aside.named = true
}

// openAside goes on with a suspended upload's aside, cut off behind size. One
// that is missing or too short is lost.
func (w *writer) openAside(size int64) {
	w.aside = aside{lost: size < 0, named: true}
	name := w.dir + "/" + asideName
	if size == 0 {
		w.aside.named = false
		w.aside.lost = removed(w.s.files.Remove(name)) != nil
	}
	if size <= 0 {
		return
	}
	f, err := w.s.files.OpenFile(name, os.O_RDWR|os.O_APPEND)
	if err != nil {
		w.aside.lost = true
		return
	}
	w.aside.f, w.aside.size = f, size
	fi, err := f.Stat()
	if err == nil && fi.Size() < size {
		err = errAside
	}
	if err == nil && fi.Size() > size {
		err = f.Truncate(size)
	}
	if err != nil {
		w.loseAside()
	}
}

// stageAside gives the aside the name of a staged document.
func (w *writer) stageAside(in *intent, doc string) error {
	if err := removed(w.s.files.Remove(in.staged(doc))); err != nil {
		return err
	}
	return w.s.files.Link(w.dir+"/"+asideName, in.staged(doc))
}

// A saved state lies in its frame behind the length of the aside that belongs
// to it, int64, little-endian; -1 says that it was lost.
const asideHeader = 8

func encodeState(off, aside int64, state []byte) []byte {
	payload := binary.LittleEndian.AppendUint64(make([]byte, 0, asideHeader+len(state)), uint64(aside))
	return encodeFrame(stateMagic, off, append(payload, state...))
}

func decodeState(b []byte) (off, aside int64, state []byte, err error) {
	off, payload, err := decodeFrame(stateMagic, b)
	if err == nil && len(payload) < asideHeader {
		err = fmt.Errorf("state: %w", errFrame)
	}
	if err != nil {
		return 0, 0, nil, err
	}
	return off, int64(binary.LittleEndian.Uint64(payload)), payload[asideHeader:], nil
}

var _ store.AsideWriter = (*writer)(nil)
