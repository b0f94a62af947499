package bundle

import (
	"bytes"
	"fmt"
	"strings"
)

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
