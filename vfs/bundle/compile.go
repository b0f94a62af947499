package bundle

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// CompileOptions are those of Compile. The zero value sorts in memory, which
// takes about 150 bytes for an entry.
type CompileOptions struct {
	// Digest is the SHA-256 of the archive, 32 bytes, or nil if not known.
	Digest []byte
	// Scratch makes room for what does not fit into 8 MiB of memory. It is
	// called at most three times, and not at all for most bundles. nil stands
	// for memory.
	Scratch func() (Scratch, error)
}

// Compile writes an index for a journal of size bytes that IndexEnd closed. It
// writes in order, in about 24 MiB of memory if it has Scratch, and needs nothing
// but the journal: it may be done later. An *IndexError says that the journal is
// damaged; other errors are those of w, scratch and ctx.
func Compile(ctx context.Context, w io.Writer, r io.ReaderAt, size int64, o CompileOptions) error {
	j, err := openJournal(r, size)
	if err != nil {
		return err
	}
	if n := len(o.Digest); n != 0 && n != digestLen {
		return fmt.Errorf("compile index: the digest has %d bytes, want %d", n, digestLen)
	}
	out := newIndexWriter(w)
	c := &compiler{
		ctx: ctx, j: j, w: out,
		sorter: sorter{scratch: o.Scratch}, points: spool{scratch: o.Scratch}, chunks: spool{scratch: o.Scratch},
	}
	h := indexHeader{j.end.manifest, o.Digest}
	out.Write(h.append(nil))
	for s, step := range [sectionCount]func() error{c.manifest, c.windows, c.pointTable, c.chunkTable, c.tree} {
		from := out.offset
		out.begin(levels[s])
		if err := step(); err != nil {
			return err
		}
		c.footer.sections[s] = extent{from, out.offset - from, out.sum}
	}
	out.Write(c.footer.append(nil))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	if out.err != nil {
		return fmt.Errorf("write index: %w", out.err)
	}
	return nil
}

// levels are how well the blobs of a section are deflated: entries are many, and
// windows are most of the index of a large bundle.
var levels = [sectionCount]int{
	manifestSection: flate.BestSpeed, windowSection: flate.BestCompression,
	pointSection: flate.BestSpeed, chunkSection: flate.BestSpeed, treeSection: flate.BestSpeed,
}

// compiler makes an index section by section.
type compiler struct {
	ctx    context.Context
	j      *journal
	w      *indexWriter
	footer indexFooter

	sorter   sorter // the entries by directory and name
	points   spool
	chunks   spool // CRCs alone
	nPoints  int64
	lastOut  int64
	steps    int
	key      []byte
	path     []byte
	value    []byte
	topTime  Entry // stands for the top if the archive has no entry for it
	haveTime bool
}

// step looks now and then whether anybody still waits.
func (c *compiler) step() error {
	if c.steps++; c.steps%1024 != 0 {
		return c.w.err
	}
	return c.ctx.Err()
}

// manifest writes the entries in the order of the archive, and hands each with
// the directories that it implies to the sorter.
func (c *compiler) manifest() error {
	t := &treeWriter{w: c.w}
	err := c.j.read(handlers{entry: func(e *Entry) error {
		c.key = binary.BigEndian.AppendUint64(c.key[:0], uint64(e.Header))
		c.value = appendEntry(c.value[:0], e, nil, false)
		t.add(0, c.key, c.value)
		if !c.haveTime {
			c.topTime, c.haveTime = Entry{Type: TypeDir, Mode: 0o755, ModTime: e.ModTime}, true
		}
		if e.Type != TypeLabel {
			if err := c.sort(e); err != nil {
				return err
			}
		}
		return c.step()
	}})
	c.footer.manifest.blockRef, c.footer.manifest.depth = t.finish()
	return err
}

// sort hands an entry to the sorter.
func (c *compiler) sort(e *Entry) error {
	c.path = cleanPath(c.path[:0], e.Name)
	if err := c.sortAs(c.path, e, false); err != nil {
		return err
	}
	dir, _ := parentOf(c.path)
	for range e.implied {
		if len(dir) == 0 {
			return errJournal
		}
		made := Entry{Name: dir, Type: TypeDir, Mode: 0o755, ModTime: e.ModTime, Header: e.Header, Offset: e.Header}
		if err := c.sortAs(dir, &made, true); err != nil {
			return err
		}
		dir, _ = parentOf(dir)
	}
	return nil
}

func (c *compiler) sortAs(path []byte, e *Entry, made bool) error {
	c.key = appendVersion(appendKey(c.key[:0], path), e.Header)
	c.value = appendEntry(c.value[:0], e, path, made)
	return c.sorter.add(c.key, c.value)
}

// windows writes what decoders need at the checkpoints, and keeps the checkpoints
// and the sums of the chunks for their sections.
func (c *compiler) windows() error {
	if err := c.addPoint(point{kind: atMember}, nil); err != nil {
		return err
	}
	err := c.j.read(handlers{point: c.addPoint, chunk: func(crc uint32) error {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], crc)
		_, err := c.chunks.Write(b[:])
		return err
	}})
	if err != nil {
		return err
	}
	whole := c.chunks.size / 4
	if m := c.j.end.manifest; whole != m.Unpacked/chunkLen {
		return errJournal
	} else if m.Unpacked%chunkLen == 0 {
		return nil
	}
	_, err = c.chunks.Write(binary.LittleEndian.AppendUint32(nil, c.j.end.chunk))
	return err
}

func (c *compiler) addPoint(p point, window []byte) error {
	if p.out < c.lastOut || p.kind >= pointKinds {
		return errJournal
	}
	c.lastOut = p.out
	c.nPoints++
	p.window.offset = c.w.offset
	if len(window) > 0 {
		p.window = c.w.pack(window)
	}
	if _, err := c.points.Write(p.append(nil)); err != nil {
		return err
	}
	return c.step()
}

func (c *compiler) pointTable() error {
	_, err := io.Copy(c.w, c.points.reader())
	return err
}

// chunkTable writes each chunk's sum and the number of the last checkpoint that
// does not lie behind its start.
func (c *compiler) chunkTable() error {
	points, sums := bufio.NewReader(c.points.reader()), bufio.NewReader(c.chunks.reader())
	last, next := int64(-1), int64(0) // next is where checkpoint last+1 lies
	var sum [4]byte
	for start := int64(0); ; start += chunkLen {
		if _, err := io.ReadFull(sums, sum[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for last+1 < c.nPoints && next <= start {
			last++
			if _, err := points.Discard(pointLen); err != nil {
				return err
			}
			if b, err := points.Peek(8); err == nil {
				next = int64(binary.LittleEndian.Uint64(b))
			} else if err != io.EOF {
				return err
			}
		}
		c.w.Write(binary.LittleEndian.AppendUint32(sum[:], uint32(last)))
		if err := c.step(); err != nil {
			return err
		}
	}
}

// tree writes the entries by directory and name. The latest of a path stands
// first and has the plain key; a top is made up if there is none.
func (c *compiler) tree() error {
	t := &treeWriter{w: c.w}
	var last []byte
	top := appendKey(nil, nil)
	begun := false
	err := c.sorter.each(func(key, value []byte) error {
		plain := key[:len(key)-versionLen]
		switch {
		case !begun && !bytes.Equal(plain, top):
			t.add(0, top, c.top())
			fallthrough
		case !begun || !bytes.Equal(plain, last):
			key = plain
		}
		begun = true
		last = append(last[:0], plain...)
		t.add(0, key, value)
		return c.step()
	})
	if !begun {
		t.add(0, top, c.top())
	}
	c.footer.tree.blockRef, c.footer.tree.depth = t.finish()
	return err
}

func (c *compiler) top() []byte {
	e := c.topTime
	if !c.haveTime {
		e = Entry{Type: TypeDir, Mode: 0o755}
	}
	e.Name = []byte(".")
	return appendEntry(nil, &e, nil, true)
}

// BuildOptions are those of BuildIndex.
type BuildOptions struct {
	IndexOptions
	CompileOptions
	Progress func(Progress) // nil, or called after every MiB of the archive
}

// BuildIndex checks an archive anew and writes its index. The journal goes to a
// further room of Scratch. The error is a *Rejection if the archive is not sound;
// others are those of archive, w, scratch and ctx.
func BuildIndex(ctx context.Context, w io.Writer, archive io.Reader, l Limits, o BuildOptions) (*Manifest, error) {
	c := NewCheck(l)
	c.Record(o.IndexOptions)
	j := &spool{scratch: o.Scratch}
	b := make([]byte, 256<<10)
	var out []byte
	for i := 1; ; i++ {
		n, err := archive.Read(b)
		if _, err := c.Write(b[:n]); err != nil {
			return nil, err
		}
		out = c.Index(out[:0])
		if _, err := j.Write(out); err != nil {
			return nil, err
		}
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("build index: %w", err)
		}
		if o.Progress != nil && i%4 == 0 {
			o.Progress(c.Progress())
		}
	}
	m, err := c.Finish()
	if err != nil {
		return nil, err
	}
	if _, err := j.Write(c.IndexEnd(nil)); err != nil {
		return nil, err
	}
	return m, Compile(ctx, w, j, j.size, o.CompileOptions)
}
