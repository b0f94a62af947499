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
// bytes are those of the input.
func BenchmarkHostile(b *testing.B) {
	for name, unit := range map[string]string{
		"empty fixed blocks":     "0 10 0000000",
		"minimal dynamic blocks": "0 01 00000 00000 0111 000 000 100 " + repeat("000 ", 14) + "100 1 1111111 1 1101011 0 0 0 ",
	} {
		src := bytes.Repeat(bitString(repeat(unit, 8)), 4096)
		b.Run(name, func(b *testing.B) {
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
