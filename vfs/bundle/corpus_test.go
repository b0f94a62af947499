package bundle

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
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
