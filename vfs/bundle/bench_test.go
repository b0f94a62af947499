package bundle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
)

// benchCheck checks data in writes as SFTP clients send them.
func benchCheck(b *testing.B, data []byte, unpacked int) {
	b.SetBytes(int64(unpacked))
	b.ReportAllocs()
	for b.Loop() {
		c := NewCheck(Limits{})
		for p := data; len(p) > 0; p = p[min(len(p), 32<<10):] {
			if _, err := c.Write(p[:min(len(p), 32<<10)]); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := c.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// manyEntries is a tar stream of n small files in n/50 directories.
func manyEntries(n int) []byte {
	var body []byte
	for i := range n {
		name := fmt.Sprintf("sosreport-host-2024/var/log/service-%03d/file-%05d.log", i/50, i)
		body = append(body, entry('0', name, "a short file\n").bytes()...)
	}
	return append(body, eof...)
}

// logs is a tar stream of one file of n lines.
func logs(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "2024-11-23T18:%02d:%02d.%06d host-%d service[%d]: request %x took %d ms\n", i/60%60, i%60, i*7919%1000000, i%7, i%3000, i*2654435761, i%977)
	}
	return whole(entry('0', "var/log/messages", b.String()))
}

func BenchmarkCheckEntries(b *testing.B) {
	body := manyEntries(20000)
	benchCheck(b, gz(body), len(body))
}

func BenchmarkCheckLogs(b *testing.B) {
	body := logs(300000)
	benchCheck(b, gz(body), len(body))
}

// BenchmarkCheckSmall is what one small upload costs, memory above all.
func BenchmarkCheckSmall(b *testing.B) {
	body := manyEntries(20)
	benchCheck(b, gz(body), len(body))
}

// BenchmarkWalk is the tar walker alone; an operation is one entry.
func BenchmarkWalk(b *testing.B) {
	const n = 10000
	body := manyEntries(n)
	b.ReportAllocs()
	for i := 0; i < b.N; i += n {
		w := walker{maxEntries: 1 << 30, names: newNames([2]uint64{1, 2}, 1<<20)}
		if r := w.write(body); r != nil {
			b.Fatal(r)
		}
	}
}

// BenchmarkHostile checks streams that cost the most for their size; bytes are
// those of the input, of which no stream should take fewer than 15 MB/s a core.
func BenchmarkHostile(b *testing.B) {
	var members []byte
	for range 10000 {
		members = append(members, gz([]byte{})...)
	}
	var stored []byte // blocks of one byte
	tar := manyEntries(200)
	for i, c := range tar {
		final := byte(0)
		if i == len(tar)-1 {
			final = 1
		}
		stored = append(stored, final, 1, 0, 0xfe, 0xff, c)
	}
	crc, size := crc32.ChecksumIEEE(tar), uint32(len(tar))
	stored = append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), stored...)
	stored = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(stored, crc), size)
	for name, data := range map[string][]byte{
		"empty members":   append(members, gz([]byte(eof))...),
		"one-byte blocks": stored,
		"tiny entries":    gz(manyEntries(50000)),
	} {
		b.Run(name, func(b *testing.B) { benchCheck(b, data, len(data)) })
	}
}
