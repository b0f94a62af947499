package bundle

import (
	"errors"
	"io"
	"io/fs"
	"sort"
)

// File is an open file of a bundle: an fs.File, io.ReaderAt, io.Seeker and
// io.WriterTo. ReadAt may be called concurrently. There is nothing to close.
type File struct {
	name string
	info *fileInfo
	*content
	pos int64
}

// Stat tells of the file.
func (f *File) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close does nothing.
func (f *File) Close() error { return nil }

// Read reads on.
func (f *File) Read(b []byte) (int, error) {
	n, err := f.ReadAt(b, f.pos)
	f.pos += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Seek is that of io.Seeker.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	f.pos = offset
	return offset, nil
}

// ReadAt is that of io.ReaderAt. A *DamageError or an *IndexError may be behind
// an error.
func (f *File) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	n, err := f.readAt(b, at)
	if err != nil && err != io.EOF {
		err = &fs.PathError{Op: "read", Path: f.name, Err: err}
	}
	return n, err
}

// content is the bytes of a file: a part of the unpacked stream, or pieces of it
// with holes between them.
type content struct {
	r         *Reader
	size      int64
	offset    int64 // of a file without holes
	sparse    bool
	fragments []fragment
}

// fragment is a piece of a sparse file.
type fragment struct {
	at     int64 // in the file
	length int64
	stored int64 // in the unpacked stream
}

// contentOf finds where the bytes of an entry are.
func (r *Reader) contentOf(f *found) (*content, error) {
	c := &content{r: r, size: f.size(), offset: f.Offset, sparse: f.Sparse}
	if f.Offset > r.header.manifest.Unpacked-f.Size {
		return nil, badIndex("an entry is out of range")
	}
	var err error
	if f.Sparse {
		c.fragments, err = r.fragmentsOf(&f.Entry)
	}
	return c, err
}

func (c *content) readAt(b []byte, at int64) (n int, err error) {
	if at >= c.size {
		return 0, io.EOF
	}
	if int64(len(b)) > c.size-at {
		b, err = b[:c.size-at], io.EOF
	}
	if !c.sparse {
		n, e := c.r.readAt(b, c.offset+at)
		if e != nil {
			err = e
		}
		return n, err
	}
	i := sort.Search(len(c.fragments), func(i int) bool { return c.fragments[i].at+c.fragments[i].length > at })
	for ; n < len(b); i++ {
		hole := int64(len(b) - n)
		if i < len(c.fragments) {
			hole = min(hole, max(c.fragments[i].at-at, 0))
		}
		clear(b[n : n+int(hole)])
		n, at = n+int(hole), at+hole
		if i >= len(c.fragments) || n == len(b) {
			break
		}
		f := c.fragments[i]
		part := b[n:min(int64(len(b)), int64(n)+f.at+f.length-at)]
		k, e := c.r.readAt(part, f.stored+at-f.at)
		n, at = n+k, at+int64(k)
		if e != nil {
			return n, e
		}
	}
	return n, err
}

// maxMap is how far behind its first header the map of a sparse file ends:
// behind extension headers, or behind as many numbers as it may have.
const maxMap = maxRecords + 2*maxChain*blockSize + 2*maxFragments*(maxNumber+1)

// fragmentsOf reads the map of a sparse file anew, with the walker that found it
// sound: it stands in the headers of the entry or in front of its data.
func (r *Reader) fragmentsOf(e *Entry) ([]fragment, error) {
	var m []fragment
	var got *Entry
	w := walker{maxEntries: 1, names: newNames([2]uint64{}, 1)}
	w.fragments.keep, w.ext.sparse.m.keep = &m, &m
	w.onEntry = func(e *Entry) { got = &Entry{Sparse: e.Sparse, Size: e.Size, RealSize: e.RealSize} }
	var b [blockSize]byte
	for at := e.Header; got == nil || w.stage == inMap; at += blockSize {
		if at-e.Header > maxMap {
			return nil, errNoMap
		}
		if _, err := r.readAt(b[:], at); err != nil {
			return nil, err
		}
		if rejected := w.write(b[:]); rejected != nil {
			return nil, &IndexError{errNoMap.Reason, rejected}
		}
	}
	if !got.Sparse || got.Size != e.Size || got.RealSize != e.RealSize {
		return nil, errNoMap
	}
	return locate(m, e)
}

var errNoMap = badIndex("a sparse entry has no map")

// locate finds where the pieces are stored: at the end of the entry's data, one
// behind the other.
func locate(m []fragment, e *Entry) (all []fragment, err error) {
	stored := e.Offset + e.Size
	for i := range m {
		stored -= m[i].length
	}
	if stored < e.Offset {
		return nil, errNoMap
	}
	for _, f := range m {
		f.stored = stored
		stored += f.length
		if f.length > 0 {
			all = append(all, f)
		}
	}
	return all, nil
}
