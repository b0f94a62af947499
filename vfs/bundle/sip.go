package bundle

import (
	"encoding/binary"
	"math/bits"
)

// sip is SipHash-1-3 (Aumasson and Bernstein) in the middle of a path: it
// takes a component at a time and can tell the hash of every prefix on the
// way. Its key is random, so that nobody can choose names that collide.
type sip struct{ v0, v1, v2, v3 uint64 }

func newSip(key [2]uint64) sip {
	return sip{
		key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573,
	}
}

func (s *sip) round() {
	v0, v1, v2, v3 := s.v0, s.v1, s.v2, s.v3
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	s.v0, s.v1, s.v2, s.v3 = v0, v1, v2, v3
}

// component takes the next component of a path. The length goes into v2 after
// the last word, which keeps "ab/c" and "a/bc" apart.
func (s *sip) component(b []byte) {
	n := len(b)
	for ; len(b) >= 8; b = b[8:] {
		s.word(binary.LittleEndian.Uint64(b))
	}
	var m uint64
	for i, c := range b {
		m |= uint64(c) << (8 * i)
	}
	s.v2 ^= 1<<32 | uint64(n)
	s.word(m)
}

func (s *sip) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.v0 ^= m
}

// sum is the hash of the path so far.
func (s sip) sum() uint64 {
	s.v2 ^= 0xff
	s.round()
	s.round()
	s.round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}
