package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"testing"
)

// useAll reads all that a Reader gives, within bounds.
func useAll(r *Reader) (total int64, err error) {
	for e, e2 := range r.Entries(0) {
		if err = errors.Join(err, e2); e2 == nil {
			total += int64(len(e.Name))
		}
	}
	files := 0
	for e, e2 := range r.Tree() {
		err = errors.Join(err, e2)
		if e2 != nil || files > 100 {
			break
		}
		files++
		f, e2 := r.Open(FSName(string(e.Name)))
		if e2 != nil {
			continue
		}
		if list, ok := f.(fs.ReadDirFile); ok {
			list.ReadDir(10)
			f.Close()
			continue
		}
		n, e2 := io.Copy(io.Discard, io.LimitReader(f, 1<<20))
		total += n
		err = errors.Join(err, e2)
	}
	for s, e2 := range r.Spans(1) {
		err = errors.Join(err, e2)
		if e2 == nil {
			_, e2 = io.Copy(io.Discard, r.Stream(s.Offset, s.End))
			err = errors.Join(err, e2)
		}
	}
	return total, err
}

// TestArchiveDamage: wherever a byte of the deflated data is changed, the damage is
// told and no wrong byte is handed out.
func TestArchiveDamage(t *testing.T) {
	data := longSamples(t)["logs"]
	index, want := indexOf(t, data), unpacked(t, data)
	for at := 20; at < len(data)-8; at += len(data) / 23 {
		bad := bytes.Clone(data)
		bad[at] ^= 0x10
		r, err := NewReader(bytes.NewReader(bad), int64(len(bad)), bytes.NewReader(index), int64(len(index)), ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for n := range r.chunks() {
			b, err := r.chunk(n)
			var damage *DamageError
			switch {
			case errors.As(err, &damage):
				told++
			case err != nil:
				t.Errorf("byte %d, chunk %d: %v, want a DamageError", at, n, err)
			case !bytes.Equal(b, want[n*chunkLen:n*chunkLen+int64(len(b))]):
				t.Errorf("byte %d, chunk %d: wrong bytes", at, n)
			}
		}
		if told == 0 || told > 3 {
			t.Errorf("byte %d: damage in %d chunks", at, told)
		}
	}
}

// TestIndexDamage: a changed byte anywhere in the index is found, and does no harm.
func TestIndexDamage(t *testing.T) {
	data := gz(manyEntries(300))
	index := indexOf(t, data)
	for at := range index {
		bad := bytes.Clone(index)
		bad[at] ^= 0x04
		r, err := NewReader(bytes.NewReader(data), int64(len(data)), bytes.NewReader(bad), int64(len(bad)), ReaderOptions{})
		if err == nil {
			if at%64 == 0 {
				useAll(r)
			}
			err = r.Verify(t.Context())
		}
		var damaged *IndexError
		if !errors.As(err, &damaged) {
			t.Fatalf("byte %d of %d: %v, want an IndexError", at, len(index), err)
		}
	}
}

// FuzzReader opens an index that a fuzzer changed, with its header, footer and
// checkpoints made to hold again: no panic, no loop.
func FuzzReader(f *testing.F) {
	data := gz(whole(small, entry('5', "d/", ""), link('2', "l", "d/x"), entry('0', "d/x", "text"), link('1', "h", "d/x"),
		raw{typ: 'S', name: "s", data: "abc", magic: magicGNU, edit: oldFragments(99, 0, 0, 3)}))
	index := indexOf(f, data)
	f.Add(index, uint16(0))
	f.Add(index, uint16(200))
	f.Fuzz(func(t *testing.T, index []byte, at uint16) {
		if len(index) < headerLen+footerLen || len(index) > 64<<10 {
			return
		}
		index = mendIndex(bytes.Clone(index))
		r, err := NewReader(bytes.NewReader(data), int64(len(data)), bytes.NewReader(index), int64(len(index)), ReaderOptions{})
		if err != nil {
			return
		}
		useAll(r)
		r.readAt(make([]byte, 10), int64(at))
		r.Verify(t.Context())
	})
}

// mendIndex makes the checksums of header, footer and checkpoints hold.
func mendIndex(b []byte) []byte {
	mend := func(b []byte) { binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4])) }
	mend(b[:headerLen])
	foot := b[len(b)-footerLen : len(b)-len(indexTail)]
	mend(foot)
	var footer indexFooter
	if footer.parse(b[len(b)-footerLen:], int64(len(b))) == nil {
		s := footer.sections[pointSection]
		for p := b[s.offset : s.offset+s.length]; len(p) >= pointLen; p = p[pointLen:] {
			mend(p[:pointLen])
		}
	}
	return b
}
