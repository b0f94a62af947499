package bundle

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// The magics of the formats, with their versions.
const (
	magicUstar = "ustar\x0000"
	magicGNU   = "ustar  \x00"
	magicV7    = "\x00\x00\x00\x00\x00\x00\x00\x00"
)

// raw is a header block, built by hand, with the data behind it. What is left
// out is what an archiver would write.
type raw struct {
	name, link, prefix, magic string
	typ                       byte
	data                      string
	size                      int64          // of the field, when it is not that of data
	edit                      func(b []byte) // before the checksum
	spoil                     func(b []byte) // after it
	unpadded                  bool
}

// entry is a ustar entry.
func entry(typ byte, name, data string) raw {
	return raw{typ: typ, name: name, data: data, magic: magicUstar}
}

// link is a ustar entry with a target.
func link(typ byte, name, target string) raw {
	return raw{typ: typ, name: name, link: target, magic: magicUstar}
}

func (r raw) gnu() raw { r.magic = magicGNU; return r }
func (r raw) v7() raw  { r.magic = magicV7; return r }

// with puts text into the header at an offset.
func (r raw) with(at int, text string) raw {
	before := r.edit
	r.edit = func(b []byte) {
		if before != nil {
			before(b)
		}
		copy(b[at:], text)
	}
	return r
}

func (r raw) bytes() []byte {
	b := make([]byte, blockSize)
	copy(b[0:100], r.name)
	size := r.size
	if size == 0 {
		size = int64(len(r.data))
	}
	copy(b[100:], "0000644\x000001750\x000001750\x00")
	copy(b[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 1700000000))
	b[156] = r.typ
	copy(b[157:257], r.link)
	copy(b[257:], r.magic)
	if r.prefix != "" {
		copy(b[345:500], r.prefix)
	}
	if r.edit != nil {
		r.edit(b)
	}
	fixSum(b)
	if r.spoil != nil {
		r.spoil(b)
	}
	b = append(b, r.data...)
	if !r.unpadded {
		b = append(b, make([]byte, padding(int64(len(b))))...)
	}
	return b
}

// fixSum writes the checksum of a header.
func fixSum(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:blockSize] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// record is a PAX record.
func record(key, value string) string {
	n := len(key) + len(value) + 3
	for digits := 1; ; digits++ {
		if s := fmt.Sprintf("%d %s=%s\n", n+digits, key, value); len(s) == n+digits {
			return s
		}
	}
}

// pax is an extension header with keys and values in turn.
func pax(typ byte, kv ...string) raw {
	var b strings.Builder
	for i := 0; i+1 < len(kv); i += 2 {
		b.WriteString(record(kv[i], kv[i+1]))
	}
	return entry(typ, "PaxHeaders/x", b.String())
}

// long is a GNU long name (L) or long link (K).
func long(typ byte, name string) raw {
	return entry(typ, "././@LongLink", name+"\x00").gnu()
}

// eof is the end marker as archivers write it.
var eof = string(make([]byte, 2*blockSize))

// archive joins entries and text to a tar stream. It has an end marker only if
// eof is among them.
func archive(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case raw:
			b = append(b, p.bytes()...)
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// whole is archive with an end marker.
func whole(parts ...any) []byte { return append(archive(parts...), eof...) }

// gz makes a gzip file with a member for each of bodies. Small ones are stored,
// so that a place in the file is a place in the archive.
func gz(bodies ...[]byte) []byte {
	var b bytes.Buffer
	for _, body := range bodies {
		level := gzip.DefaultCompression
		if len(body) < 8<<10 {
			level = gzip.NoCompression
		}
		w, _ := gzip.NewWriterLevel(&b, level)
		w.Write(body)
		w.Close()
	}
	return b.Bytes()
}

// member is a gzip member built by hand.
type member struct {
	flags     byte
	extra     string // with its length in front
	name      string // with its NUL
	comment   string
	headerCRC bool
	body      []byte
	deflated  []byte // instead of body, which then only gives CRC and size
	spoil     func(header, trailer []byte)
}

func (m member) bytes() []byte {
	h := []byte{0x1f, 0x8b, 8, m.flags, 0, 0, 0, 0, 0, 255}
	h = append(h, m.extra+m.name+m.comment...)
	if m.headerCRC {
		h = binary.LittleEndian.AppendUint16(h, uint16(crc32.ChecksumIEEE(h)))
	}
	d := m.deflated
	if d == nil {
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, 6)
		w.Write(m.body)
		w.Close()
		d = b.Bytes()
	}
	t := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(m.body))
	t = binary.LittleEndian.AppendUint32(t, uint32(len(m.body)))
	if m.spoil != nil {
		m.spoil(h, t)
	}
	return append(append(h, d...), t...)
}

// feed writes data in pieces whose lengths next gives, and finishes.
func feed(t testing.TB, c *Check, data []byte, next func(left int) int) (*Manifest, *Rejection) {
	t.Helper()
	for len(data) > 0 {
		n := next(len(data))
		got, err := c.Write(data[:n])
		if err != nil {
			return nil, asRejection(t, err)
		}
		if got != n {
			t.Fatalf("Write took %d of %d bytes without an error", got, n)
		}
		data = data[n:]
	}
	m, err := c.Finish()
	return m, asRejection(t, err)
}

func asRejection(t testing.TB, err error) *Rejection {
	t.Helper()
	if err == nil {
		return nil
	}
	r, ok := err.(*Rejection)
	if !ok {
		t.Fatalf("error %v is a %T, want a *Rejection", err, err)
	}
	return r
}

// judge writes data whole.
func judge(t testing.TB, data []byte) (*Manifest, *Rejection) {
	t.Helper()
	return feed(t, NewCheck(Limits{}), data, func(left int) int { return left })
}
