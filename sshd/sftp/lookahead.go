package sftp

import (
	"io"
	"slices"
)

// minAhead is the buffer of a lookahead that waits, in bytes: a client that does
// nothing, and thousands may, holds no more. Most requests fit in.
const minAhead = 512

// lookahead is an io.Reader with room to look at what comes next. It grows to what
// is asked for and shrinks as soon as that has been read.
type lookahead struct {
	from io.Reader
	buf  []byte // what was read ahead of the reader
	err  error  // what comes after it
}

// Peek gives the next n bytes and leaves them there, until the next call; fewer
// come with an error. io.EOF is one only where it is the source's.
func (l *lookahead) Peek(n int) ([]byte, error) {
	for len(l.buf) < n && l.err == nil {
		l.fill(max(n, minAhead))
	}
	if len(l.buf) < n {
		return l.buf, l.err
	}
	return l.buf[:n], nil
}

// begun says that something was read ahead, or came to its end.
func (l *lookahead) begun() bool { return len(l.buf) > 0 || l.err != nil }

// fill reads once, so that there are at most size bytes. A reader that gives
// nothing is tried again by those who need more.
func (l *lookahead) fill(size int) {
	l.buf = slices.Grow(l.buf, size-len(l.buf))
	n, err := l.from.Read(l.buf[len(l.buf):size])
	l.buf, l.err = l.buf[:len(l.buf)+n], err
}

// take drops n bytes that were read ahead.
func (l *lookahead) take(n int) {
	l.buf = l.buf[:copy(l.buf, l.buf[n:])]
	if len(l.buf) == 0 && cap(l.buf) > minAhead {
		l.buf = nil
	}
}

// Read gives what was read ahead, and then what comes.
func (l *lookahead) Read(p []byte) (int, error) {
	switch {
	case len(l.buf) > 0:
		n := copy(p, l.buf)
		l.take(n)
		return n, nil
	case l.err != nil:
		return 0, l.err
	}
	return l.from.Read(p)
}

// Discard drops the next n bytes.
func (l *lookahead) Discard(n int) error {
	for n > 0 {
		if _, err := l.Peek(1); err != nil {
			return err
		}
		m := min(n, len(l.buf))
		l.take(m)
		n -= m
	}
	return nil
}
