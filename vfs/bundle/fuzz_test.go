package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
)

// stored is a gzip file of one stored block: what a fuzzer changes in it shows
// in the tar stream.
func stored(body []byte) []byte {
	n := uint16(len(body))
	d := append([]byte{1, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}, body...)
	return member{deflated: d, body: body}.bytes()
}

// mendSums gives every header its checksum, as far as sizes lead from one to
// the next, so that a fuzzer gets behind them.
func mendSums(b []byte) []byte {
	b = bytes.Clone(b)
	for at := 0; at+blockSize <= len(b); {
		h := (*block)(b[at:])
		if allZero(h[:]) {
			break
		}
		fixSum(h[:])
		size, ok := h.size()
		if !ok || size > int64(len(b)) {
			break
		}
		at += blockSize + int(size+padding(size))
	}
	return b
}

// FuzzTar feeds tar streams with right checksums: whatever they are, the
// verdict does not depend on the writes, and archive/tar reads what is sound
// and sees the same names.
func FuzzTar(f *testing.F) {
	for _, s := range [][]byte{
		whole(small, entry('5', "d/", ""), link('2', "l", "x"), link('1', "h", "logs/syslog")),
		whole(pax('x', "path", "p", "mtime", "1.5"), small),
		whole(long('L', "a/long/name"), long('K', "t"), link('2', "x", "y").gnu()),
		whole(pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "s", "GNU.sparse.realsize", "9"), entry('0', "f", "1\n0\n3\n"+string(make([]byte, 506))+"abc")),
		whole(pax('x', "GNU.sparse.size", "9", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,3"), entry('0', "f", "abc")),
		whole(raw{typ: 'S', name: "s", data: "abc", magic: magicGNU, edit: oldFragments(99, 0, 0, 3)}),
	} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		if len(body) > 32<<10 {
			return
		}
		body = mendSums(body)
		data := stored(body)
		m, r := judge(t, data)
		splitLike(t, verdictOf(m, r), data, seed)
		if r == nil {
			readLike(t, data, body)
		}
	})
}

// FuzzCheck feeds any bytes.
func FuzzCheck(f *testing.F) {
	f.Add(gz(whole(small)), uint64(1))
	f.Add(gz(whole(small), nil), uint64(2))
	f.Add(member{flags: 0x1f, extra: "\x01\x00x", name: "n\x00", comment: "c\x00", headerCRC: true, body: whole(small)}.bytes(), uint64(3))
	f.Add([]byte("PK\x03\x04"), uint64(4))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		if len(data) > 32<<10 {
			return
		}
		m, r := judge(t, data)
		splitLike(t, verdictOf(m, r), data, seed)
	})
}

// splitLike splits the writes and saves between some of them.
func splitLike(t *testing.T, want verdict, data []byte, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	most := 1 + rng.IntN(3000)
	next := func(left int) int { return min(1+rng.IntN(most), left) }
	compare(t, "split", want, data, next)
	compareSaved(t, "saved", want, data, func(left int) int { return min(1+rng.IntN(len(data)), left) })
}

// readLike compares what the check says of a sound bundle with archive/tar.
func readLike(t *testing.T, data, body []byte) {
	t.Helper()
	c := NewCheck(Limits{})
	var names []string
	c.OnEntry(func(e *Entry) { names = append(names, string(e.Name)) })
	c.Write(data)
	body = append(body, eof...) // archive/tar wants whole blocks of zeros
	r := tar.NewReader(bytes.NewReader(body[:len(body)&^(blockSize-1)]))
	for i := 0; ; i++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) && i == len(names) {
			return
		}
		if err != nil {
			t.Fatalf("archive/tar, entry %d of %d: %v", i, len(names), err)
		}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			i--
			continue
		case 'X':
			return // archive/tar takes it for an entry
		}
		if i >= len(names) || h.Name != names[i] {
			t.Fatalf("entry %d is %q, the check has %q", i, h.Name, names)
		}
	}
}

// FuzzState restores any state and goes on: no panic, no loop, no limit lost.
func FuzzState(f *testing.F) {
	data := gz(whole(small, pax('x', "path", "p"), entry('5', "d", "")))
	for _, n := range []int{0, 1, 5, 30, len(data) - 5, len(data)} {
		c := NewCheck(Limits{})
		c.Write(data[:n])
		b, err := c.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 4096 {
			f.Add(b[len(stateMagic):len(b)-4], data[n:])
		}
	}
	f.Fuzz(func(t *testing.T, fields, rest []byte) {
		b := append([]byte(stateMagic), fields...)
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
		c := NewCheck(Limits{})
		if err := c.UnmarshalBinary(b); err != nil {
			return
		}
		again, err := c.AppendBinary(nil)
		if err != nil || len(again) > len(b)+128<<10 {
			t.Fatalf("state of %d bytes is saved as %d, %v", len(b), len(again), err)
		}
		c.Write(rest)
		c.Write(make([]byte, 3000))
		c.Sound()
		c.Finish()
	})
}

// FuzzGzipHeader feeds a member's header alone: however the bytes are split, the
// same of them is taken, and compress/gzip reads what is sound.
func FuzzGzipHeader(f *testing.F) {
	for _, m := range []member{{}, {flags: flagHeaderCRC, headerCRC: true}, {flags: flagName | flagComment, name: "n\x00", comment: "c\x00"},
		{flags: 0x1f, extra: "\x03\x00abc", name: "\x00", comment: "\xff\x00", headerCRC: true}, {flags: flagsReserved}} {
		f.Add(m.bytes(), uint8(1))
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		whole, wr := headerIn(data, len(data))
		split, sr := headerIn(data, int(step)+1)
		if whole != split || (wr == nil) != (sr == nil) || wr != nil && wr.Error() != sr.Error() {
			t.Fatalf("whole: %+v, %v; in pieces of %d: %+v, %v", whole, wr, int(step)+1, split, sr)
		}
		if wr == nil && whole.part == inBody && whole.flags&(flagName|flagComment) == 0 {
			if _, err := gzip.NewReader(bytes.NewReader(append([]byte("\x1f\x8b"), data...))); err != nil {
				t.Errorf("compress/gzip: %v", err)
			}
		}
	})
}

// headerIn takes what comes behind the magic of a member, in pieces.
func headerIn(data []byte, piece int) (f frame, r *Rejection) {
	f.begin([]byte("\x1f\x8b"))
	for len(data) > 0 && r == nil && f.part != inBody {
		p := data[:min(piece, len(data))]
		for len(p) > 0 && r == nil && f.part != inBody {
			var n int
			n, r = f.header(p)
			p, data = p[n:], data[n:]
		}
	}
	return f, r
}

// FuzzPax feeds the payload of an extension header alone: the records mean the same
// however they are split, and nothing that is kept is beyond its bound.
func FuzzPax(f *testing.F) {
	for _, s := range []string{
		record("path", "p") + record("mtime", "1.5"), record("size", "9"), record("GNU.sparse.map", "0,1,5,2"),
		record("linkpath", ""), "6 a=b\n", "9999999999 path=x\n", "5 =\n\n", record("uname", "\x00"), record("mtime", "-1.000000001"),
	} {
		f.Add([]byte(s), uint8(0), false)
		f.Add([]byte(s), uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, step uint8, global bool) {
		whole, wr := paxIn(data, len(data), global)
		split, sr := paxIn(data, int(step)+1, global)
		if (wr == nil) != (sr == nil) || wr != nil && wr.Error() != sr.Error() {
			t.Fatalf("whole: %v; in pieces of %d: %v", wr, int(step)+1, sr)
		}
		if !bytes.Equal(whole.name, split.name) || whole.size != split.size || whole.seconds != split.seconds || whole.nsc != split.nsc {
			t.Fatalf("whole: %+v; in pieces of %d: %+v", whole, int(step)+1, split)
		}
		if len(whole.name) > maxName || len(whole.link) > maxName || whole.size < 0 {
			t.Errorf("kept: %d bytes of a name, %d of a target, size %d", len(whole.name), len(whole.link), whole.size)
		}
	})
}

func paxIn(data []byte, piece int, global bool) (e extension, r *Rejection) {
	x := records{global: global}
	for left := int64(len(data)); left > 0 && r == nil; {
		p := data[:min(int64(max(piece, 1)), left)]
		r = x.write(p, left, &e)
		data, left = data[len(p):], left-int64(len(p))
	}
	return e, r
}
