package bundle

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
	rec        *recorder // nil unless the check records

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
		return w.extension(b, next-blockSize)
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
func (w *walker) extension(b *block, at int64) *Rejection {
	if _, _, bad := b.numbers(); bad != "" {
		return badNumber(bad)
	}
	size, ok := b.size()
	if !ok {
		return badNumber("size")
	}
	e := &w.ext
	if e.chain == 0 {
		e.from = at
	}
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
