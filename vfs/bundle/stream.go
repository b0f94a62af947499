package bundle

import (
	"fmt"
	"io"
	"io/fs"
	"iter"
)

// Span is a piece of the unpacked stream.
type Span struct{ Offset, End int64 }

// Spans cuts the unpacked stream into pieces of least bytes or somewhat more, the
// last one may be shorter, that can be read at full speed independently: for a
// search on all cores.
func (r *Reader) Spans(least int64) iter.Seq2[Span, error] {
	return func(yield func(Span, error) bool) {
		s, last := Span{}, int64(0)
		for n := int64(0); n < r.chunks(); n++ {
			_, point, err := r.chunkAt(n)
			if err != nil {
				yield(s, err)
				return
			}
			if at := n * chunkLen; point != last && at-s.Offset >= least {
				s.End = at
				if !yield(s, nil) {
					return
				}
				s.Offset = at
			}
			last = point
		}
		if s.End = r.header.manifest.Unpacked; s.End > s.Offset {
			yield(s, nil)
		}
	}
}

// Stream reads the unpacked bytes from up to to, in order and past the cache, with
// a decoder of its own: about 1.4 MiB until Close. Every MiB is verified before
// any of it is handed out.
func (r *Reader) Stream(from, to int64) *Stream {
	return &Stream{r: r, at: max(from, 0), to: min(to, r.header.manifest.Unpacked)}
}

// Stream is a reader of the unpacked stream: an io.ReadCloser and io.WriterTo. It
// is not safe for concurrent use.
type Stream struct {
	r      *Reader
	at, to int64
	u      *unroller
	buf    []byte // a chunk
	rest   []byte // of it
	err    error
}

// Offset is where in the unpacked stream the next Read begins.
func (s *Stream) Offset() int64 { return s.at }

// Read is that of io.Reader. Errors stay.
func (s *Stream) Read(b []byte) (int, error) {
	if err := s.fill(); err != nil {
		return 0, err
	}
	n := copy(b, s.rest)
	s.took(n)
	return n, nil
}

// WriteTo is that of io.WriterTo.
func (s *Stream) WriteTo(w io.Writer) (total int64, err error) {
	for {
		switch err := s.fill(); {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
		n, err := w.Write(s.rest)
		total += int64(n)
		s.took(n)
		if err != nil {
			return total, err
		}
	}
}

func (s *Stream) took(n int) {
	s.rest = s.rest[n:]
	s.at += int64(n)
}

// fill brings bytes if there are none.
func (s *Stream) fill() error {
	if len(s.rest) > 0 {
		return nil
	}
	if s.err == nil && s.at >= s.to {
		s.err = io.EOF
	}
	if s.err == nil {
		s.err = s.next()
	}
	return s.err
}

// next decodes the chunk that at lies in.
func (s *Stream) next() (err error) {
	n := s.at / chunkLen
	crc, point, err := s.r.chunkAt(n)
	if err != nil {
		return err
	}
	if s.u == nil {
		if s.u, err = s.r.from(point, n); err != nil {
			return err
		}
		if err := s.u.discard(n * chunkLen); err != nil {
			return damaged(n*chunkLen, err)
		}
	}
	if s.buf == nil {
		s.buf = make([]byte, chunkLen)
	}
	b := s.buf[:s.r.chunkSize(n)]
	if err := s.u.chunk(b, crc); err != nil {
		return err
	}
	s.rest = b[s.at-n*chunkLen : min(int64(len(b)), s.to-n*chunkLen)]
	return nil
}

// Close gives the memory back. Read fails after it.
func (s *Stream) Close() error {
	s.u, s.buf, s.rest = nil, nil, nil
	s.err = fmt.Errorf("read bundle: %w", fs.ErrClosed)
	return nil
}
