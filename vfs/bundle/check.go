package bundle

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/bits"

	"bundleup/vfs/bundle/inflate"
)

// Check judges a stream of compressed bytes as it comes. It is not safe for
// concurrent use.
//
// Its memory is the decoder's, about 180 KiB, and 9 to 18 bytes for each
// distinct name in the archive, directories that are only implied included;
// with the default limits that is at most 64 MiB, and for a bundle of 10,000
// files 128 KiB. Extension headers are parsed as they come and never kept
// whole.
type Check struct {
	limits Limits

	in       int64 // compressed bytes taken
	unpacked int64 // bytes out of the decoder
	members  int64 // gzip members begun
	head     []byte
	frame    frame
	body     int64            // where the member's deflated bytes begin
	dec      *inflate.Decoder // nil until a body comes, and after a rejection
	tar      walker
	rec      *recorder // nil unless it records

	rejection *Rejection // sticky
}

// NewCheck makes a Check. Limits that do not Validate are the defaults.
func NewCheck(l Limits) *Check {
	l = l.filled()
	var seed [16]byte
	rand.Read(seed[:]) // never fails, by its documentation
	key := [2]uint64{binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])}
	return &Check{limits: l, tar: walker{maxEntries: l.MaxEntries, names: newNames(key, l.MaxEntries)}}
}

// OnEntry sets a function that is called once for each entry whose header was
// found sound, before its data is looked at. The Entry and its slices are
// valid during the call only. A later byte may still refuse the stream.
func (c *Check) OnEntry(f func(*Entry)) { c.tar.onEntry = f }

// Progress says how far the check has come.
func (c *Check) Progress() Progress {
	return Progress{Size: c.in, Unpacked: c.unpacked, Entries: c.tar.entries, Members: c.members}
}

// Write takes the next bytes of the stream. An error is a *Rejection, the same
// at every later call; n is then how many of p lie before the place that shows
// it.
func (c *Check) Write(p []byte) (n int, err error) {
	if c.rejection != nil {
		return 0, c.rejection
	}
	start, room := c.in, c.limits.MaxSize-c.in
	over := int64(len(p)) > room
	if over {
		p = p[:max(room, 0)]
	}
	r := c.take(p)
	if r == nil && over {
		r = c.place(c.in, reject(RuleLimit, "the file is larger than "+thousands(c.limits.MaxSize)+" bytes", mendLimit))
	}
	if r == nil {
		return len(p), nil
	}
	c.rejection, c.dec, c.rec, c.tar.names.slots = r, nil, nil, nil // whose memory is large
	return int(min(max(r.Offset-start, 0), int64(len(p)))), r
}

// place fills in where and at which entry a rejection is.
func (c *Check) place(offset int64, r *Rejection) *Rejection {
	if r != nil {
		r.Offset, r.Entry = offset, string(c.tar.name)
	}
	return r
}

// take goes through p part by part.
func (c *Check) take(p []byte) *Rejection {
	for len(p) > 0 {
		var n int
		var r *Rejection
		switch c.frame.part {
		case atStart:
			n, r = c.takeHead(p)
		case inBody:
			n, r = c.takeBody(p)
		case inCRC, inSize:
			n, r = c.frame.trailer(p)
			c.place(c.in+int64(n), r)
		case behind:
			n, r = c.takeBehind(p)
		case inPadding:
			n, r = c.takePadding(p)
		default:
			n, r = c.takeHeader(p)
		}
		if r != nil {
			return r
		}
		c.in += int64(n)
		p = p[n:]
	}
	return nil
}

// takeHead takes the first bytes of the file, until they tell what it is.
func (c *Check) takeHead(p []byte) (int, *Rejection) {
	for i, b := range p {
		c.head = append(c.head, b)
		if isGzip(c.head) {
			if len(c.head) == 2 {
				c.members = 1
				c.frame.begin(c.head)
				c.head = nil
				return i + 1, nil
			}
			continue
		}
		if name, _ := sniff(c.head); name != "" || len(c.head) == sniffLen {
			return 0, c.place(0, noGzip(c.head))
		}
	}
	return len(p), nil
}

// takeHeader takes bytes of a member's header.
func (c *Check) takeHeader(p []byte) (int, *Rejection) {
	if c.frame.part == inFixed && c.frame.n == 1 && p[0] != 0x8b {
		return 0, c.place(c.in-1, trailing())
	}
	n, r := c.frame.header(p)
	if r != nil {
		return 0, c.place(c.in+int64(n), r)
	}
	if c.frame.part == inBody {
		c.beginBody(c.in + int64(n))
	}
	return n, nil
}

func trailing() *Rejection {
	return reject(RuleTrailing, "there is something behind the end of the gzip file",
		"something was appended to the file, or it was damaged; make it anew")
}

func (c *Check) beginBody(at int64) {
	c.body = at
	if c.dec == nil {
		c.dec = inflate.New()
		return
	}
	c.dec.Reset()
}

// takeBehind takes the byte behind a member: another member's, or padding.
func (c *Check) takeBehind(p []byte) (int, *Rejection) {
	switch {
	case p[0] == 0:
		if r := c.unfinished(); r != nil {
			return 0, c.place(c.in, r) // behind zeros no member may follow
		}
		c.frame.next(inPadding)
		return 0, nil
	case p[0] != 0x1f:
		return 0, c.place(c.in, trailing())
	case c.members >= c.limits.MaxMembers:
		return 0, c.place(c.in, reject(RuleLimit, "the file has more than "+
			thousands(c.limits.MaxMembers)+" gzip members", "compress the archive in one piece: tar czf"))
	}
	c.members++
	c.frame.begin(p[:1])
	return 1, nil
}

// takePadding takes zeros.
func (c *Check) takePadding(p []byte) (int, *Rejection) {
	if allZero(p) {
		return len(p), nil
	}
	n := 0
	for p[n] == 0 {
		n++
	}
	return 0, c.place(c.in+int64(n), trailing())
}

// grainBits is the binary logarithm of the largest grain.
const grainBits = 14

// grain is how far apart the places are that a rejection of what the tar
// inside shows can name: 16 bytes at first, a 64th of the way up to 4 KiB.
// The decoder is fed a grain at a time, so that these places, and those at
// which the ratio is judged, do not depend on the writes.
func grain(at int64) int64 {
	return 1 << min(max(bits.Len64(uint64(at))-7, 4), grainBits)
}

// takeBody decodes up to the end of the grain.
func (c *Check) takeBody(p []byte) (n int, r *Rejection) {
	g := grain(c.in)
	page := c.in &^ (g - 1)
	p = p[:min(int64(len(p)), page+g-c.in)]
	for {
		out, k, status, err := c.dec.Decode(p[n:])
		n += k
		if r := c.output(out); r != nil {
			return 0, c.place(page, r)
		}
		if err != nil {
			return 0, c.corrupt(page, err)
		}
		at := c.in + int64(n)
		if c.rec != nil {
			c.record(p[n-k:n], at, status, at == page+g)
		}
		switch {
		case status == inflate.Done:
			c.frame.next(inCRC)
			return n, c.ratio(at)
		case status == inflate.NeedInput && at == page+g:
			return n, c.ratio(at)
		case status == inflate.NeedInput:
			return n, nil
		}
	}
}

// output takes what the decoder gave.
func (c *Check) output(out []byte) *Rejection {
	room := c.limits.MaxUnpacked - c.unpacked
	over := int64(len(out)) > room
	if over {
		out = out[:max(room, 0)]
	}
	for c.rec != nil && len(out) > 0 { // up to the chunk's end
		part := out[:min(int64(len(out)), chunkLen-c.unpacked%chunkLen)]
		if r := c.walk(part); r != nil {
			return r
		}
		if c.unpacked%chunkLen == 0 {
			c.rec.chunk(c.frame.crc, c.unpacked)
		}
		out = out[len(part):]
	}
	if r := c.walk(out); r != nil || !over {
		return r
	}
	return reject(RuleLimit, "the bundle unpacks to more than "+thousands(c.limits.MaxUnpacked)+" bytes", mendLimit)
}

// walk sums up the output and walks the tar stream in it.
func (c *Check) walk(out []byte) *Rejection {
	c.frame.output(out)
	c.unpacked += int64(len(out))
	return c.tar.write(out)
}

// corrupt says what the decoder found wrong.
func (c *Check) corrupt(page int64, err error) *Rejection {
	r := reject(RuleDeflate, "the compressed data is damaged", mendDamaged)
	r.Err = err
	var e *inflate.CorruptError
	if errors.As(err, &e) {
		page = c.body + e.Offset
		r.Reason += ": " + e.Reason
	}
	return c.place(page, r)
}

// ratio judges how much came out of at bytes.
func (c *Check) ratio(at int64) *Rejection {
	if c.unpacked < ratioFrom || c.unpacked/int64(c.limits.MaxRatio) <= at {
		return nil
	}
	return c.place(at, reject(RuleLimit, "the bundle unpacks to more than "+
		thousands(int64(c.limits.MaxRatio))+" times its size", mendLimit))
}

// unfinished says why the archive is not whole behind whole gzip members, or
// is nil.
func (c *Check) unfinished() *Rejection {
	t := &c.tar
	switch {
	case t.stage == atEnd:
		return nil
	case c.unpacked == 0:
		return reject(RuleTarEnd, "the gzip file is empty inside", mendRepack)
	case t.entries == 0 && t.ext.chain == 0 && t.stage == atHeader && c.unpacked < blockSize:
		return noArchive(t.block[:t.have])
	}
	return reject(RuleTarEnd, "the archive has no end: tar was stopped before it had written all",
		"pack the files anew and look whether tar reports an error, such as a full disk")
}

// Sound reports whether Finish would accept the stream as it is: whole gzip
// members with a whole archive inside. More bytes may still come.
func (c *Check) Sound() bool {
	return c.rejection == nil && (c.frame.part == behind || c.frame.part == inPadding) && c.unfinished() == nil
}

// Finish judges the stream at its end. The error is a *Rejection; IsTruncated
// tells one that more bytes could mend. Finish changes nothing: after it the
// state can be saved, and more bytes can be written.
func (c *Check) Finish() (*Manifest, error) {
	if c.rejection != nil {
		return nil, c.rejection
	}
	if r := c.ending(); r != nil {
		return nil, c.place(c.in, r)
	}
	return &Manifest{Entries: c.tar.entries, Unpacked: c.unpacked, Members: c.members, Size: c.in}, nil
}

// ending says what is wrong with a stream that ends here, or is nil.
func (c *Check) ending() *Rejection {
	switch {
	case c.in == 0:
		return reject(RuleFormat, "the file is empty", "pack the files with tar czf, and look whether the disk is full")
	case c.frame.part == atStart && !isGzip(c.head):
		return noGzip(c.head)
	case c.frame.part == behind, c.frame.part == inPadding:
		return c.unfinished()
	}
	return reject(RuleTruncated, "the file ends too early", "it was cut off while it was made or sent; send it again")
}
