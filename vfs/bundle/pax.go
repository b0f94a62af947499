package bundle

import (
	"bytes"
	"strconv"
)

// The bounds of what may stand in front of one entry.
const (
	maxChain   = 4       // extension headers
	maxRecords = 1 << 20 // bytes in them together
)

// extension is what the extension headers say about the entry behind them.
type extension struct {
	chain int   // headers so far
	from  int64 // where the first one begins
	bytes int64 // in them
	local bool  // one was a local PAX header

	gnuName, gnuLink bool // GNU long name and long link headers
	paxName, paxLink bool // PAX path and linkpath
	name, link       []byte

	size         int64 // PAX size, if hasSize
	hasSize      bool
	seconds, nsc int64 // PAX mtime, if hasTime
	hasTime      bool
	sparse       sparse
}

// pending reports whether an entry must follow.
func (e *extension) pending() bool { return e.local || e.gnuName || e.gnuLink }

// reset forgets everything but the memory of the names.
func (e *extension) reset() {
	if e.chain > 0 {
		*e = extension{name: e.name[:0], link: e.link[:0], sparse: sparse{name: e.sparse.name[:0], m: sparseMap{keep: e.sparse.m.keep}}}
	}
}

// mixed says that a name has come in two ways, or is nil.
func (e *extension) mixed() *Rejection {
	if (e.gnuName || e.gnuLink) && (e.paxName || e.paxLink) {
		return reject(RulePax, "one entry has long names of both GNU and PAX", mendForeign)
	}
	return nil
}

// paxKey is a keyword that the check knows, by its index in paxKeys.
type paxKey uint8

// The keywords. What is not among them is free but for the record's own form.
const (
	keyFree paxKey = iota
	keyPath
	keyLinkpath
	keySize
	keyMtime
	keyAtime
	keyCtime
	keyUID
	keyGID
	keyUname
	keyGname
	keySparseName
	keySparseMajor
	keySparseMinor
	keySparseSize
	keySparseReal
	keySparseBlocks
	keySparseOffset
	keySparseBytes
	keySparseMap
	paxKeyCount
)

var paxKeys = [paxKeyCount]string{
	"", "path", "linkpath", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname",
	"GNU.sparse.name", "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.size", "GNU.sparse.realsize",
	"GNU.sparse.numblocks", "GNU.sparse.offset", "GNU.sparse.numbytes", "GNU.sparse.map",
}

// isName reports a keyword whose value is a path.
func (k paxKey) isName() bool { return k == keyPath || k == keyLinkpath || k == keySparseName }

// limit is how many bytes of the value are kept.
func (k paxKey) limit() int {
	switch k {
	case keyFree, keySparseMap, keyUname, keyGname:
		return 0
	case keyPath, keyLinkpath, keySparseName:
		return maxName
	}
	return maxNumber
}

// maxKey is longer than every keyword that is known.
const maxKey = 24

// maxNumber is longer than every number that a record may hold.
const maxNumber = 64

// recordPart is the part of a record that the next byte belongs to.
type recordPart uint8

const (
	inLength recordPart = iota
	inKey
	inValue
	recordParts
)

// records parses the payload of a PAX extension header as it comes: "length
// key=value\n", again and again (pax Extended Header). It keeps the values it
// knows, not the payload, and finds a fault on the byte that shows it.
type records struct {
	global bool
	part   recordPart
	digits int   // of the length, so far
	rest   int64 // the length so far; then the bytes of the record to come
	keyLen int   // of the keyword so far, which may be longer than key
	key    [maxKey]byte
	id     paxKey
	value  []byte // so far, of a keyword whose value is kept
}

func badRecord(reason string) *Rejection { return reject(RulePax, reason, mendForeign) }

// write takes the next bytes of a payload of which left bytes, these included,
// are still to come.
func (x *records) write(p []byte, left int64, e *extension) *Rejection {
	for len(p) > 0 {
		var n int
		var r *Rejection
		switch x.part {
		case inLength:
			n, r = x.takeLength(p, left)
		case inKey:
			n, r = x.takeKey(p)
		default:
			n, r = x.takeValue(p, e)
		}
		if r != nil {
			return r
		}
		p, left = p[n:], left-int64(n)
	}
	if left == 0 && (x.part != inLength || x.digits > 0) {
		return badRecord("a PAX record is cut off")
	}
	return nil
}

func (x *records) takeLength(p []byte, left int64) (int, *Rejection) {
	for i, c := range p {
		switch {
		case '0' <= c && c <= '9' && x.digits < 10:
			x.rest = x.rest*10 + int64(c-'0')
			x.digits++
			continue
		case c != ' ' || x.digits == 0:
			return 0, badRecord("a PAX record has no length")
		}
		x.rest -= int64(x.digits + 1)
		if x.rest < int64(len("k=\n")) || x.rest > left-int64(i+1) {
			return 0, badRecord("the length of a PAX record is wrong")
		}
		x.part, x.keyLen, x.digits = inKey, 0, 0
		return i + 1, nil
	}
	return len(p), nil
}

func (x *records) takeKey(p []byte) (int, *Rejection) {
	p = p[:min(int64(len(p)), x.rest-1)]
	i := bytes.IndexByte(p, '=')
	k := p
	if i >= 0 {
		k = p[:i]
	}
	if bytes.IndexByte(k, 0) >= 0 {
		return 0, badRecord("the keyword of a PAX record holds a NUL")
	}
	if x.keyLen < maxKey {
		copy(x.key[x.keyLen:], k)
	}
	x.keyLen += len(k)
	if i < 0 {
		x.rest -= int64(len(p))
		if x.rest == 1 {
			return 0, badRecord("a PAX record has no keyword")
		}
		return len(p), nil
	}
	if x.keyLen == 0 {
		return 0, badRecord("a PAX record has no keyword")
	}
	x.rest -= int64(i + 1)
	x.part, x.id, x.value = inValue, x.known(), x.value[:0]
	return i + 1, nil
}

// known looks the keyword up.
func (x *records) known() paxKey {
	if x.keyLen > maxKey {
		return keyFree
	}
	k := string(x.key[:x.keyLen])
	for i, s := range paxKeys {
		if s == k {
			return paxKey(i)
		}
	}
	return keyFree
}

func (x *records) takeValue(p []byte, e *extension) (int, *Rejection) {
	n := int(min(int64(len(p)), x.rest-1))
	if r := x.keep(p[:n], e); r != nil {
		return 0, r
	}
	x.rest -= int64(n)
	if n == len(p) {
		return n, nil
	}
	if p[n] != '\n' {
		return 0, badRecord("a PAX record does not end in a newline")
	}
	if r := x.apply(e); r != nil {
		return 0, r
	}
	x.part, x.rest = inLength, 0
	return n + 1, nil
}

// keep takes a piece of the value.
func (x *records) keep(p []byte, e *extension) *Rejection {
	switch x.id {
	case keyFree:
		return nil
	case keySparseMap:
		return e.sparse.m.text(p, ',')
	case keyUname, keyGname:
		return x.noNUL(p)
	}
	limit := x.id.limit()
	p = p[:min(len(p), limit-len(x.value)+1)]
	if r := x.noNUL(p); r != nil {
		return r
	}
	x.value = append(x.value, p...)
	switch {
	case len(x.value) <= limit:
		return nil
	case x.id.isName():
		return tooLong(x.id == keyLinkpath)
	}
	return badRecord("the PAX record " + paxKeys[x.id] + " is no number")
}

func (x *records) noNUL(p []byte) *Rejection {
	if bytes.IndexByte(p, 0) >= 0 {
		return badRecord("the PAX record " + paxKeys[x.id] + " holds a NUL")
	}
	return nil
}

// apply puts a whole record to use.
func (x *records) apply(e *extension) *Rejection {
	switch x.id {
	case keyFree, keyUname, keyGname:
		return nil
	case keyMtime, keyAtime, keyCtime:
		return x.applyTime(e)
	case keyUID, keyGID:
		_, err := strconv.ParseInt(string(x.value), 10, 64)
		if err != nil && len(x.value) > 0 {
			return badRecord("the PAX record " + paxKeys[x.id] + " is no number")
		}
		return nil
	}
	if x.global {
		return badRecord("the PAX record " + paxKeys[x.id] + " stands in a global header")
	}
	if len(x.value) == 0 && x.id != keySparseMap {
		return badRecord("the PAX record " + paxKeys[x.id] + " is empty")
	}
	switch x.id {
	case keyPath:
		e.paxName, e.name = true, append(e.name[:0], x.value...)
		return e.mixed()
	case keyLinkpath:
		e.paxLink, e.link = true, append(e.link[:0], x.value...)
		return e.mixed()
	case keySparseName:
		e.sparse.seen = true
		e.sparse.name = append(e.sparse.name[:0], x.value...)
		return nil
	case keySparseMap:
		e.sparse.seen = true
		return e.sparse.endMap()
	}
	return x.applyNumber(e)
}

// applyNumber is apply for numbers that may not be negative.
func (x *records) applyNumber(e *extension) *Rejection {
	v, err := strconv.ParseUint(string(x.value), 10, 63)
	if err != nil {
		return badRecord("the PAX record " + paxKeys[x.id] + " is no number")
	}
	if x.id != keySize {
		if (x.id == keySparseMajor || x.id == keySparseMinor) && len(x.value) > 1 {
			return badSparse("the sparse format's version is unknown") // readers compare the text
		}
		e.sparse.seen = true
		return e.sparse.number(x.id, int64(v))
	}
	if e.hasSize && e.size != int64(v) {
		return badRecord("an entry has two PAX sizes")
	}
	if v > maxStored {
		return reject(RuleTarHeader, "the size of an entry is out of range", mendForeign)
	}
	e.hasSize, e.size = true, int64(v)
	return nil
}

// applyTime is apply for times: seconds, and perhaps a fraction. An empty one
// takes an earlier record back.
func (x *records) applyTime(e *extension) *Rejection {
	whole, fraction, dot := bytes.Cut(x.value, []byte("."))
	s, err := strconv.ParseInt(string(whole), 10, 64)
	if len(x.value) > 0 && (err != nil || dot && len(bytes.Trim(fraction, "0123456789")) > 0) {
		return badRecord("the PAX record " + paxKeys[x.id] + " is no time")
	}
	if x.id != keyMtime || x.global {
		return nil
	}
	var ns int64
	for i := range 9 {
		ns *= 10
		if i < len(fraction) {
			ns += int64(fraction[i] - '0')
		}
	}
	if len(whole) > 0 && whole[0] == '-' {
		ns = -ns
	}
	e.hasTime, e.seconds, e.nsc = len(x.value) > 0, s, ns
	return nil
}
