package sftp

import "io"

// maxPiece is how much of a WRITE is passed on at once, in bytes. While it is
// checked, what comes next is decrypted: a connection holds about as much as this
// that was decrypted and not read.
const maxPiece = 64 << 10

// store takes a WRITE whose turn it is and gives its reply. The server would take
// fresh memory for each and hand it from one goroutine to the next, eight of which
// would need a stack as deep as the check's; here all that a channel sends goes
// through one buffer. An error is the channel's.
func (f *frames) store(r request, length int) (reply []byte, err error) {
	f.mu.Lock()
	to := f.handles[r.handle].to
	f.mu.Unlock()
	head := writeHead - maxHandle + len(r.handle)
	if err := f.in.Discard(head); err != nil {
		return nil, err
	}
	if need := min(r.size, maxPiece); len(f.data) < need {
		f.data = make([]byte, need)
	}
	told := statusOK
	for done := 0; done < r.size; {
		p := f.data[:min(r.size-done, len(f.data))]
		if _, err := io.ReadFull(&f.in, p); err != nil {
			return nil, err
		}
		if told == statusOK {
			told = written(to, p, int64(r.offset)+int64(done))
		}
		done += len(p)
	}
	return told.frame(r.id), f.in.Discard(4 + length - head - r.size)
}

// written is the status of a piece of a WRITE.
func written(to io.WriterAt, p []byte, off int64) *status {
	if _, err := to.WriteAt(p, off); err != nil {
		told, _ := explained(err)
		return told
	}
	return statusOK
}
