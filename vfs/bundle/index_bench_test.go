package bundle

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchRecord checks data with and without an index in turn, and reports what the
// journal costs and how large the index is.
func benchRecord(b *testing.B, data []byte, unpacked int) {
	b.SetBytes(int64(unpacked))
	least := map[bool]time.Duration{} // other programs only ever add to it
	for b.Loop() {
		for _, record := range []bool{false, true} {
			c, took := NewCheck(Limits{}), time.Now()
			if record {
				c.Record(IndexOptions{})
			}
			var j []byte
			for p := data; len(p) > 0; p = p[min(len(p), 32<<10):] {
				if _, err := c.Write(p[:min(len(p), 32<<10)]); err != nil {
					b.Fatal(err)
				}
				j = c.Index(j[:0])
			}
			if d := time.Since(took); least[record] == 0 || d < least[record] {
				least[record] = d
			}
		}
	}
	b.ReportMetric(100*(least[true].Seconds()/least[false].Seconds()-1), "%cost")
	var index bytes.Buffer
	if _, err := BuildIndex(context.Background(), &index, bytes.NewReader(data), Limits{}, BuildOptions{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(100*float64(index.Len())/float64(len(data)), "%index")
}

// BenchmarkRecord is what keeping an index costs a check, by kinds of content.
func BenchmarkRecord(b *testing.B) {
	for _, kind := range []string{"logs", "binaries", "incompressible", "repeats", "entries"} {
		b.Run(kind, func(b *testing.B) {
			body := benchBody(b, kind)
			benchRecord(b, gz(body), len(body))
		})
	}
}

func benchBody(b *testing.B, kind string) []byte {
	rng := rand.New(rand.NewPCG(1, 9))
	data := make([]byte, 64<<20)
	switch kind {
	case "logs":
		return logs(800000)
	case "entries":
		return manyEntries(50000)
	case "binaries":
		exe, err := os.Executable()
		if err != nil {
			b.Fatal(err)
		}
		if data, err = os.ReadFile(exe); err != nil {
			b.Fatal(err)
		}
		data = slices.Concat(data, data, data, data)
	case "incompressible":
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
	case "repeats":
		line := make([]byte, 4000)
		for i := range data {
			data[i] = line[i%len(line)]
			if rng.IntN(100000) == 0 {
				line[rng.IntN(len(line))]++
			}
		}
	}
	return whole(entry('0', "data", string(data)))
}

// BenchmarkCompile makes an index of a journal of a million entries; the
// operation is all of it.
func BenchmarkCompile(b *testing.B) {
	c := NewCheck(Limits{})
	c.Record(IndexOptions{})
	var j []byte
	body := manyEntries(1000000)
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	z.Write(body)
	z.Close()
	for p := packed.Bytes(); len(p) > 0; p = p[min(len(p), 32<<10):] {
		if _, err := c.Write(p[:min(len(p), 32<<10)]); err != nil {
			b.Fatal(err)
		}
		j = c.Index(j)
	}
	j = c.IndexEnd(j)
	scratch := func() (Scratch, error) { return os.CreateTemp(b.TempDir(), "") }
	size := 0
	for b.Loop() {
		var index bytes.Buffer
		if err := Compile(context.Background(), &index, bytes.NewReader(j), int64(len(j)), CompileOptions{Scratch: scratch}); err != nil {
			b.Fatal(err)
		}
		size = index.Len()
	}
	b.ReportMetric(float64(size)/1e6, "B/entry")
	b.ReportMetric(float64(len(j))/1e6, "journalB/entry")
}

// BenchmarkList lists a directory of 100,000 entries with all that stat tells.
func BenchmarkList(b *testing.B) {
	var body []byte
	for i := range 100000 {
		body = append(body, entry('0', fmt.Sprintf("host/var/spool/message-%08x", i*2654435761), "").bytes()...)
	}
	data := gz(append(body, eof...))
	var index bytes.Buffer
	if _, err := BuildIndex(context.Background(), &index, bytes.NewReader(data), Limits{}, BuildOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(data), int64(len(data)), bytes.NewReader(index.Bytes()), int64(index.Len()), ReaderOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for d, err := range r.List("host/var/spool") {
			if err == nil {
				_, err = d.Info()
			}
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 100000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkRandomRead opens a Reader anew and reads 64 KiB at a random place, of a
// bundle of BUNDLEUP_BENCH_MIB unpacked (64 if it is not set), and reports the
// median and the 99th percentile.
func BenchmarkRandomRead(b *testing.B) {
	mib := 64
	if v, err := strconv.Atoi(os.Getenv("BUNDLEUP_BENCH_MIB")); err == nil {
		mib = v
	}
	archive, index, unpacked := bigBundle(b, mib)
	size, indexSize := fileSize(b, archive), fileSize(b, index)
	rng := rand.New(rand.NewPCG(7, 7))
	buf := make([]byte, 64<<10)
	var took []time.Duration
	for b.Loop() {
		from := time.Now()
		r, err := NewReader(archive, size, index, indexSize, ReaderOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.readAt(buf, rng.Int64N(unpacked-int64(len(buf)))); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(from))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric(100*float64(indexSize)/float64(size), "%index")
}

func fileSize(b *testing.B, f *os.File) int64 {
	i, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return i.Size()
}

// requests writes log lines of one host, each another, of about n bytes.
func requests(b *bytes.Buffer, rng *rand.Rand, host, n int) {
	for b.Len() < n {
		fmt.Fprintf(b, "2024-11-23T18:%02d:%02d.%06d host-%d service[%d]: request %x took %d ms\n",
			rng.IntN(60), rng.IntN(60), rng.IntN(1e6), host%7, rng.IntN(3000), rng.Uint32(), rng.IntN(977))
	}
}

// BenchmarkIndexShare indexes a bundle of logs of BUNDLEUP_BENCH_GIB unpacked (1 if it
// is not set) that is made while it is read, and reports the share that the index takes.
// 100 take some minutes.
func BenchmarkIndexShare(b *testing.B) {
	gib := 1
	if v, err := strconv.Atoi(os.Getenv("BUNDLEUP_BENCH_GIB")); err == nil {
		gib = v
	}
	for b.Loop() {
		var index bytes.Buffer
		m, err := BuildIndex(b.Context(), &index, longLog(b, gib*32), Limits{}, BuildOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(m.Unpacked)
		b.ReportMetric(float64(m.Unpacked)/float64(m.Size), "unpacked/packed")
		b.ReportMetric(100*float64(index.Len())/float64(m.Size), "%index")
	}
}

// longLog is a bundle of one log file, one gzip member, in which 32 MiB come again and
// again; only those are deflated.
func longLog(b *testing.B, times int) io.Reader {
	var body bytes.Buffer
	requests(&body, rand.New(rand.NewPCG(6, 6)), 1, 32<<20)
	size := int64(body.Len()) * int64(times)
	head := raw{typ: '0', name: "var/log/messages", edit: func(h []byte) {
		copy(h[124:128], "\x80\x00\x00\x00")
		binary.BigEndian.PutUint64(h[128:], uint64(size))
	}}.bytes()
	tail := append(make([]byte, padding(size)), eof...)
	parts := []io.Reader{strings.NewReader("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")}
	crc := uint32(0)
	part := func(data []byte, times int, last bool) {
		var packed bytes.Buffer
		z, _ := flate.NewWriter(&packed, 6)
		z.Write(data)
		if z.Flush(); last {
			z.Close()
		}
		for range times {
			parts = append(parts, bytes.NewReader(packed.Bytes()))
			crc = shift32(crc, int64(len(data))) ^ crc32.ChecksumIEEE(data)
		}
	}
	part(head, 1, false)
	part(body.Bytes(), times, false)
	part(tail, 1, true)
	end := binary.LittleEndian.AppendUint32(nil, crc)
	total := size + int64(len(head)+len(tail))
	return io.MultiReader(append(parts, bytes.NewReader(binary.LittleEndian.AppendUint32(end, uint32(total))))...)
}

// bigBundle makes a bundle of log files, each line another, with its index.
func bigBundle(b *testing.B, mib int) (archive, index *os.File, unpacked int64) {
	dir := b.TempDir()
	create := func(name string) *os.File {
		f, err := os.Create(dir + "/" + name)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { f.Close() })
		return f
	}
	archive, index = create("archive"), create("index")
	z := gzip.NewWriter(archive)
	rng := rand.New(rand.NewPCG(5, 5))
	var body bytes.Buffer
	for i := range mib / 8 {
		body.Reset()
		requests(&body, rng, i, 8<<20)
		if _, err := z.Write(entry('0', fmt.Sprintf("var/log/messages-%d", i), body.String()).bytes()); err != nil {
			b.Fatal(err)
		}
	}
	io.WriteString(z, eof)
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	m, err := BuildIndex(context.Background(), index, io.NewSectionReader(archive, 0, 1<<62), Limits{}, BuildOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return archive, index, m.Unpacked
}
