package bundle

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestShift32(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	b := make([]byte, 5000)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for _, n := range []int{0, 1, 2, 7, 255, 256, 4999, 5000} {
		first, second := crc32.ChecksumIEEE(b[:n]), crc32.ChecksumIEEE(b[n:])
		if got, want := shift32(first, int64(len(b)-n))^second, crc32.ChecksumIEEE(b); got != want {
			t.Errorf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}
