package bundle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// journal is a journal that is read.
type journal struct {
	r    io.ReaderAt
	size int64
	end  journalEnd
}

// journalEnd is its last record.
type journalEnd struct {
	manifest Manifest
	chunk    uint32 // CRC of the last chunk, which the end cut
	crc      uint32 // of the journal in front of it
}

var errJournal = &IndexError{Reason: "the journal is damaged"}

// openJournal reads the end of a journal.
func openJournal(r io.ReaderAt, size int64) (*journal, error) {
	if size < int64(len(journalMagic)+endLen) {
		return nil, badIndex("the journal is cut short")
	}
	b := make([]byte, endLen)
	if err := readFull(r, b, size-endLen); err != nil {
		return nil, &IndexError{"read the journal", err}
	}
	if b[0] != tagEnd {
		return nil, badIndex("the journal has no end")
	}
	j := &journal{r: r, size: size}
	m := &j.end.manifest
	for i, p := range []*int64{&m.Size, &m.Unpacked, &m.Entries, &m.Members} {
		if *p = int64(binary.LittleEndian.Uint64(b[1+8*i:])); *p < 0 {
			return nil, errJournal
		}
	}
	j.end.chunk, j.end.crc = binary.LittleEndian.Uint32(b[33:]), binary.LittleEndian.Uint32(b[37:])
	return j, nil
}

// readFull reads all of b at an offset.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// handlers are called for the records of a journal; what they get is valid during
// the call. One that is nil passes.
type handlers struct {
	entry func(e *Entry) error
	chunk func(crc uint32) error
	point func(p point, window []byte) error
}

// summed keeps the CRC of what it read.
type summed struct {
	r   io.Reader
	crc uint32
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.crc = crc32.Update(s.crc, crc32.IEEETable, b[:n])
	return n, err
}

// read goes through the journal. It says at the end whether the bytes were what
// the check had written.
func (j *journal) read(h handlers) error {
	s := &summed{r: io.NewSectionReader(j.r, 0, j.size-4)}
	p := recordReader{r: bufio.NewReaderSize(s, 64<<10)}
	magic := p.bytes(nil, len(journalMagic))
	if p.err == nil && string(magic) != journalMagic {
		return badIndex("the journal is of another version")
	}
	for p.err == nil {
		switch tag := p.byte(); {
		case p.err != nil:
		case tag == tagEntry:
			p.entry(h.entry)
		case tag == tagChunk:
			p.chunk(h.chunk)
		case tag == tagPoint:
			p.point(h.point)
		case tag == tagEnd:
			return j.checked(p.r, s)
		default:
			p.err = errJournal
		}
	}
	if errors.Is(p.err, io.EOF) {
		return errJournal
	}
	return p.err
}

// checked is what read says behind the tag of the last record.
func (j *journal) checked(r io.Reader, s *summed) error {
	if n, err := io.Copy(io.Discard, r); n != endLen-1-4 || err != nil || s.crc != j.end.crc {
		return errJournal
	}
	return nil
}

// recordReader reads records that are not trusted.
type recordReader struct {
	r    *bufio.Reader
	err  error
	e    Entry
	name []byte
	link []byte
	end  int64
	blob []byte
	secs int64
}

func (p *recordReader) byte() byte {
	if p.err != nil {
		return 0
	}
	var c byte
	c, p.err = p.r.ReadByte()
	return c
}

// bytes appends n bytes to b.
func (p *recordReader) bytes(b []byte, n int) []byte {
	if p.err != nil {
		return b
	}
	from := len(b)
	b = append(b, make([]byte, n)...)
	_, p.err = io.ReadFull(p.r, b[from:])
	return b
}

func (p *recordReader) number(limit int64) int64 {
	if p.err != nil {
		return 0
	}
	var v uint64
	if v, p.err = binary.ReadUvarint(p.r); p.err == nil && v > uint64(limit) {
		p.err = errJournal
	}
	if p.err != nil {
		return 0
	}
	return int64(v)
}

func (p *recordReader) signed() (v int64) {
	if p.err == nil {
		v, p.err = binary.ReadVarint(p.r)
	}
	return v
}

func (p *recordReader) entry(f func(*Entry) error) {
	shared := int(p.number(int64(len(p.name))))
	p.name = p.bytes(p.name[:shared], int(p.number(int64(maxName-shared))))
	kind := p.byte()
	e := &p.e
	*e = Entry{Name: p.name, Type: Type(kind &^ sparseBit), Sparse: kind&sparseBit != 0}
	e.implied = int(p.number(maxName))
	e.Mode = uint32(p.number(0o7777))
	p.secs += p.signed()
	e.ModTime = time.Unix(p.secs, p.number(999_999_999))
	e.Size = p.number(maxStored)
	if e.RealSize = e.Size; e.Sparse {
		e.RealSize = p.number(math.MaxInt64)
	}
	e.Header = p.end + p.number(math.MaxInt64-blockSize-p.end)
	e.Offset = e.Header + p.number(math.MaxInt64-blockSize-e.Header)
	if e.Type == TypeSymlink || e.Type == TypeHardlink {
		p.link = p.bytes(p.link[:0], int(p.number(maxName)))
		e.Linkname = p.link
	}
	if p.err == nil && (e.Type < TypeFile || e.Type > TypeVendor || e.Size > math.MaxInt64-blockSize-e.Offset) {
		p.err = errJournal
	}
	p.end = e.Offset + e.Size + padding(e.Size)
	if p.err == nil && f != nil {
		p.err = f(e)
	}
}

func (p *recordReader) chunk(f func(uint32) error) {
	p.blob = p.bytes(p.blob[:0], 4)
	if p.err == nil && f != nil {
		p.err = f(binary.LittleEndian.Uint32(p.blob))
	}
}

func (p *recordReader) point(f func(point, []byte) error) {
	at := point{kind: pointKind(p.byte())}
	at.out, at.bits = p.number(math.MaxInt64), p.number(math.MaxInt64)
	p.blob = p.bytes(p.blob[:0], int(p.number(maxWindow)))
	if p.err == nil && f != nil {
		p.err = f(at, p.blob)
	}
}
