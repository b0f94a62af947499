package bundle

import "hash/crc32"

// zeros32 is x^(2^i) modulo the polynomial of CRC-32, bit-reversed, as zlib's
// crc32_combine has it.
var zeros32 = func() (t [32]uint32) {
	t[0] = 1 << 30
	for i := 1; i < len(t); i++ {
		t[i] = times32(t[i-1], t[i-1])
	}
	return t
}()

// times32 multiplies two polynomials modulo that of CRC-32, bit-reversed.
func times32(a, b uint32) (p uint32) {
	for m := uint32(1 << 31); a != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
			a ^= m
		}
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return p
}

// shift32 is what n bytes behind it make of the CRC of some bytes: the CRC of
// both together is shift32(CRC of the first, n) ^ CRC of the second.
func shift32(crc uint32, n int64) uint32 {
	p := uint32(1 << 31)
	for i := 3; n != 0; i++ {
		if n&1 != 0 {
			p = times32(zeros32[i&31], p)
		}
		n >>= 1
	}
	return times32(p, crc)
}
