package disk

import "os"

// reserveName is a file that keeps room on the disk for an upload's state. A disk
// that fills up while the data is written has none left for it otherwise, and
// everything since the last Save would have to be sent again.
const reserveName = "reserve"

// reserveSize is room for a state, which is about 34 KiB, up to 135 KiB while it is
// traced what the history of a checkpoint is good for, and more for archives of very
// many names, and for what a directory grows by.
const reserveSize = 160 << 10

// keepRoom makes the reserve, once an upload has a window of data and so something
// to lose. Where it cannot, or there is one, the upload is none the worse. It needs
// no sync: what is written has its room.
func (w *writer) keepRoom() {
	if w.reserved {
		return
	}
	w.reserved = true
	f, err := w.s.files.OpenFile(w.dir+"/"+reserveName, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return
	}
	f.Write(make([]byte, reserveSize))
	f.Close()
}

// giveRoom gives the reserve up and reports whether there was one.
func (w *writer) giveRoom() bool {
	return w.s.files.Remove(w.dir+"/"+reserveName) == nil
}
