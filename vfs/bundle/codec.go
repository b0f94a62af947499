package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// codec writes a state or reads it back: the same walk over the fields does
// both, so that the two cannot differ. What it reads is untrusted. The first
// error stays, and everything read after it is zero.
type codec struct {
	load bool
	b    []byte // written so far, or still to be read
	err  error
}

var errShort = errors.New("the state is cut off")

func (c *codec) fail(err error) {
	if c.err == nil {
		c.err, c.b = err, nil
	}
}

// integer is anything that number takes.
type integer interface {
	~int | ~int64 | ~uint8 | ~uint32
}

// coded writes or reads an integer that lies between lo and hi.
func coded[T integer](c *codec, what string, p *T, lo, hi int64) {
	if !c.load {
		c.b = binary.AppendVarint(c.b, int64(*p))
		return
	}
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail(errShort)
		return
	}
	c.b = c.b[n:]
	if v < lo || v > hi {
		c.fail(fmt.Errorf("%s is %d, want %d to %d", what, v, lo, hi))
		return
	}
	*p = T(v)
}

func (c *codec) flag(p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	coded(c, "flag", &v, 0, 1)
	*p = v == 1
}

// bytes writes or reads at most limit bytes, which are copied.
func (c *codec) bytes(what string, p *[]byte, limit int) {
	n := len(*p)
	coded(c, what+" length", &n, 0, int64(limit))
	switch {
	case !c.load:
		c.b = append(c.b, *p...)
	case c.err != nil:
	case n > len(c.b):
		c.fail(errShort)
	default:
		*p = append((*p)[:0], c.b[:n]...)
		c.b = c.b[n:]
	}
}

// word writes or reads 64 bits.
func (c *codec) word(p *uint64) {
	switch {
	case !c.load:
		c.b = binary.LittleEndian.AppendUint64(c.b, *p)
	case len(c.b) < 8:
		c.fail(errShort)
	default:
		*p = binary.LittleEndian.Uint64(c.b)
		c.b = c.b[8:]
	}
}
