package bundle

import "math"

// maxFragments is how many pieces of data a sparse file may have.
const maxFragments = 65536

func badSparse(reason string) *Rejection { return reject(RuleSparse, reason, mendSparse) }

const mendSparse = "pack the files anew, without --sparse"

// sparse is what the PAX records of GNU tar say about a sparse file, in the
// three forms that "Storing Sparse Files" of its manual describes. The zero
// value says nothing.
type sparse struct {
	seen     bool
	name     []byte // the file's real name, if it has one
	major    int64
	minor    int64
	versions uint8 // bit 0: major was there, bit 1: minor
	real     int64 // unpacked size, if hasReal
	hasReal  bool
	blocks   int64 // number of fragments, if hasCount
	hasCount bool
	pairs    bool // form 0.0: offset and numbytes records
	mapped   bool // form 0.1: a map record
	m        sparseMap
}

// number takes a record that holds a number.
func (s *sparse) number(id paxKey, v int64) *Rejection {
	switch id {
	case keySparseMajor:
		s.major, s.versions = v, s.versions|1
	case keySparseMinor:
		s.minor, s.versions = v, s.versions|2
	case keySparseSize, keySparseReal:
		if s.hasReal && s.real != v {
			return badSparse("a sparse file has two real sizes")
		}
		s.real, s.hasReal = v, true
	case keySparseBlocks:
		s.blocks, s.hasCount = v, true
	case keySparseOffset, keySparseBytes:
		if s.mapped || s.m.half != (id == keySparseBytes) {
			return badSparse("the sparse map is out of order")
		}
		s.pairs = true
		return s.m.add(v)
	}
	return nil
}

// endMap takes the end of a map record.
func (s *sparse) endMap() *Rejection {
	if s.mapped || s.pairs {
		return badSparse("a sparse file has two maps")
	}
	s.mapped = true
	if s.m.digits == 0 {
		return badSparse("the sparse map ends in no number")
	}
	return s.m.endNumber()
}

// inData reports form 1.0, whose map stands in front of the data.
func (s *sparse) inData() bool { return s.major == 1 }

// judge says what is wrong with the records of a file that stores size bytes.
// For form 1.0 the map is still to come.
func (s *sparse) judge(size int64) *Rejection {
	switch {
	case s.versions != 0 && s.versions != 3, s.major > 1, s.minor > 1-s.major:
		return badSparse("the sparse format's version is unknown")
	case !s.hasReal:
		return badSparse("a sparse file has no real size")
	case s.inData() && (s.pairs || s.mapped):
		return badSparse("a sparse file has two maps")
	case s.inData():
		return nil
	case !s.pairs && !s.mapped:
		return badSparse("a sparse file has no map")
	}
	if r := s.m.judge(s.real, size); r != nil {
		return r
	}
	if !s.hasCount || s.blocks != int64(s.m.fragments) {
		return badSparse("the sparse map has another number of fragments than it says")
	}
	return nil
}

// sparseMap adds up a map of fragments as it comes, offset and length in turn.
// A check keeps no fragment: sorted and apart is all they must be.
type sparseMap struct {
	fragments int
	end       int64 // of the last fragment
	sum       int64 // of the lengths
	half      bool  // off waits for its length
	off       int64
	num       int64 // the decimal number at hand, in the textual forms
	digits    int

	keep *[]fragment // where the fragments are kept for a Reader; mostly nil
}

// add takes the next offset or length.
func (m *sparseMap) add(v int64) *Rejection {
	if !m.half {
		m.half, m.off = true, v
		return nil
	}
	m.half = false
	m.fragments++
	switch {
	case m.fragments > maxFragments:
		return badSparse("the sparse map has more than 65,536 fragments")
	case m.off < m.end:
		return badSparse("the fragments of a sparse file overlap or are not in order")
	case v > math.MaxInt64-m.off:
		return badSparse("a fragment of a sparse file lies outside of it")
	}
	m.end = m.off + v
	m.sum += v
	if m.keep != nil {
		*m.keep = append(*m.keep, fragment{at: m.off, length: v})
	}
	return nil
}

// digit takes a digit of a decimal number.
func (m *sparseMap) digit(c byte) *Rejection {
	if c < '0' || c > '9' {
		return badSparse("the sparse map holds something else than numbers")
	}
	d := int64(c - '0')
	if m.num > (math.MaxInt64-d)/10 || m.digits >= maxNumber {
		return badSparse("a number of the sparse map is out of range")
	}
	m.num = m.num*10 + d
	m.digits++
	return nil
}

// endNumber adds the decimal number at hand.
func (m *sparseMap) endNumber() *Rejection {
	v := m.num
	m.num, m.digits = 0, 0
	return m.add(v)
}

// text takes decimal numbers with a separator between them.
func (m *sparseMap) text(p []byte, separator byte) *Rejection {
	for _, c := range p {
		var r *Rejection
		switch {
		case c != separator:
			r = m.digit(c)
		case m.digits == 0:
			r = badSparse("the sparse map lacks a number")
		default:
			r = m.endNumber()
		}
		if r != nil {
			return r
		}
	}
	return nil
}

// judge says what is wrong with a whole map of a file of real bytes, of which
// stored are in the archive.
func (m *sparseMap) judge(real, stored int64) *Rejection {
	switch {
	case m.half:
		return badSparse("the sparse map lacks a length")
	case m.end > real:
		return badSparse("a fragment of a sparse file lies outside of it")
	case m.sum != stored:
		return badSparse("the sparse map and the stored data differ in size")
	}
	return nil
}

// A mapReader reads the map of form 1.0: the number of fragments, then each
// offset and length, a number to a line, padded to whole blocks.
type mapReader struct {
	real    int64 // unpacked size of the file
	read    int64 // bytes of the map
	values  int64 // to come; the first is their number
	counted bool
}

// take takes a byte of the map and reports whether it was the last.
func (x *mapReader) take(c byte, m *sparseMap) (done bool, r *Rejection) {
	x.read++
	if c != '\n' {
		return false, m.digit(c)
	}
	if m.digits == 0 {
		return false, badSparse("the sparse map lacks a number")
	}
	if x.counted {
		x.values--
		return x.values == 0, m.endNumber()
	}
	if m.num > maxFragments {
		return false, badSparse("the sparse map has more than 65,536 fragments")
	}
	x.counted, x.values = true, 2*m.num
	m.num, m.digits = 0, 0
	return x.values == 0, nil
}

// oldSparse takes the fragments of an old GNU header or of an extension block
// of it: slots of an offset and a length of 12 bytes each, ended by one that
// begins with NUL. It reports whether the list goes on in another block.
func oldSparse(slots []byte, more byte, m *sparseMap) (bool, *Rejection) {
	for ; len(slots) >= 24; slots = slots[24:] {
		if (slots[0] == 0) != (slots[12] == 0) {
			return false, badSparse("half a fragment ends the sparse map")
		}
		if slots[0] == 0 {
			if more != 0 {
				return false, badSparse("the sparse map ends and yet goes on")
			}
			return false, nil
		}
		for _, f := range [2][]byte{slots[:12], slots[12:24]} {
			v, digits, ok := number(f)
			if !ok || digits == 0 || v < 0 {
				return false, badSparse("the sparse map holds something else than numbers")
			}
			if r := m.add(v); r != nil {
				return false, r
			}
		}
	}
	return more != 0, nil
}

// startOldSparse reads the fragments and the real size out of a GNU header of
// type S.
func (w *walker) startOldSparse(b *block) *Rejection {
	real, digits, ok := number(b[483:495])
	switch {
	case !b.isGNU():
		return badSparse("a sparse file is not in the GNU format")
	case w.ext.sparse.seen:
		return badSparse("a sparse file has two maps")
	case !ok || digits == 0 || real < 0:
		return badSparse("a sparse file has no real size")
	}
	w.entry.Sparse, w.entry.RealSize, w.fragments = true, real, sparseMap{keep: w.fragments.keep}
	more, r := oldSparse(b[386:482], b[482], &w.fragments)
	return w.endFragments(more, r)
}

// fragments takes an extension block of an old GNU sparse header.
func (w *walker) moreFragments(b *block, next int64) *Rejection {
	w.entry.Offset = next
	more, r := oldSparse(b[:504], b[504], &w.fragments)
	return w.endFragments(more, r)
}

func (w *walker) endFragments(more bool, r *Rejection) *Rejection {
	if r != nil {
		return r
	}
	if w.stage = atFragment; more {
		return nil
	}
	if r := w.fragments.judge(w.entry.RealSize, w.entry.Size); r != nil {
		return r
	}
	w.enter()
	return nil
}

// startMap goes on to the map of a PAX 1.0 sparse file.
func (w *walker) startMap() *Rejection {
	if w.entry.Size == 0 {
		return badSparse("a sparse file has no map")
	}
	w.enter()
	w.stage, w.need = inMap, w.entry.Size
	w.fragments, w.fmap = sparseMap{keep: w.fragments.keep}, mapReader{real: w.entry.RealSize}
	return nil
}

// sparseMap takes a piece of the map, then judges it beside the data left.
func (w *walker) sparseMap(p []byte) (int, *Rejection) {
	p = p[:min(int64(len(p)), w.need)]
	for i, c := range p {
		done, r := w.fmap.take(c, &w.fragments)
		if r != nil {
			return 0, r
		}
		if done {
			return i + 1, w.endMap(w.need - int64(i+1))
		}
	}
	if w.need -= int64(len(p)); w.need == 0 {
		return 0, badSparse("the sparse map is cut off")
	}
	return len(p), nil
}

// endMap judges the map, behind which left bytes of the entry remain.
func (w *walker) endMap(left int64) *Rejection {
	fill := padding(w.fmap.read)
	if left < fill {
		return badSparse("the sparse map is cut off")
	}
	if r := w.fragments.judge(w.fmap.real, left-fill); r != nil {
		return r
	}
	w.skip(left + padding(w.fmap.read+left))
	return nil
}
