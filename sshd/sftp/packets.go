package sftp

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Packet types of draft-ietf-secsh-filexfer-02, section 3.
const (
	typeInit          = 1
	typeVersion       = 2
	typeOpen          = 3
	typeClose         = 4
	typeRead          = 5
	typeWrite         = 6
	typeLstat         = 7
	typeFstat         = 8
	typeSetstat       = 9
	typeFsetstat      = 10
	typeOpendir       = 11
	typeReaddir       = 12
	typeRemove        = 13
	typeMkdir         = 14
	typeRmdir         = 15
	typeRealpath      = 16
	typeStat          = 17
	typeRename        = 18
	typeReadlink      = 19
	typeSymlink       = 20
	typeStatus        = 101
	typeHandle        = 102
	typeExtended      = 200
	typeExtendedReply = 201
)

// Sizes in bytes.
const (
	// maxFrame is the longest packet behind its length word; OpenSSH and
	// pkg/sftp end the session above it.
	maxFrame = 256 << 10
	// maxData is the most one READ or WRITE carries: what OpenSSH's own server
	// announces. Its clients before 9.0 fail where a server offers more.
	maxData = 255 << 10
	// maxSmall is the longest packet that carries no file data: a rename with
	// two paths of nearly PATH_MAX.
	maxSmall = 8<<10 - 4
	// maxOffset is the highest offset that leaves room for a packet below 2^63.
	maxOffset = math.MaxInt64 - maxFrame
	// maxHandle is the longest handle; the server's are decimal numbers.
	maxHandle = 20
	// writeHead is how much of a WRITE comes before its data, with its length
	// word and the longest handle.
	writeHead = 4 + 1 + 4 + 4 + maxHandle + 8 + 4
)

// Extensions, see PROTOCOL in OpenSSH's source, sections 4.3, 4.6 and 4.8.
const (
	extRename = "posix-rename@openssh.com"
	extFsync  = "fsync@openssh.com"
	extLimits = "limits@openssh.com"
)

// Open flags of section 6.3. A handle that any of openForWrite made takes
// writes; the server gives no handle that does both.
const (
	openRead     = 0x01
	openForWrite = 0x02 | 0x04 | 0x08 | 0x10
)

// Flags of file attributes, section 5.
const (
	attrSize        = 0x00000001
	attrOwner       = 0x00000002
	attrPermissions = 0x00000004
	attrTimes       = 0x00000008
	attrExtended    = 0x80000000
)

// use is what a handle is good for.
type use byte

const (
	useNone use = iota
	useRead
	useWrite
	useDir
)

// request is what the filter knows of one packet.
type request struct {
	kind   byte
	id     uint32
	handle string // of CLOSE, READ, WRITE, ...; empty otherwise
	opens  use    // what OPEN or OPENDIR asks for
	toDir  bool   // OPEN's path ends in a slash, which the server drops
	offset uint64 // of READ and WRITE
	size   int    // bytes of data: that READ asks for, at most maxData; that WRITE has
	ext    string // EXTENDED's name
}

// parse reads a packet without its length word. A WRITE may be cut after its
// head; length is what the whole packet has. ok is false where a field does
// not fit into the packet: the server would end the session for it.
func parse(b []byte, length int) (r request, ok bool) {
	c := cursor{b: b}
	r.kind, r.id = c.byte(), c.uint32()
	switch r.kind {
	case typeOpen:
		r.toDir = bytes.HasSuffix(c.bytes(), []byte("/"))
		r.opens = openedBy(c.uint32())
		c.attrs()
	case typeClose, typeFstat, typeReaddir:
		r.handle = c.string()
	case typeRead:
		r.handle, r.offset = c.string(), c.uint64()
		r.size = int(min(c.uint32(), maxData))
	case typeWrite:
		r.handle, r.offset = c.string(), c.uint64()
		data := c.uint32()
		c.bad = c.bad || int64(data) > int64(length-(len(b)-len(c.b)))
		r.size = int(min(data, maxFrame))
	case typeOpendir:
		r.opens = useDir
		c.bytes()
	case typeLstat, typeStat, typeRemove, typeRmdir, typeRealpath, typeReadlink:
		c.bytes()
	case typeSetstat, typeMkdir:
		c.bytes()
		c.attrs()
	case typeFsetstat:
		r.handle = c.string()
		c.attrs()
	case typeRename, typeSymlink:
		c.bytes()
		c.bytes()
	case typeExtended:
		r.ext = c.string()
		parseExtended(&c, &r)
	}
	return r, !c.bad
}

func parseExtended(c *cursor, r *request) {
	switch r.ext {
	case extRename:
		c.bytes()
		c.bytes()
	case extFsync:
		r.handle = c.string()
	}
}

func openedBy(flags uint32) use {
	switch {
	case flags&openForWrite != 0:
		return useWrite
	case flags&openRead != 0:
		return useRead
	}
	return useNone
}

// cursor reads the fields of a packet. It is sticky: after a field that does
// not fit, bad is set and every field is zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	field := c.b[:n]
	c.b = c.b[n:]
	return field
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (c *cursor) bytes() []byte  { return c.take(uint64(c.uint32())) }
func (c *cursor) string() string { return string(c.bytes()) }

// attrs skips ATTRS, section 5.
func (c *cursor) attrs() {
	flags := c.uint32()
	for _, f := range [...]struct {
		flag uint32
		size uint64
	}{{attrSize, 8}, {attrOwner, 8}, {attrPermissions, 4}, {attrTimes, 8}} {
		if flags&f.flag != 0 {
			c.take(f.size)
		}
	}
	if flags&attrExtended == 0 {
		return
	}
	for n := c.uint32(); n > 0 && !c.bad; n-- {
		c.bytes()
		c.bytes()
	}
}

// frame builds a packet; its length word is filled in by done.
type frame []byte

func newFrame(kind byte, id uint32) frame {
	return frame{0, 0, 0, 0, kind}.uint32(id)
}

func (f frame) uint32(v uint32) frame { return binary.BigEndian.AppendUint32(f, v) }
func (f frame) uint64(v uint64) frame { return binary.BigEndian.AppendUint64(f, v) }
func (f frame) string(s string) frame { return append(f.uint32(uint32(len(s))), s...) }

func (f frame) done() []byte {
	binary.BigEndian.PutUint32(f, uint32(len(f)-4))
	return f
}

// version answers INIT whatever version the client speaks: lftp offers 6 and
// is content with 3, as every client is.
func version() []byte {
	return newFrame(typeVersion, 3).
		string(extRename).string("1").
		string(extLimits).string("1").
		string(extFsync).string("1").done()
}

// limits answers limits@openssh.com. OpenSSH's clients up to 10 take the number
// of handles for the number of requests they may have in flight as well, so
// one below their default of 64 is told as 0, "not known".
func limits(id uint32, handles int) []byte {
	if handles < 64 || handles > math.MaxInt32 {
		handles = 0
	}
	return newFrame(typeExtendedReply, id).
		uint64(maxFrame).uint64(maxData).uint64(maxData).uint64(uint64(handles)).done()
}
