package inflate

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"
)

// BenchmarkDecode compares with compress/flate on the same streams; bytes are those
// of the output.
func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"logs", "skewed", "random", "zeros", "periods", "repeats"} {
		data := bytes.Repeat(samples()[name], 4)
		src := compress(b, data, 6)
		b.Run(name+"/bundleup", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			d := New()
			for b.Loop() {
				d.Reset()
				drain(b, d, src, len(data))
			}
		})
		b.Run(name+"/flate", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			r := flate.NewReader(nil)
			for b.Loop() {
				if err := r.(flate.Resetter).Reset(bytes.NewReader(src), nil); err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// BenchmarkHostile feeds streams that cost a decoder the most for their size;
// bytes are those of the input, of which no stream should take fewer than 15 MB/s
// a core.
func BenchmarkHostile(b *testing.B) {
	for _, stream := range hostile() {
		src := bytes.Repeat(bitString(repeat(stream.unit, 8)), 4096)
		b.Run(stream.name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			d := New()
			for b.Loop() {
				d.Reset()
				for rest := src; len(rest) > 0; {
					_, n, _, err := d.Decode(rest[:min(len(rest), 32<<10)])
					if err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
			}
		})
	}
}

// hostile are streams that cost much and say little, as bits to repeat.
func hostile() []struct{ name, unit string } {
	minimal := "0 01 00000 00000 0111 000 000 100 " + repeat("000 ", 14) + "100 1 1111111 1 1101011 0 0 "
	// 226 codes of 8 bits and 60 of 9, 2 of 4 and 28 of 5, and the block's end.
	full := "0 01 10111 10111 0001 100 000 000 000 110 000 110 000 000 110 000 110 " +
		"110 " + repeat("011 ", 37) + "000 111 " + repeat("011 ", 9) + "001 100 100 101 " + repeat("011 ", 4) + "000 111100010"
	deep, far := map[int]int{256: 15, 257: 15}, map[int]int{0: 15, 15: 15}
	for l := 1; l < 15; l++ {
		deep[l-1], far[l] = l, l
	}
	ones := "11111111111111"
	longCodes := "0" + dynamic(258, 16, deep, far).String()[1:]
	return []struct{ name, unit string }{
		{"empty fixed blocks", "0 10 0000000"},
		{"empty stored blocks", "0 00 00000 0000000000000000 1111111111111111"},
		{"minimal dynamic blocks", minimal + "0"},
		{"full dynamic blocks", full},
		{"deep dynamic blocks", longCodes + ones + "0"},
		{"15-bit codes", longCodes + "0" + repeat(ones+"1"+ones+"0", 100) + ones + "0"},
	}
}

func repeat(s string, n int) (out string) {
	for range n {
		out += s
	}
	return out
}

func drain(b *testing.B, d *Decoder, src []byte, want int) {
	total := 0
	for {
		out, n, s, err := d.Decode(src[:min(len(src), 32<<10)])
		if err != nil {
			b.Fatal(err)
		}
		total += len(out)
		src = src[n:]
		if s == Done {
			break
		}
	}
	if total != want {
		b.Fatalf("%d bytes, want %d", total, want)
	}
}
