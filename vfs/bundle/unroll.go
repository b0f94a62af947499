package bundle

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"bundleup/vfs/bundle/inflate"
)

// unroller gives the unpacked stream from a checkpoint on.
type unroller struct {
	r     *Reader
	dec   *inflate.Decoder
	pos   int64  // of rest, in the unpacked stream
	rest  []byte // output that nobody has taken
	in    []byte // input that was not decoded yet
	buf   []byte
	at    int64 // where the archive is read on
	frame frame // inBody, or in a header; behind: in front of a member
	skip  int   // bytes of a trailer
}

const unrollBuffer = 32 << 10

// errStreamEnd says that the archive ends before its unpacked stream does.
var errStreamEnd = errors.New("the archive ends too early")

// unroll begins at a checkpoint.
func (r *Reader) unroll(p point) (*unroller, error) {
	u := &unroller{r: r, dec: inflate.New(), buf: make([]byte, unrollBuffer), pos: p.out, at: p.bits / 8}
	switch p.kind {
	case atMember:
		u.frame.next(behind)
		return u, nil
	case atTrailer:
		u.endMember()
		return u, nil
	}
	b, err := r.unpack(p.window, windowSection, maxWindow)
	if err != nil {
		return nil, err
	}
	checkpoint, history, ok := parseWindow(b)
	if !ok {
		return nil, badIndex("a window is damaged")
	}
	bits, n := uint64(0), 0
	if used := int(p.bits % 8); used > 0 {
		if err := u.fill(); err != nil {
			return nil, err
		}
		bits, n = uint64(u.in[0])>>used, 8-used
		u.in = u.in[1:]
	}
	if err := u.dec.Resume(checkpoint, history, bits, n); err != nil {
		return nil, &IndexError{"a checkpoint is damaged", err}
	}
	u.frame.next(inBody)
	return u, nil
}

func (u *unroller) endMember() {
	u.frame.next(behind)
	u.skip = 8
}

// fill brings input if there is none.
func (u *unroller) fill() error {
	if len(u.in) > 0 {
		return nil
	}
	n, err := u.r.archive.ReadAt(u.buf[:min(int64(len(u.buf)), max(u.r.size-u.at, 0))], u.at)
	if n == 0 {
		if err == nil || errors.Is(err, io.EOF) {
			err = errStreamEnd
		}
		return err
	}
	u.in = u.buf[:n]
	u.at += int64(n)
	return nil
}

// more brings output.
func (u *unroller) more() error {
	for len(u.rest) == 0 {
		if err := u.fill(); err != nil {
			return err
		}
		if u.frame.part != inBody {
			if err := u.header(); err != nil {
				return err
			}
			continue
		}
		out, n, s, err := u.dec.Decode(u.in)
		if err != nil {
			return err
		}
		u.rest, u.in = out, u.in[n:]
		if s == inflate.Done {
			u.endMember()
		}
	}
	return nil
}

// header goes through what lies between two deflated streams.
func (u *unroller) header() error {
	switch {
	case u.skip > 0:
		n := min(u.skip, len(u.in))
		u.skip -= n
		u.in = u.in[n:]
	case u.frame.part == behind:
		if u.in[0] != 0x1f {
			return errStreamEnd
		}
		u.frame.begin(u.in[:1])
		u.in = u.in[1:]
	default:
		n, r := u.frame.header(u.in)
		if r != nil {
			return r
		}
		u.in = u.in[n:]
		if u.frame.part == inBody {
			u.dec.Reset()
		}
	}
	return nil
}

// read fills b.
func (u *unroller) read(b []byte) error {
	for len(b) > 0 {
		if err := u.more(); err != nil {
			return err
		}
		n := copy(b, u.rest)
		u.rest, b = u.rest[n:], b[n:]
		u.pos += int64(n)
	}
	return nil
}

// discard goes on to a place.
func (u *unroller) discard(to int64) error {
	for u.pos < to {
		if err := u.more(); err != nil {
			return err
		}
		n := min(int64(len(u.rest)), to-u.pos)
		u.rest = u.rest[n:]
		u.pos += n
	}
	return nil
}

// chunk fills b with the chunk that begins at pos and sees that it is right.
func (u *unroller) chunk(b []byte, crc uint32) error {
	start := u.pos
	if err := u.read(b); err != nil {
		return damaged(start, err)
	}
	if crc32.ChecksumIEEE(b) != crc {
		return u.r.blame(start)
	}
	return nil
}

// damaged wraps what went wrong in the chunk that begins at start. What the
// medium says stays as it is.
func damaged(start int64, err error) error {
	var corrupt *inflate.CorruptError
	var rejected *Rejection
	if errors.As(err, &corrupt) || errors.As(err, &rejected) || errors.Is(err, errStreamEnd) {
		return &DamageError{start, "the archive is damaged", err}
	}
	return fmt.Errorf("read bundle: %w", err)
}
