package bundle

import (
	"bytes"
	"math"
	"time"
)

// stage is what the next byte of the tar stream belongs to.
type stage uint8

const (
	atHeader   stage = iota
	atFragment       // an extension block of an old GNU sparse header
	inRecords        // the payload of a PAX extension header
	inLongName       // the payload of a GNU long name header
	inLongLink
	inMap  // the map in front of the data of a PAX 1.0 sparse file
	inData // data to skip, with its padding
	atEnd  // behind the end marker
	stages
)

// walker walks a tar stream as it comes. It keeps what one header needs and
// the names of the archive; data is passed over.
type walker struct {
	maxEntries int64
	onEntry    func(*Entry)

	stage   stage
	pos     int64 // bytes walked
	need    int64 // bytes to come of a payload, a map with its data, or data
	have    int   // bytes of block
	block   block // a header of which only a part has come
	entries int64
	ended   bool // a GNU long name has had its NUL

	ext       extension
	records   records
	fragments sparseMap // of the entry at hand, when it is in its header or data
	fmap      mapReader
	entry     Entry  // the one at hand
	name      []byte // its name; empty outside of entries
	link      []byte
	names     names
}

// write takes the next bytes of the stream. After a rejection the walker is
// of no more use.
func (w *walker) write(p []byte) *Rejection {
	for len(p) > 0 {
		n, r := w.step(p)
		if r != nil {
			return r
		}
		w.pos += int64(n)
		p = p[n:]
	}
	return nil
}

// step takes some of p.
func (w *walker) step(p []byte) (int, *Rejection) {
	switch w.stage {
	case inData:
		n := min(int64(len(p)), w.need)
		if w.need -= n; w.need == 0 {
			w.toHeader()
		}
		return int(n), nil
	case inRecords, inLongName, inLongLink:
		return w.payload(p)
	case inMap:
		return w.sparseMap(p)
	case atEnd:
		return w.zeros(p)
	}
	b := p
	n := blockSize
	if w.have > 0 || len(p) < blockSize {
		n = copy(w.block[w.have:], p)
		if w.have += n; w.have < blockSize {
			return n, nil
		}
		w.have, b = 0, w.block[:]
	}
	if w.stage == atFragment {
		return n, w.moreFragments((*block)(b), w.pos+int64(n))
	}
	return n, w.header((*block)(b), w.pos+int64(n))
}

// toHeader is where an entry or an extension header and its padding end.
func (w *walker) toHeader() { w.stage, w.name = atHeader, w.name[:0] }

// skip goes on to the header behind n bytes.
func (w *walker) skip(n int64) {
	w.stage, w.need = inData, n
	if n == 0 {
		w.toHeader()
	}
}

// zeros takes what stands behind the end marker.
func (w *walker) zeros(p []byte) (int, *Rejection) {
	if !allZero(p) {
		return 0, reject(RuleTarEnd, "there is data behind the archive's end marker",
			"pack everything into one archive; of joined archives only the first is read")
	}
	return len(p), nil
}

// header takes a header block; next is the position behind it.
func (w *walker) header(b *block, next int64) *Rejection {
	sum := b.sum()
	if sum == 0 {
		return w.marker()
	}
	if !b.checks(sum) {
		return w.noHeader(b[:])
	}
	switch b.typeflag() {
	case 'x', 'X', 'g', 'L', 'K':
		return w.extension(b)
	}
	return w.start(b, next)
}

// marker takes the first zero block. One is enough: the archiver has finished.
func (w *walker) marker() *Rejection {
	if w.ext.pending() {
		return reject(RuleTarEnd, "the archive ends between an extension header and its entry", mendRepack)
	}
	w.stage = atEnd
	return nil
}

// noHeader says what stands where a header should be.
func (w *walker) noHeader(b []byte) *Rejection {
	if w.entries > 0 || w.ext.chain > 0 {
		return reject(RuleTarHeader, "the checksum of a tar header does not match", mendDamaged)
	}
	return noArchive(b)
}

// extension takes the header of an extension header: PAX local (x, X in
// Solaris) and global (g), GNU long name (L) and long link (K).
func (w *walker) extension(b *block) *Rejection {
	if _, _, bad := b.numbers(); bad != "" {
		return badNumber(bad)
	}
	size, ok := b.size()
	if !ok {
		return badNumber("size")
	}
	e := &w.ext
	e.chain++
	if e.chain > maxChain {
		return badRecord("more than four extension headers stand in front of one entry")
	}
	if e.bytes += min(size, maxRecords+1); e.bytes > maxRecords {
		return badRecord("the extension headers of one entry are longer than 1 MiB")
	}
	twice := false
	switch b.typeflag() {
	case 'L':
		w.stage, w.ended, twice, e.gnuName = inLongName, false, e.gnuName, true
	case 'K':
		w.stage, w.ended, twice, e.gnuLink = inLongLink, false, e.gnuLink, true
	case 'g':
		w.stage, w.records = inRecords, records{global: true, value: w.records.value[:0]}
	default:
		w.stage, w.records = inRecords, records{value: w.records.value[:0]}
		twice, e.local = e.local, true
	}
	if twice {
		return badRecord("one entry has two extension headers of the same kind")
	}
	if w.need = size; size == 0 {
		w.toHeader()
	}
	return e.mixed()
}

func badNumber(field string) *Rejection {
	return reject(RuleTarHeader, "the "+field+" in a tar header is no number or out of range", mendForeign)
}

// payload takes a piece of an extension header's payload.
func (w *walker) payload(p []byte) (int, *Rejection) {
	p = p[:min(int64(len(p)), w.need)]
	var r *Rejection
	switch w.stage {
	case inLongName:
		w.ext.name, r = w.longName(w.ext.name, p)
	case inLongLink:
		w.ext.link, r = w.longName(w.ext.link, p)
	default:
		r = w.records.write(p, w.need, &w.ext)
	}
	if w.need -= int64(len(p)); w.need == 0 {
		// The payload's start was aligned: what fills it up follows from here.
		w.skip(padding(w.pos + int64(len(p))))
	}
	return len(p), r
}

// longName appends p to a GNU long name, which ends with its first NUL; only
// NULs may follow it.
func (w *walker) longName(name, p []byte) ([]byte, *Rejection) {
	for _, c := range p {
		switch {
		case c == 0:
			w.ended = true
		case w.ended:
			return name, badRecord("a GNU long name holds a NUL")
		case len(name) >= maxName:
			return name, tooLong(w.stage == inLongLink)
		default:
			name = append(name, c)
		}
	}
	return name, nil
}

func tooLong(link bool) *Rejection {
	if link {
		return reject(RuleLink, "the target of the link is longer than 4,096 bytes", mendForeign)
	}
	return reject(RuleName, "the name is longer than 4,096 bytes", mendNames)
}

// start takes the header of an entry.
func (w *walker) start(b *block, next int64) *Rejection {
	w.resolve(b)
	mode, mtime, bad := b.numbers()
	if bad != "" {
		return badNumber(bad)
	}
	size, ok := b.size()
	if !ok {
		return badNumber("size")
	}
	if w.ext.hasSize {
		if size != 0 && size != w.ext.size {
			return badRecord("the PAX size and the size in the header differ")
		}
		size = w.ext.size
	}
	if size > math.MaxInt64-blockSize-next {
		return badNumber("size")
	}
	if w.entries >= w.maxEntries {
		return reject(RuleLimit, "the archive has more than "+thousands(w.maxEntries)+" entries", mendLimit)
	}
	w.entry = Entry{
		Name: w.name, Linkname: w.link, Size: size, RealSize: size,
		Mode: uint32(mode & 0o7777), ModTime: time.Unix(mtime, 0), Offset: next,
	}
	if w.ext.hasTime {
		w.entry.ModTime = time.Unix(w.ext.seconds, w.ext.nsc)
	}
	if r := w.judge(b.typeflag(), size); r != nil {
		return r
	}
	return w.startData(b)
}

// resolve finds the names that count among all that an entry may have.
func (w *walker) resolve(b *block) {
	e := &w.ext
	w.link = append(w.link[:0], b.linkname()...)
	if e.gnuLink || e.paxLink {
		w.link = append(w.link[:0], e.link...)
	}
	switch prefix := b.prefix(); {
	case len(e.sparse.name) > 0:
		w.name = append(w.name[:0], e.sparse.name...)
	case e.gnuName || e.paxName:
		w.name = append(w.name[:0], e.name...)
	case len(prefix) > 0:
		w.name = append(append(append(w.name[:0], prefix...), '/'), b.name()...)
	default:
		w.name = append(w.name[:0], b.name()...)
	}
}

// judge says whether the entry may be unpacked beside those before it.
func (w *walker) judge(flag byte, size int64) *Rejection {
	t, r := entryType(flag, w.name, size)
	if r != nil {
		return r
	}
	w.entry.Type = t
	if why := unsafeName(w.name); why != "" {
		return reject(RuleName, why, mendNames)
	}
	// What a reader without sparse files would use as the name.
	if len(w.ext.sparse.name) > 0 && w.ext.paxName {
		if why := unsafeName(w.ext.name); why != "" {
			return reject(RuleName, why, mendNames)
		}
	}
	if w.ext.sparse.seen && t != TypeFile {
		return badSparse("a sparse map belongs to something that is no file")
	}
	switch t {
	case TypeLabel:
		return nil
	case TypeDir:
		return w.names.place(w.name, kindDir)
	case TypeSymlink:
		return w.symlink()
	case TypeHardlink:
		if r := w.names.target(w.link); r != nil {
			return r
		}
	}
	return w.names.place(w.name, kindFile)
}

func (w *walker) symlink() *Rejection {
	if len(w.link) == 0 {
		return reject(RuleLink, "the symbolic link has no target", mendForeign)
	}
	return w.names.place(w.name, kindSymlink)
}

// entryType reads the type flag. A file whose name ends in a slash is a
// directory, as v7 has it.
func entryType(flag byte, name []byte, size int64) (Type, *Rejection) {
	const mend = "pack only files, directories and links: leave out what lies in /dev"
	switch flag {
	case '3', '4':
		return 0, reject(RuleType, "the entry is a device", mend)
	case 'M':
		return 0, reject(RuleType, "the entry is a part of an archive of several volumes", mendRepack)
	case 'V':
		return TypeLabel, nil
	case 'D':
		return TypeDir, nil
	}
	t := TypeVendor
	switch flag {
	case 0, '0', '7':
		t = TypeFile
		if bytes.HasSuffix(name, []byte("/")) {
			t = TypeDir
		}
	case 'S':
		return TypeFile, nil
	case '1':
		t = TypeHardlink
	case '2':
		t = TypeSymlink
	case '5':
		t = TypeDir
	case '6':
		t = TypeFIFO
	}
	if size != 0 && t != TypeFile && t != TypeVendor {
		return 0, reject(RuleType, "the entry is a "+typeNames[t]+" and carries data", mendForeign)
	}
	return t, nil
}

var typeNames = [...]string{
	TypeFile: "file", TypeDir: "directory", TypeSymlink: "symbolic link", TypeHardlink: "hard link",
	TypeFIFO: "FIFO", TypeLabel: "volume label", TypeVendor: "vendor entry",
}

// startData goes on behind the header of a sound entry.
func (w *walker) startData(b *block) *Rejection {
	s := &w.ext.sparse
	switch {
	case b.typeflag() == 'S':
		return w.startOldSparse(b)
	case s.seen:
		if r := s.judge(w.entry.Size); r != nil {
			return r
		}
		w.entry.Sparse, w.entry.RealSize = true, s.real
		if s.inData() {
			return w.startMap()
		}
	}
	w.enter()
	return nil
}

// enter counts the entry, tells of it and goes on to its data.
func (w *walker) enter() {
	w.entries++
	if w.onEntry != nil {
		w.onEntry(&w.entry)
	}
	w.ext.reset()
	w.skip(w.entry.Size + padding(w.entry.Size))
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
	w.entry.Sparse, w.entry.RealSize, w.fragments = true, real, sparseMap{}
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
	w.fragments, w.fmap = sparseMap{}, mapReader{real: w.entry.RealSize}
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
