package sftp

import (
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/pkg/sftp"

	"bundleup/vfs"
)

// Fileread opens a file for reading.
func (s *session) Fileread(r *sftp.Request) (f io.ReaderAt, err error) {
	if !s.take() {
		return nil, statusTooMany
	}
	defer s.giveFailed(&err)
	defer s.caught("open", &err)
	file, err := s.view.Open(s.ctx, r.Filepath)
	if err != nil {
		return nil, s.fail("read", r.Filepath, err)
	}
	return &outgoing{s: s, name: r.Filepath, from: file}, nil
}

// outgoing is a handle that was opened for reading. ReadAt is called
// concurrently.
type outgoing struct {
	s    *session
	name string
	from vfs.File
	told sync.Once
}

// ReadAt implements io.ReaderAt. The first failure is logged; a client may
// repeat it without end.
func (o *outgoing) ReadAt(p []byte, off int64) (n int, err error) {
	defer o.s.caught("read", &err)
	n, err = o.from.ReadAt(p, off)
	if err == nil || err == io.EOF {
		return n, err
	}
	o.told.Do(func() { o.s.log.Error("read failed", "name", printable(o.name), "err", printable(err.Error())) })
	told, _ := explained(err)
	return n, told
}

// Close implements io.Closer.
func (o *outgoing) Close() (err error) {
	defer o.s.give()
	defer o.s.caught("close", &err)
	if err := o.from.Close(); err != nil {
		o.s.log.Error("close failed", "name", printable(o.name), "err", printable(err.Error()))
	}
	return nil
}

// maxNames bounds the names in one reply, in bytes. Each is sent twice, the
// second time within a line of ls -l; a packet must stay below maxFrame.
const maxNames = 64 << 10

// listing is a handle on a directory: it reads forward, as READDIR does, and
// holds one entry.
type listing struct {
	s    *session
	name string
	next func() (fs.FileInfo, error, bool)
	stop func()

	ahead fs.FileInfo // the next entry; nil at the end
	err   error       // what comes after it
}

// list opens a directory. The first entry is read at once: clients find out by
// OPENDIR whether a directory exists (FileZilla).
func (s *session) list(name string) (_ sftp.ListerAt, err error) {
	if !s.take() {
		return nil, statusTooMany
	}
	defer s.giveFailed(&err)
	defer s.caught("list", &err)
	next, stop := iter.Pull2(s.view.List(s.ctx, name))
	l := &listing{s: s, name: name, next: next, stop: stop}
	if l.advance(); l.err != nil && l.err != io.EOF {
		stop()
		return nil, l.err
	}
	return l, nil
}

// advance reads the next entry ahead.
func (l *listing) advance() {
	i, err, ok := l.next()
	switch {
	case !ok:
		l.ahead, l.err = nil, io.EOF
	case err != nil:
		l.ahead, l.err = nil, l.s.fail("list", l.name, err)
	default:
		l.ahead = i
	}
}

// ListAt implements sftp.ListerAt; the offset is always where the last call
// ended.
func (l *listing) ListAt(out []fs.FileInfo, _ int64) (n int, err error) {
	defer l.s.caught("list", &err)
	for size := 0; n < len(out) && l.ahead != nil; n++ {
		if size += len(l.ahead.Name()); size > maxNames && n > 0 {
			return n, nil
		}
		out[n] = l.ahead
		l.advance()
	}
	if n > 0 {
		return n, nil
	}
	return 0, l.err
}

// Close implements io.Closer.
func (l *listing) Close() (err error) {
	defer l.s.give()
	defer l.s.caught("close", &err)
	l.stop()
	return nil
}
