package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"bundleup/vfs/bundle/inflate"
)

// stateMagic begins every saved state; its last byte is the version.
const stateMagic = "bundle check\x00\x02"

// maxDecoderState is more than a decoder needs for its 32 KiB of history.
const maxDecoderState = 64 << 10

// AppendBinary appends the state of the check between two writes: about 35 KiB
// and 8 bytes for each name, and at times 100 KiB more if it records. A stream that was refused has no state to go on
// from, which is an error.
func (c *Check) AppendBinary(b []byte) ([]byte, error) {
	if c.rejection != nil {
		return b, errors.New("save check: the stream was refused")
	}
	if c.rec != nil && len(c.rec.out) > 0 {
		return b, errors.New("save check: the index was not taken")
	}
	start := len(b)
	e := &codec{b: append(b, stateMagic...)}
	c.fields(e)
	if e.err != nil {
		return b, fmt.Errorf("save check: %w", e.err)
	}
	return binary.LittleEndian.AppendUint32(e.b, crc32.ChecksumIEEE(e.b[start:])), nil
}

// UnmarshalBinary takes up the state that AppendBinary gave, in this process
// or another. The limits and OnEntry stay those of c; it goes on to record if
// both did. The bytes are not trusted: whatever they are, the check stays within
// its bounds; on an error c is as it was.
func (c *Check) UnmarshalBinary(b []byte) error {
	n := len(b) - 4
	if n < len(stateMagic) || string(b[:len(stateMagic)]) != stateMagic {
		return errors.New("restore check: not a state of this version")
	}
	if crc32.ChecksumIEEE(b[:n]) != binary.LittleEndian.Uint32(b[n:]) {
		return errors.New("restore check: the state's checksum does not match")
	}
	fresh := NewCheck(c.limits)
	d := &codec{load: true, b: b[len(stateMagic):n]}
	fresh.fields(d)
	if d.err == nil && len(d.b) > 0 {
		d.err = errors.New("the state is too long")
	}
	if d.err != nil {
		return fmt.Errorf("restore check: %w", d.err)
	}
	if c.rec == nil {
		fresh.rec = nil
	}
	if fresh.rec != nil {
		fresh.rec.free = c.rec.free
	}
	fresh.tar.onEntry, fresh.tar.rec = c.tar.onEntry, fresh.rec
	*c = *fresh
	return nil
}

// fields walks over everything that a state holds.
func (c *Check) fields(d *codec) {
	coded(d, "size", &c.in, 0, math.MaxInt64-1)
	coded(d, "unpacked", &c.unpacked, 0, math.MaxInt64-1)
	coded(d, "members", &c.members, 0, math.MaxInt64-1)
	coded(d, "body", &c.body, 0, c.in)
	d.bytes("head", &c.head, sniffLen-1)
	if len(c.head) >= 2 && isGzip(c.head) {
		d.fail(errors.New("the head is a gzip member"))
	}
	c.frame.fields(d)
	if c.frame.part == inBody {
		c.decoder(d)
	}
	c.tar.pos = c.unpacked
	c.tar.fields(d)
	c.recorder(d)
}

// recorder is part of a state if the check records.
func (c *Check) recorder(d *codec) {
	on := c.rec != nil
	if d.flag(&on); !on {
		c.rec = nil
		return
	}
	if d.load {
		c.rec = &recorder{free: new(Tracers)}
	}
	c.rec.fields(d)
}

func (c *Check) decoder(d *codec) {
	var b []byte
	if !d.load {
		state, err := c.dec.AppendBinary(nil)
		if err != nil {
			d.fail(err)
		}
		b = state
	}
	d.bytes("decoder", &b, maxDecoderState)
	if d.load && d.err == nil {
		c.dec = inflate.New()
		if err := c.dec.UnmarshalBinary(b); err != nil {
			d.fail(err)
		}
	}
}

func (f *frame) fields(d *codec) {
	coded(d, "part", &f.part, 0, int64(parts)-1)
	last := map[part]int64{inFixed: fixedLen, inExtraLen: 2, inFileName: maxText + 1, inComment: maxText + 1, inHeaderCRC: 2, inCRC: 4, inSize: 4}[f.part]
	coded(d, "bytes of the part", &f.n, 0, max(last-1, 0))
	coded(d, "extra", &f.left, 0, math.MaxUint16)
	if f.part == inExtra && f.left == 0 {
		d.fail(errors.New("the extra field has no end"))
	}
	coded(d, "flags", &f.flags, 0, math.MaxUint8)
	coded(d, "word", &f.word, 0, math.MaxUint32)
	coded(d, "crc", &f.crc, 0, math.MaxUint32)
	coded(d, "member size", &f.size, 0, math.MaxUint32)
}

func (w *walker) fields(d *codec) {
	coded(d, "stage", &w.stage, 0, int64(stages)-1)
	coded(d, "entries", &w.entries, 0, math.MaxInt64-1)
	coded(d, "need", &w.need, 0, math.MaxInt64-1)
	switch w.stage {
	case inData, inMap, inRecords, inLongName, inLongLink:
		if w.need == 0 {
			d.fail(errors.New("a stage has no end"))
		}
	}
	d.flag(&w.ended)
	part := w.block[:w.have]
	d.bytes("block", &part, blockSize-1)
	w.have = len(part)
	d.bytes("name", &w.name, maxHeld)
	w.ext.fields(d)
	w.fragments.fields(d)
	switch w.stage {
	case inRecords:
		w.records.fields(d)
	case inMap:
		w.fmap.fields(d)
	case atFragment:
		w.entry.fields(d)
		w.entry.Name = w.name
	}
	w.names.fields(d)
}

// maxHeld is the longest name that is held before it is judged: of ustar or
// of extension headers.
const maxHeld = maxName

func (e *extension) fields(d *codec) {
	coded(d, "chain", &e.chain, 0, maxChain)
	coded(d, "extension offset", &e.from, 0, math.MaxInt64)
	coded(d, "extension bytes", &e.bytes, 0, maxRecords)
	for _, p := range []*bool{&e.local, &e.gnuName, &e.gnuLink, &e.paxName, &e.paxLink, &e.hasSize, &e.hasTime} {
		d.flag(p)
	}
	d.bytes("long name", &e.name, maxName)
	d.bytes("long link", &e.link, maxName)
	coded(d, "pax size", &e.size, 0, maxStored)
	coded(d, "seconds", &e.seconds, math.MinInt64, math.MaxInt64)
	coded(d, "nanoseconds", &e.nsc, -999_999_999, 999_999_999)
	e.sparse.fields(d)
}

func (s *sparse) fields(d *codec) {
	for _, p := range []*bool{&s.seen, &s.hasReal, &s.hasCount, &s.pairs, &s.mapped} {
		d.flag(p)
	}
	d.bytes("sparse name", &s.name, maxName)
	coded(d, "major", &s.major, 0, math.MaxInt64)
	coded(d, "minor", &s.minor, 0, math.MaxInt64)
	coded(d, "versions", &s.versions, 0, 3)
	coded(d, "real size", &s.real, 0, math.MaxInt64)
	coded(d, "blocks", &s.blocks, 0, math.MaxInt64)
	s.m.fields(d)
}

func (m *sparseMap) fields(d *codec) {
	coded(d, "fragments", &m.fragments, 0, maxFragments)
	coded(d, "fragment end", &m.end, 0, math.MaxInt64)
	coded(d, "fragment sum", &m.sum, 0, math.MaxInt64)
	d.flag(&m.half)
	coded(d, "fragment offset", &m.off, 0, math.MaxInt64)
	coded(d, "number", &m.num, 0, math.MaxInt64)
	coded(d, "number digits", &m.digits, 0, maxNumber)
}

func (x *mapReader) fields(d *codec) {
	coded(d, "map size", &x.real, 0, math.MaxInt64)
	coded(d, "map read", &x.read, 0, math.MaxInt64-blockSize)
	coded(d, "map values", &x.values, 0, 2*maxFragments)
	d.flag(&x.counted)
}

func (x *records) fields(d *codec) {
	d.flag(&x.global)
	coded(d, "record part", &x.part, 0, int64(recordParts)-1)
	coded(d, "record digits", &x.digits, 0, 10)
	coded(d, "record rest", &x.rest, 0, 1e10)
	if x.part == inKey && x.rest < 2 || x.part == inValue && x.rest < 1 {
		d.fail(errors.New("a record has no end"))
	}
	coded(d, "keyword length", &x.keyLen, 0, maxRecords)
	key := x.key[:min(x.keyLen, maxKey)]
	d.bytes("keyword", &key, maxKey)
	copy(x.key[:], key)
	coded(d, "keyword", &x.id, 0, int64(paxKeyCount)-1)
	d.bytes("value", &x.value, x.id.limit())
}

func (e *Entry) fields(d *codec) {
	coded(d, "type", &e.Type, int64(TypeFile), int64(TypeVendor))
	d.flag(&e.Sparse)
	coded(d, "entry size", &e.Size, 0, maxStored)
	coded(d, "entry real size", &e.RealSize, 0, math.MaxInt64)
	coded(d, "mode", &e.Mode, 0, 0o7777)
	coded(d, "offset", &e.Offset, 0, math.MaxInt64)
	coded(d, "header", &e.Header, 0, math.MaxInt64)
	coded(d, "implied", &e.implied, 0, maxName)
	s, ns := e.ModTime.Unix(), e.ModTime.Nanosecond()
	coded(d, "seconds", &s, math.MinInt64, math.MaxInt64)
	coded(d, "nanoseconds", &ns, 0, 999_999_999)
	e.ModTime = time.Unix(s, int64(ns))
}

// fields walks over the key and the slots in use; of a state that names a hash
// twice the last one counts.
func (t *names) fields(d *codec) {
	d.word(&t.key[0])
	d.word(&t.key[1])
	coded(d, "names", &t.used, 0, maxEntriesLimit*namesPerEntry+4096)
	if !d.load {
		for _, s := range t.slots {
			if s&kindBits != 0 {
				d.word(&s)
			}
		}
		return
	}
	if d.err != nil || t.used > len(d.b)/8 {
		d.fail(errShort)
		return
	}
	if t.used > 0 {
		t.slots = make([]uint64, tableSize(t.used))
	}
	for range t.used {
		var s uint64
		d.word(&s)
		if s&kindBits == 0 {
			d.fail(errors.New("a name has no kind"))
			return
		}
		t.slots[t.find(s)] = s
	}
}

// tableSize is the size of the table that has grown to hold used names.
func tableSize(used int) int {
	size := minTable
	for used > size-size/8 {
		size *= 2
	}
	return size
}
