package sftp

import (
	"fmt"
	"io/fs"
)

// incoming is a handle that was opened for writing. Its errors are sticky:
// clients differ in which of the answers they look at.
type incoming struct {
	s    *session
	name string
	to   upload
	seq  sequence
	err  error // what the peer was told
	lost bool  // the connection ended before the close
}

// WriteAt implements io.WriterAt.
func (in *incoming) WriteAt(p []byte, off int64) (n int, err error) {
	defer func() { in.err = err }()
	defer in.s.caught("write", &err)
	if in.err != nil {
		return 0, in.err
	}
	if err := in.seq.write(p, off); err != nil {
		in.seq.drop()
		return 0, in.s.fail("write", in.name, err)
	}
	return len(p), nil
}

// TransferError implements sftp.TransferError: the Close that follows is not
// the client's.
func (in *incoming) TransferError(error) { in.lost = true }

// Close ends the upload and gives the status of CLOSE.
func (in *incoming) Close() (err error) {
	defer in.s.give()
	defer in.s.caught("close", &err)
	in.s.forget(in)
	if in.err != nil || in.lost {
		in.suspend()
		return in.err
	}
	if err := in.finish(); err != nil {
		err = in.s.fail("close", in.name, err)
		if in.s.hangUp != nil {
			in.s.hangUp()
		}
		return err
	}
	return nil
}

func (in *incoming) finish() error {
	if hole := in.seq.hole(); hole != nil {
		in.suspend()
		return hole
	}
	r, err := in.to.Commit(in.s.ctx)
	if err != nil {
		return err
	}
	if note := r.Notice(); note != "" {
		in.s.notes.line(note)
	}
	return nil
}

// suspend keeps what was received for another try.
func (in *incoming) suspend() {
	in.seq.drop()
	if err := in.to.Suspend(in.s.ctx); err != nil {
		in.s.log.Error("upload not kept", "name", printable(in.name), "err", printable(err.Error()))
	}
}

// info is what STAT shows while the handle is open.
func (in *incoming) info() (fs.FileInfo, error) {
	if in.err != nil {
		return nil, &status{codeNoSuchFile, in.err.Error()}
	}
	return in.to.Info(), nil
}

// resize accepts the size that the upload has, which scp and lftp set before
// they close, and no other: nothing is cut or filled.
func (in *incoming) resize(size uint64) error {
	have := in.to.Offset()
	if in.err != nil || size == uint64(have) {
		return nil
	}
	return refused(fmt.Sprintf("%s has %d bytes so far and cannot be set to %d: bundles are written once and in order", in.name, have, size))
}
