package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sample is a byte sequence with the verdict that is due: a rule, or "" for a
// sound one.
type sample struct {
	name string
	rule Rule
	data []byte
}

// corpus is every sample that can be built here.
func corpus(t testing.TB) []sample {
	t.Helper()
	var all []sample
	add := func(rule Rule, name string, data []byte) {
		all = append(all, sample{name, rule, data})
	}
	tarred := func(rule Rule, name string, parts ...any) { add(rule, name, gz(whole(parts...))) }
	formatSamples(add)
	gzipSamples(add)
	deflateSamples(add)
	headerSamples(add, tarred)
	endSamples(add)
	paxSamples(add, tarred)
	sparseSamples(tarred)
	nameSamples(tarred)
	contradictionSamples(tarred)
	linkSamples(tarred)
	typeSamples(tarred)
	all = append(all, goSamples(t)...)
	return append(all, programSamples(t)...)
}

type adder func(rule Rule, name string, data []byte)
type tarAdder func(rule Rule, name string, parts ...any)

var small = entry('0', "logs/syslog", "Nov 23 18:00:00 host kernel: ok\n")

func formatSamples(add adder) {
	zeros := func(n int) string { return string(make([]byte, n)) }
	for _, f := range [][2]string{
		{"empty", ""},
		{"zip", "PK\x03\x04" + zeros(600)},
		{"zip short", "PK\x03\x04\x14"},
		{"xz", "\xfd7zXZ\x00\x00\x04"},
		{"bzip2", "BZh91AY&SY"},
		{"zstd", "\x28\xb5\x2f\xfd\x04"},
		{"7z", "7z\xbc\xaf\x27\x1c\x00\x04"},
		{"lz4", "\x04\x22\x4d\x18\x64"},
		{"compress", "\x1f\x9d\x90abc"},
		{"lzip", "LZIP\x01"},
		{"rar", "Rar!\x1a\x07\x01\x00"},
		{"tar", string(whole(small))},
		{"tar v7", string(whole(small.v7()))},
		{"html", "<!DOCTYPE html><html><body>Log in</body></html>"},
		{"html long", "\n  <HTML>" + strings.Repeat("<p>sign in</p>", 100)},
		{"json", `{"error": "not found"}`},
		{"text", "hello\n"},
		{"text long", strings.Repeat("hello, world\n", 100)},
		{"zeros", zeros(10)},
		{"zeros long", zeros(5000)},
		{"junk", "\x01\x02\x03\x04"},
		{"junk long", strings.Repeat("\x01\x80\xff", 300)},
		{"not quite gzip", "\x1f\x8c\x08" + zeros(600)},
		{"not quite zip", "PK\x03\x05" + zeros(600)},
	} {
		add(RuleFormat, "format "+f[0], []byte(f[1]))
	}
}

func gzipSamples(add adder) {
	body := whole(small)
	good := gz(body)
	sound := func(name string, data []byte) { add("", "gzip "+name, data) }
	sound("plain", good)
	sound("padded", append(bytes.Clone(good), make([]byte, 1000)...))
	sound("two members", gz(body[:700], body[700:]))
	sound("members in a header", gz(body[:1], body[1:300], body[300:512], body[512:]))
	sound("empty members", gz(nil, body[:600], nil, nil, body[600:], nil))
	sound("zeros in a further member", gz(body, make([]byte, 9000)))
	sound("extra", member{flags: flagExtra, extra: "\x04\x00abcd", body: body}.bytes())
	sound("empty extra", member{flags: flagExtra, extra: "\x00\x00", body: body}.bytes())
	sound("name", member{flags: flagName, name: "diag.tar\x00", body: body}.bytes())
	sound("comment", member{flags: flagComment, comment: "made by hand\x00", body: body}.bytes())
	sound("text flag", member{flags: 1, body: body}.bytes())
	sound("header crc", member{flags: flagHeaderCRC, headerCRC: true, body: body}.bytes())
	sound("everything", member{flags: 0x1f, extra: "\x01\x00x", name: "n\x00", comment: "c\x00", headerCRC: true, body: body}.bytes())
	longest := strings.Repeat("x", maxText) + "\x00"
	sound("longest name", member{flags: flagName, name: longest, body: body}.bytes())

	header := func(name string, data []byte) { add(RuleGzipHeader, "gzip header "+name, data) }
	header("method", append([]byte{0x1f, 0x8b, 7}, good[3:]...))
	for bit := 5; bit < 8; bit++ {
		header(fmt.Sprint("flag ", bit), member{flags: 1 << bit, body: body}.bytes())
	}
	header("crc", member{flags: flagHeaderCRC, headerCRC: true, body: body, spoil: func(h, _ []byte) { h[len(h)-1]++ }}.bytes())
	header("name too long", member{flags: flagName, name: "x" + longest, body: body}.bytes())
	header("comment too long", member{flags: flagComment, comment: "x" + longest, body: body}.bytes())
	header("second member", append(gz(body), member{flags: 0x80}.bytes()...))

	add(RuleGzipCRC, "gzip crc", member{body: body, spoil: func(_, t []byte) { t[2] ^= 1 }}.bytes())
	add(RuleGzipSize, "gzip size", member{body: body, spoil: func(_, t []byte) { t[7] ^= 1 }}.bytes())
	add(RuleGzipCRC, "gzip crc of the second", append(gz(body), member{spoil: func(_, t []byte) { t[0] ^= 1 }}.bytes()...))
	add(RuleGzipCRC, "gzip crc of an empty member", append(member{spoil: func(_, t []byte) { t[0] ^= 1 }}.bytes(), good...))

	tail := func(name, t string) {
		add(RuleTrailing, "trailing "+name, append(bytes.Clone(good), t...))
	}
	tail("text", "hello")
	tail("one byte", "\x01")
	tail("not quite a member", "\x1f\x8c")
	tail("byte behind padding", string(make([]byte, 100))+"x")
	tail("member behind padding", "\x00"+string(good))
	tail("far behind padding", string(make([]byte, 20000))+"\x1f\x8b")
	add(RuleTrailing, "trailing in an entry", append(gz(body[:520]), "junk"...))

	add(RuleTruncated, "truncated lone byte of a member", append(bytes.Clone(good), 0x1f))
	add(RuleTruncated, "truncated magic", []byte{0x1f})
	add(RuleTruncated, "truncated magic only", []byte{0x1f, 0x8b})
}

func deflateSamples(add adder) {
	body := whole(small)
	for _, d := range []struct{ name, bits string }{
		{"reserved block", "\x07"},
		{"stored length", "\x01\x05\x00\x05\x00hello"},
		{"distance before the start", "\x03\x02\x00\x00\x00\x00\x00\x00"},
	} {
		add(RuleDeflate, "deflate "+d.name, member{deflated: []byte(d.bits)}.bytes())
	}
	stored := member{deflated: append([]byte{1, byte(len(body)), byte(len(body) >> 8), ^byte(len(body)), ^byte(len(body) >> 8)}, body...), body: body}
	add("", "deflate stored", stored.bytes())
	late := stored
	late.deflated = append(bytes.Clone(stored.deflated), 0)
	late.deflated[0] = 0
	late.deflated = append(late.deflated[:len(late.deflated)-1], 7)
	add(RuleDeflate, "deflate reserved block behind the archive", late.bytes())
}

func headerSamples(add adder, tarred tarAdder) {
	sound := func(name string, parts ...any) { tarred("", "header "+name, parts...) }
	sound("v7", small.v7())
	sound("ustar", small)
	sound("gnu", small.gnu())
	sound("prefix", raw{name: "b", prefix: "a", data: "x", magic: magicUstar})
	sound("signed sum", func() []byte {
		b := entry('0', "caf\xe9\xff\x80", "x").bytes()
		sum := 8 * 32
		for i, c := range b[:blockSize] {
			if i < 148 || i >= 156 {
				sum += int(int8(c))
			}
		}
		copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}())
	sound("blank owner", small.with(108, "        "))
	sound("numbers without an end", small.with(100, "00000644"))
	sound("leading blanks", small.with(100, "   644 \x00"))
	sound("base-256 size", small.with(124, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20"))
	sound("base-256 negative time", small.with(136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00"))
	sound("zero size field", entry('0', "empty", "").with(124, string(make([]byte, 12))))
	sound("free padding", archive(raw{name: "f", typ: '0', data: "x" + strings.Repeat("?", 511), size: 1, magic: magicUstar}))
	sound("star", raw{name: "b", typ: '0', magic: magicUstar}.with(345, "a").with(476, "00000000000 00000000000 ").with(508, "tar\x00"))
	sound("garbage behind the name", entry('0', "ok\x00/../../etc/passwd", ""))

	bad := func(name string, parts ...any) { tarred(RuleTarHeader, "header "+name, parts...) }
	bad("sum", small, raw{name: "b", spoil: func(b []byte) { b[0]++ }})
	bad("sum of the first", raw{name: "b", typ: '0', spoil: func(b []byte) { b[150]++ }})
	bad("sum blank", small, raw{name: "b", spoil: func(b []byte) { copy(b[148:156], "        ") }})
	bad("sum no number", small, raw{name: "b", spoil: func(b []byte) { copy(b[148:156], "zzzzzz\x00 ") }})
	bad("nothing but text", strings.Repeat("some text\n", 200))
	bad("inside another gzip", string(gz(whole(small, strings.Repeat("x", 100)))), strings.Repeat("\x01", 600))
	for name, f := range map[string]string{
		"blank size": "            ", "size with a NUL": "0000\x00000001\x00", "size of letters": "0000000zz\x00\x00\x00",
		"size negative": "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf0", "size beyond int64": "\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00",
		"size way beyond": "\x8f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "size with a sign": "-0000000001\x00", "size with 8": "00000000008\x00",
		"size at the edge": "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", "blank and NUL size": "   \x00        ",
	} {
		bad(name, small.with(124, f))
		bad(name+" of an extension", pax('x', "comment", "x").with(124, f), small)
	}
	bad("mode", small.with(100, "rw-r--r-"))
	bad("owner", small.with(108, "root\x00\x00\x00\x00"))
	bad("group", small.with(116, "0x12345\x00"))
	bad("time", small.with(136, "yesterday\x00\x00\x00"))
	bad("time beyond int64", small.with(136, "\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	bad("device number", small.with(329, "minor\x00\x00\x00"))
	bad("GNU access time", small.gnu().with(345, "../../etc/x"))
	bad("GNU change time", small.gnu().with(357, "../../etc/x"))
	bad("star access time", small.with(345, "a").with(476, "then").with(508, "tar\x00"))
	bad("size lies", raw{name: "f", typ: '0', data: "some data", size: 2000, magic: magicUstar}, strings.Repeat("tail", 1000))
	add(RuleTarHeader, "header short text", gz([]byte("just a text\n")))
}

func endSamples(add adder) {
	sound := func(name string, b []byte) { add("", "end "+name, gz(b)) }
	one := string(make([]byte, blockSize))
	sound("one zero block", archive(small, one))
	sound("no entries", archive(eof))
	sound("no entries, one block", archive(one))
	sound("record padding", archive(small, eof, string(make([]byte, 9000))))
	sound("odd padding", archive(small, eof, "\x00\x00\x00"))
	sound("global header only", archive(pax('g', "comment", "x"), eof))

	bad := func(name string, b []byte) { add(RuleTarEnd, "end "+name, gz(b)) }
	bad("missing", archive(small))
	bad("partial", archive(small, one[:511]))
	bad("in data", archive(small)[:520])
	bad("in padding", archive(small)[:600])
	bad("in a later header", append(archive(small), small.bytes()[:100]...))
	bad("empty stream", nil)
	bad("data behind one block", archive(small, one, small, eof))
	bad("second archive", archive(small, eof, small, eof))
	bad("last byte", archive(small, eof, "\x00\x00\x01"))
	bad("behind a local header", archive(pax('x', "mtime", "1"), eof))
	bad("behind a long name", archive(long('L', "x"), eof))
	bad("behind a long link", archive(small, long('K', "x"), eof))
	bad("in an extension header", archive(pax('x', "mtime", "1"))[:515])
	add(RuleTarEnd, "end padding behind a cut archive", append(gz(archive(small)), 0, 0))
	add(RuleTarEnd, "end second archive in a member", gz(whole(small), whole(small)))
	add(RuleTarEnd, "end empty members", gz(nil, nil))
}

func paxSamples(add adder, tarred tarAdder) {
	sound := func(name string, parts ...any) { tarred("", "pax "+name, parts...) }
	sound("path", pax('x', "path", "a/long/name"), small)
	sound("solaris", pax('X', "path", "a/long/name"), small)
	sound("times", pax('x', "mtime", "1700000000.123456789", "atime", "-1.5", "ctime", "12"), small)
	sound("vendor keys", pax('x', "SCHILY.xattr.user.x", "\x00\xff\n=\n", "LIBARCHIVE.creationtime", "1"), small)
	sound("unknown key, very long", pax('x', strings.Repeat("k", 500), "v"), small)
	sound("utf-8 names", pax('x', "uname", "r\u00f6\u00f6t", "gname", "wheel", "path", "\u65e5\u672c"), small)
	sound("size for 0", pax('x', "size", "5"), entry('0', "f", ""), archive(raw{data: "12345"})[blockSize:])
	sound("size the same", pax('x', "size", "5"), entry('0', "f", "12345"))
	sound("global", pax('g', "comment", "0123456789abcdef"), small)
	sound("global and local", pax('g', "comment", "x"), pax('x', "path", "p"), small)
	sound("empty header", pax('x'), small)
	sound("empty mtime", pax('x', "mtime", ""), small)
	sound("long name and times", long('L', "some/name"), pax('x', "mtime", "1"), small.gnu())
	sound("long name and link", long('K', strings.Repeat("t/", 90)), long('L', strings.Repeat("n/", 90)+"x"), link('2', "x", "y").gnu())
	sound("large", pax('x', "SCHILY.xattr.user.big", strings.Repeat("x", 900_000)), small)
	sound("last path counts", pax('x', "path", "../x", "path", "x"), small)
	longest := strings.Repeat("d/", maxName/2-1) + "xy"
	sound("longest path", pax('x', "path", longest), small)
	sound("longest long name", long('L', longest), small.gnu())

	bad := func(name string, parts ...any) { tarred(RulePax, "pax "+name, parts...) }
	text := func(s string) raw { return entry('x', "x", s) }
	for name, s := range map[string]string{
		"sign": "+9 a=bcd\n", "minus": "-9 a=bcd\n", "no length": " a=b\n", "no number": "x a=b\n", "no space": "6a=b\n\n", "leading blank": " 6 a=b\n",
		"length 0": "0 a=b\n", "too short a length": "5 a=b\n", "too long a length": "7 a=b\n", "far too long": "99999999999999999999 a=b\n",
		"no key": "5 =b\n", "no equals": "6 abc\n", "no newline": "6 a=bc", "NUL in the key": "8 a\x00b=c\n", "cut in the value": "20 a=b\n", "cut in the length": "6 a=b\n12",
		"NULs behind": "6 a=b\n\x00\x00", "tab": "6\ta=b\n", "hexadecimal": "0x6 a=b\n", "shortest": "3 =\n",
	} {
		bad(name, text(s), small)
	}
	for _, key := range []string{"path", "linkpath", "uname", "gname", "GNU.sparse.name"} {
		bad("NUL in "+key, pax('x', key, "a\x00b"), small)
	}
	for _, key := range []string{"path", "linkpath", "size"} {
		bad("empty "+key, pax('x', key, ""), small)
		bad(key+" in a global header", pax('g', key, "5"), small)
	}
	for _, key := range []string{"size", "uid", "gid", "mtime", "atime", "ctime"} {
		bad(key+" no number", pax('x', key, "twelve"), small)
		bad(key+" endless", pax('x', key, strings.Repeat("1", 100)), small)
	}
	bad("negative size", pax('x', "size", "-1"), small)
	bad("time with a letter", pax('x', "mtime", "12.3x"), small)
	bad("two sizes", pax('x', "size", "5", "size", "6"), small)
	bad("size differs", pax('x', "size", "5"), small)
	bad("two local headers", pax('x', "mtime", "1"), pax('x', "mtime", "2"), small)
	bad("local and Solaris", pax('x', "mtime", "1"), pax('X', "mtime", "2"), small)
	bad("two long names", long('L', "a"), long('L', "b"), small.gnu())
	bad("two long links", long('K', "a"), long('K', "b"), small.gnu())
	bad("GNU and PAX names", long('L', "a"), pax('x', "path", "b"), small.gnu())
	bad("PAX and GNU names", pax('x', "path", "b"), long('L', "a"), small.gnu())
	bad("PAX and GNU links", pax('x', "linkpath", "b"), long('K', "a"), small.gnu())
	bad("chain", pax('g', "a", "1"), pax('g', "a", "2"), pax('g', "a", "3"), pax('g', "a", "4"), pax('g', "a", "5"), small)
	bad("too large", pax('x', "a", strings.Repeat("x", maxRecords)), small)
	bad("too large together", pax('g', "a", strings.Repeat("x", maxRecords/2)), pax('x', "a", strings.Repeat("x", maxRecords/2)), small)
	bad("NUL inside a long name", entry('L', "././@LongLink", "ok\x00../x\x00").gnu(), small.gnu())
	tarred(RuleTarHeader, "pax size beyond", pax('x', "size", "9223372036854775800"), small)
	add(RuleTarEnd, "pax size larger than the stream", gz(whole(pax('x', "size", "100000"), entry('0', "f", ""))))
}

// oldFragments writes the fragments of an old GNU header.
func oldFragments(real int64, more byte, pairs ...int64) func([]byte) {
	return func(b []byte) {
		copy(b[386:482], fragmentSlots(pairs...))
		b[482] = more
		copy(b[483:], fmt.Sprintf("%011o\x00", real))
	}
}

func fragmentSlots(pairs ...int64) string {
	var s string
	for _, v := range pairs {
		s += fmt.Sprintf("%011o\x00", v)
	}
	return s
}

// extensionBlock is a block of 21 fragments of an old GNU header.
func extensionBlock(more byte, pairs ...int64) []byte {
	b := make([]byte, blockSize)
	copy(b, fragmentSlots(pairs...))
	b[504] = more
	return b
}

func sparseSamples(tarred tarAdder) {
	data := strings.Repeat("d", 1000)
	old := func(real int64, more byte, pairs ...int64) raw {
		r := entry('S', "sparse", data).gnu()
		r.edit = oldFragments(real, more, pairs...)
		return r
	}
	sound := func(name string, parts ...any) { tarred("", "sparse "+name, parts...) }
	bad := func(name string, parts ...any) { tarred(RuleSparse, "sparse "+name, parts...) }
	sound("old", old(5000, 0, 0, 512, 1024, 488))
	sound("old, huge", old(1<<32, 0, 0, 1000, 1<<32, 0))
	sound("old, four", old(9000, 0, 0, 250, 1024, 250, 2048, 250, 4096, 250))
	split := func(h raw, block ...[]byte) []byte {
		b := h.bytes()
		return append(append(bytes.Clone(b[:blockSize]), bytes.Join(block, nil)...), b[blockSize:]...)
	}
	four := []int64{0, 100, 1000, 100, 2000, 100, 3000, 100}
	sound("old, extended", split(old(9000, 1, four...), extensionBlock(0, 4000, 600)))
	sound("old, twice extended", split(old(90000, 1, four...), extensionBlock(1, manyPairs(4000, 10, 21)...), extensionBlock(0, 50000, 390)))
	bad("old, overlap", old(5000, 0, 0, 600, 512, 400))
	bad("old, unsorted", old(5000, 0, 1024, 500, 0, 500))
	bad("old, outside", old(1000, 0, 0, 500, 600, 500))
	bad("old, sum", old(5000, 0, 0, 512, 1024, 100))
	bad("old, no map", old(5000, 0))
	bad("old, half a slot", old(5000, 0, 0, 1000).with(410+12, "00000000001\x00"))
	bad("old, ends and goes on", old(5000, 1, 0, 1000))
	bad("old, letters", old(5000, 0, 0, 1000).with(386, "x"))
	bad("old, negative", old(5000, 0, 0, 1000).with(386, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	bad("old, overflow", old(5000, 0, 0, 1000).with(410, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"))
	bad("old, no real size", old(5000, 0, 0, 1000).with(483, "            "))
	bad("old, not GNU", func() raw { r := old(5000, 0, 0, 1000); r.magic = magicUstar; return r }())
	bad("old, and PAX", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.map", "0,1000"), old(5000, 0, 0, 1000))
	bad("old, too many fragments", func() []byte {
		b := old(1<<40, 1, four...).bytes()[:blockSize]
		for i := range int64(3200) {
			b = append(b, extensionBlock(1, manyPairs(100000+i*100000, 1, 21)...)...)
		}
		return b
	}())

	file := func(s string) raw { return entry('0', "GNUSparseFile.0/sparse", s) }
	v00 := []string{"GNU.sparse.size", "5000", "GNU.sparse.numblocks", "2", "GNU.sparse.offset", "0", "GNU.sparse.numbytes", "512", "GNU.sparse.offset", "1024", "GNU.sparse.numbytes", "488"}
	sound("0.0", pax('x', v00...), file(data))
	sound("0.1", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.numblocks", "2", "GNU.sparse.name", "sparse", "GNU.sparse.map", "0,512,1024,488"), file(data))
	sound("0.1, a hole only", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "5000,0"), file(""))
	sound("0.1, versions", pax('x', "GNU.sparse.major", "0", "GNU.sparse.minor", "1", "GNU.sparse.size", "5000", "GNU.sparse.numblocks", "1", "GNU.sparse.map", "0,1000"), file(data))
	bad("0.0, odd", pax('x', v00[:len(v00)-2]...), file(data))
	bad("0.0, length first", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.numbytes", "512"), file(data))
	bad("0.0, two offsets", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.offset", "0", "GNU.sparse.offset", "0"), file(data))
	bad("0.0, number of blocks", pax('x', append([]string{"GNU.sparse.numblocks", "7"}, v00[4:]...)...), file(data))
	for name, m := range map[string]string{
		"odd": "0,512,1024", "unsorted": "1024,488,0,512", "overlap": "0,512,100,488", "outside": "4900,1000", "sum": "0,512", "no number": "0,a", "sign": "-1,1000",
		"blank": "0, 1000", "comma at the end": "0,1000,", "comma first": ",0,1000", "beyond int64": "0,99999999999999999999", "overflow": "9223372036854775807,1",
		"newline": "0,1000\n", "empty": "",
	} {
		bad("0.1, "+name, pax('x', "GNU.sparse.size", "5000", "GNU.sparse.map", m), file(data))
	}
	bad("0.1, number of blocks", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.numblocks", "3", "GNU.sparse.map", "0,512,1024,488"), file(data))
	bad("0.1, no number of blocks", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.map", "0,1000"), file(data))
	bad("0.1, no real size", pax('x', "GNU.sparse.map", "0,1000"), file(data))
	bad("0.1, two real sizes", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.realsize", "5001", "GNU.sparse.map", "0,1000"), file(data))
	bad("0.1, two maps", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.map", "0,500", "GNU.sparse.map", "600,500"), file(data))
	bad("0.0 and 0.1", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.offset", "0", "GNU.sparse.numbytes", "500", "GNU.sparse.map", "600,500"), file(data))
	bad("0.1, too many fragments", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.map", "0,1000"+strings.Repeat(",4000,0", maxFragments)), file(data))
	bad("no map", pax('x', "GNU.sparse.size", "5000"), file(data))
	bad("name only", pax('x', "GNU.sparse.name", "sparse"), file(data))
	bad("version", pax('x', "GNU.sparse.major", "2", "GNU.sparse.minor", "0", "GNU.sparse.size", "5000"), file(data))
	bad("half a version", pax('x', "GNU.sparse.major", "1", "GNU.sparse.realsize", "5000"), file(data))
	bad("version in two digits", pax('x', "GNU.sparse.major", "01", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "5000"), file(data))
	bad("a directory", pax('x', "GNU.sparse.size", "5000", "GNU.sparse.map", "0,0"), entry('5', "d", ""))

	one := []string{"GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "sparse", "GNU.sparse.realsize", "5000"}
	mapped := func(m string) raw { return file(m + strings.Repeat("\x00", int(padding(int64(len(m))))) + data) }
	sound("1.0", pax('x', one...), mapped("2\n0\n512\n1024\n488\n"))
	sound("1.0, no data", pax('x', one...), file("0\n"+string(make([]byte, 510))))
	sound("1.0, map of a whole block", pax('x', one...), mapped("0000072\n0\n1000\n"+strings.Repeat("5000\n0\n", 71)))
	sound("1.0, two blocks of map", pax('x', one...), mapped("101\n0\n1000\n"+strings.Repeat("5000\n0\n", 100)))
	for name, m := range map[string]string{
		"overlap": "2\n0\n512\n100\n488\n", "unsorted": "2\n1024\n488\n0\n512\n", "outside": "1\n4500\n1000\n", "sum": "1\n0\n999\n", "letters": "1\nx\n1000\n",
		"blank line": "1\n\n1000\n", "negative": "1\n-1\n1000\n", "too many": "65537\n", "count too large": "99999999999999999999\n", "no lines": strings.Repeat("0", 2000),
	} {
		bad("1.0, "+name, pax('x', one...), mapped(m))
	}
	bad("1.0, cut", pax('x', one...), file("2\n0\n512\n"))
	bad("1.0, map without padding", pax('x', one...), file("1\n0\n1000\n"))
	bad("1.0, no map", pax('x', one...), file(""))
	bad("1.0, and a map", pax('x', append([]string{"GNU.sparse.map", "0,1000"}, one...)...), mapped("1\n0\n1000\n"))
	bad("1.0, no real size", pax('x', one[:6]...), mapped("1\n0\n1000\n"))
	tarred(RulePax, "sparse number", pax('x', "GNU.sparse.major", "one"), file(data))
	tarred(RulePax, "sparse in a global header", pax('g', "GNU.sparse.size", "5000"), file(data))
}

// manyPairs are n fragments of the same length from an offset on.
func manyPairs(from, length int64, n int) []int64 {
	var p []int64
	for i := range int64(n) {
		p = append(p, from+i*1000, length)
	}
	return p
}

// encodings are the ways in which an archive may give an entry its name. Each
// is nil for a name that it cannot hold.
var encodings = map[string]func(r raw, name string) []any{
	"v7": func(r raw, name string) []any {
		if len(name) > 100 {
			return nil
		}
		r.name = name
		return []any{r.v7()}
	},
	"ustar prefix": func(r raw, name string) []any {
		i := strings.LastIndexByte(name, '/')
		if i <= 0 || i > 155 || len(name)-i-1 > 100 || i == len(name)-1 {
			return nil
		}
		r.prefix, r.name, r.magic = name[:i], name[i+1:], magicUstar
		return []any{r}
	},
	"GNU long name": func(r raw, name string) []any {
		r.name = "x"
		return []any{long('L', name), r.gnu()}
	},
	"PAX path": func(r raw, name string) []any {
		if name == "" {
			return nil
		}
		r.name = "x"
		return []any{pax('x', "path", name), r}
	},
	"sparse name": func(r raw, name string) []any {
		if r.typ != '0' || strings.HasSuffix(name, "/") || name == "" {
			return nil
		}
		r.name, r.data = "x", "1\n0\n3\n"+string(make([]byte, 506))+"abc"
		return []any{pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "3", "GNU.sparse.name", name), r}
	},
}

func nameSamples(tarred tarAdder) {
	each := func(rule Rule, what string, typ byte, names map[string]string) {
		for encoding, f := range encodings {
			for label, n := range names {
				if parts := f(raw{typ: typ, magic: magicUstar}, n); parts != nil {
					tarred(rule, fmt.Sprintf("name %s, %s, %s", what, label, encoding), parts...)
				}
			}
		}
	}
	each(RuleName, "bad", '0', map[string]string{
		"empty": "", "absolute": "/etc/passwd", "root": "/", "double slash": "//server/share", "climbs": "../x", "climbs later": "a/../../x", "climbs inside": "a/../b",
		"climbs at the end": "a/..", "dotdot": "..", "dot and climbs": "./../x", "drive": "C:/x", "drive relative": "c:x", "drive behind a dot": ".//C:/x", "UNC": `\\server\share`,
		"device": `\\.\PhysicalDrive0`, "backslash": `\x`, "backslash climbs": `a\..\..\x`, "mixed climbs": `a/..\x`, "too long": strings.Repeat("long/", 820),
		"dot": ".", "backslash behind a dot": `./\x`,
	})
	each(RuleName, "bad directory", '5', map[string]string{"climbs": "a/../", "absolute": "/var/"})
	each(RuleName, "bad symlink", '2', map[string]string{"climbs": "../x", "absolute": "/x"})
	each("", "fine", '0', map[string]string{
		"newline": "a\nb", "dash": "-rf", "latin": "caf\xe9", "unicode": "caf\u00e9", "dots": "...", "dotted": "..a/b..", "long": strings.Repeat("long/", 18) + "x",
		"dot in front": "./a/b", "systemd": `dev-disk\x2dby`, "backslash dots": `a..\b`, "colon": "ab:c", "colon later": "a/C:/b", "double slash": "a//b", "inner dot": "a/./b",
		"blank": " ", "tilde": "~root/x", "prompt": "sftp> password: 100%",
	})
	each("", "fine directory", '5', map[string]string{"plain": "d/", "no slash": "d", "top": "./", "dot": "."})
	tarred("", "name case", entry('0', "Readme", ""), entry('0', "README", ""))
	tarred("", "name twice", small, small)
	tarred(RuleName, "name bad path under a fine sparse name",
		pax('x', "path", "../x", "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "3", "GNU.sparse.name", "x"), small)
}

func contradictionSamples(tarred tarAdder) {
	file := func(n string) raw { return entry('0', n, "x") }
	dir := func(n string) raw { return entry('5', n, "") }
	sound := func(name string, parts ...any) { tarred("", "names "+name, parts...) }
	bad := func(name string, parts ...any) { tarred(RuleName, "names "+name, parts...) }
	sound("directory then files", dir("d/"), file("d/a"), file("d/b"), dir("d"), dir("./d/"))
	sound("files then directory", file("d/a"), dir("d/"))
	sound("file twice", file("d/a"), file("./d//a"))
	sound("file then symlink", file("a"), link('2', "a", "b"))
	sound("deep", file(strings.Repeat("d/", 40)+"f"), file(strings.Repeat("d/", 39)+"f"))
	sound("alike", file("a/b"), file("ab"), file("a/bc"), file("abc/d"))
	bad("file then directory", file("d"), dir("d/"))
	bad("file then directory by slash", file("d"), entry('0', "d/", ""))
	bad("file then below", file("d"), file("d/a"))
	bad("file then far below", file("a/b"), file("a/b/c/d/e"))
	bad("directory then file", dir("d/"), file("d"))
	bad("implied directory then file", file("d/a"), file("d"))
	bad("implied directory then file, dotted", file("./a/b/c"), file("a//b"))
	bad("directory then symlink", dir("d/"), link('2', "d", "/tmp"))
	bad("directory placed last then symlink", dir("d/"), link('2', "d/", "/tmp"))
	bad("implied directory then FIFO", file("d/a"), entry('6', "d", ""))
	bad("FIFO then below", entry('6', "p", ""), file("p/a"))
	bad("top as a symlink", link('2', "./", "/tmp"))
	bad("hard link then directory", file("a"), link('1', "b", "a"), dir("b"))
	bad("dump directory then file", entry('D', "d/", "Yf\x00").gnu(), file("d"))
}

func linkSamples(tarred tarAdder) {
	sym := func(n, to string) raw { return link('2', n, to) }
	hard := func(n, to string) raw { return link('1', n, to) }
	file := func(n string) raw { return entry('0', n, "x") }
	sound := func(name string, parts ...any) { tarred("", "link "+name, parts...) }
	bad := func(name string, parts ...any) { tarred(RuleLink, "link "+name, parts...) }
	sound("outside", sym("a", "/etc/passwd"), sym("b", "../../x"), sym("c", `C:\x`))
	sound("twice", sym("a", "b"), sym("a", "c"))
	sound("loop", sym("a", "a"))
	sound("hard", file("a"), hard("b", "a"), hard("c", "./a"), hard("c", "b"))
	sound("hard, unknown target", hard("b", "elsewhere/a"))
	sound("hard by PAX", file("a"), pax('x', "linkpath", "a"), hard("b", "x"))
	bad("through", sym("d", "/tmp"), file("d/x"))
	bad("through, dotted", sym("./d", "/tmp"), file("d//./x"))
	bad("far through", sym("a/d", "/tmp"), file("a/d/b/c"))
	bad("through by a directory", sym("d", "/tmp"), entry('5', "d/x/", ""))
	bad("through by a symlink", sym("d", "/tmp"), sym("d/x", "y"))
	bad("through later", sym("d", "/tmp"), small, small, file("d/x"))
	bad("through a file's successor", file("d"), sym("d", "/tmp"), file("d/x"))
	bad("replaced by a file", sym("a", "b"), file("a"))
	bad("replaced by a directory", sym("a", "b"), entry('5', "a/", ""))
	bad("replaced by a hard link", file("f"), sym("a", "b"), hard("a", "f"))
	bad("replaced by a FIFO", sym("a", "b"), entry('6', "a", ""))
	bad("replaced by a vendor entry", sym("a", "b"), entry('Z', "a", ""))
	bad("no target", sym("a", ""))
	longest := strings.Repeat("x", maxName)
	sound("longest target", long('K', longest), sym("a", ""), pax('x', "linkpath", longest), sym("b", ""))
	bad("target too long", long('K', longest+"y"), sym("a", ""))
	bad("target too long in PAX", pax('x', "linkpath", longest+"y"), sym("a", ""))
	bad("hard to a symlink", sym("a", "/etc/passwd"), hard("b", "a"))
	bad("hard to a symlink, dotted", sym("a", "/etc/passwd"), hard("b", ".//a"))
	bad("hard through a symlink", sym("d", "/etc"), hard("b", "d/passwd"))
	bad("hard to a directory", entry('5', "d/", ""), hard("b", "d"))
	bad("hard to the top", hard("b", "."))
	for label, to := range map[string]string{
		"empty": "", "absolute": "/etc/passwd", "climbing": "../x", "climbing later": "a/../../x", "drive": "C:/x", "UNC": `\\a\b`, "backslash": `a\..\x`,
	} {
		bad("hard, "+label, file("a"), hard("b", to))
		bad("hard, GNU long, "+label, file("a"), long('K', to), hard("b", "a").gnu())
		if to != "" {
			bad("hard, PAX, "+label, file("a"), pax('x', "linkpath", to), hard("b", "a"))
		}
	}
	for encoding, f := range encodings {
		if parts := f(raw{typ: '0', magic: magicUstar}, "a/d/x"); parts != nil {
			bad("through, "+encoding, append([]any{sym("a/d", "/tmp")}, parts...)...)
		}
	}
}

func typeSamples(tarred tarAdder) {
	sound := func(name string, parts ...any) { tarred("", "type "+name, parts...) }
	sound("FIFO", entry('6', "pipe", ""))
	sound("contiguous", entry('7', "f", "x"))
	sound("NUL", entry(0, "f", "x").v7())
	sound("old directory", entry(0, "d/", "").v7(), entry('0', "d/f", "x"))
	sound("dump directory", entry('D', "d/", "Yfile\x00\x00").gnu())
	sound("volume label", entry('V', "backup of 2024", "").gnu(), small.gnu())
	sound("vendor", entry('Z', "z", "vendor data"), entry('A', "a", "acl"), small)
	sound("setuid", small.with(100, "0006755\x00"))
	bad := func(name string, parts ...any) { tarred(RuleType, "type "+name, parts...) }
	bad("character device", entry('3', "dev/null", ""))
	bad("block device", entry('4', "dev/sda", ""))
	bad("volume part", entry('M', "f", "x").gnu())
	for _, typ := range "1256" {
		r := link(byte(typ), "a", "b")
		r.data = "data"
		bad(fmt.Sprintf("%c with data", typ), entry('0', "b", ""), r)
		bad(fmt.Sprintf("%c with a PAX size", typ), entry('0', "b", ""), pax('x', "size", "4"), link(byte(typ), "a", "b"))
	}
	bad("directory by slash with data", entry(0, "d/", "data").v7())
}

// goSamples are archives of archive/tar.
func goSamples(t testing.TB) []sample {
	var all []sample
	for _, f := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i, n := range []string{"a", "dir/", "dir/b", "dir/" + strings.Repeat("long-", 18), strings.Repeat("d/", 60) + "x"} {
			h := &tar.Header{Name: n, Mode: 0o644, Size: int64(i * 300), ModTime: time.Unix(1700000000, 0), Format: f, Typeflag: tar.TypeReg}
			if strings.HasSuffix(n, "/") {
				h.Typeflag, h.Size = tar.TypeDir, 0
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			w.Write(bytes.Repeat([]byte{'x'}, int(h.Size)))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, sample{"go " + f.String(), "", gz(b.Bytes())})
	}
	return all
}

// programSamples are archives of the tar programs that are installed.
func programSamples(t testing.TB) []sample {
	dir := t.TempDir()
	fillTree(t, dir)
	var all []sample
	run := func(program string, args ...string) {
		path, err := exec.LookPath(program)
		if err != nil {
			return
		}
		out, err := exec.Command(path, append(args, "-czf", "-", "-C", dir, ".")...).Output()
		if err != nil {
			t.Fatalf("%s %v: %v", program, args, err)
		}
		all = append(all, sample{program + " " + strings.Join(args, " "), "", out})
	}
	gnu := false
	if out, err := exec.Command("tar", "--version").Output(); err == nil {
		gnu = bytes.Contains(out, []byte("GNU tar"))
	}
	if gnu {
		for _, f := range []string{"v7", "oldgnu", "gnu", "ustar", "posix"} {
			run("tar", "--format="+f)
		}
		run("tar", "--format=gnu", "-S")
		run("tar", "--format=gnu", "-V", "a label")
		run("tar", "--format=gnu", "-g", filepath.Join(t.TempDir(), "snapshot"))
		for _, v := range []string{"0.0", "0.1", "1.0"} {
			run("tar", "--format=posix", "-S", "--sparse-version="+v)
		}
	}
	for _, f := range []string{"v7", "ustar", "gnutar", "pax", "paxr"} {
		run("bsdtar", "--format", f)
	}
	return all
}

// fillTree makes what an archiver has to find a way to say.
func fillTree(t testing.TB, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "logs/old"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "logs/syslog"), bytes.Repeat([]byte("a line of a log\n"), 200), 0o644))
	must(os.WriteFile(filepath.Join(dir, "logs/old/"+strings.Repeat("n", 85)), []byte("x"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	must(os.Link(filepath.Join(dir, "logs/syslog"), filepath.Join(dir, "hard")))
	f, err := os.Create(filepath.Join(dir, "lastlog"))
	must(err)
	for i := range int64(12) {
		_, err = f.WriteAt([]byte("data"), i<<16)
		must(err)
	}
	must(f.Truncate(1 << 20))
	must(f.Close())
}
