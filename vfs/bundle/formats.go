package bundle

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// sniffLen is how many bytes tell every format: tar has its magic at 257, and
// what is text shows after a while.
const sniffLen = blockSize

// magics are formats that begin with bytes of their own; none begins with
// another.
var magics = [...]struct{ magic, name, mend string }{
	{"\x1f\x8b", "a gzip file", "it was compressed twice: pack with tar czf alone"},
	{"PK\x03\x04", "a zip file", "pack with tar czf"},
	{"PK\x05\x06", "an empty zip file", "pack with tar czf"},
	{"\xfd7zXZ\x00", "an xz file", "pack with tar czf, not tar cJf"},
	{"BZh", "a bzip2 file", "pack with tar czf, not tar cjf"},
	{"\x28\xb5\x2f\xfd", "a zstd file", "pack with tar czf, not tar --zstd"},
	{"7z\xbc\xaf\x27\x1c", "a 7z file", "pack with tar czf"},
	{"\x04\x22\x4d\x18", "an lz4 file", "pack with tar czf"},
	{"\x1f\x9d", "a compress (.Z) file", "pack with tar czf, not tar cZf"},
	{"LZIP", "an lzip file", "pack with tar czf"},
	{"Rar!\x1a\x07", "a RAR file", "pack with tar czf"},
	{"%PDF-", "a PDF document", "pack it with tar czf"},
	{"\x7fELF", "a program", "pack it with tar czf"},
}

// sniff tells a format by its magic. The name is "" if there is none, or not
// yet.
func sniff(head []byte) (name, mend string) {
	for _, m := range magics {
		if len(head) >= len(m.magic) && string(head[:len(m.magic)]) == m.magic {
			return m.name, m.mend
		}
	}
	return "", ""
}

// guess tells what has no magic, by its first bytes: up to sniffLen, or all.
func guess(head []byte) (name, mend string) {
	text := bytes.TrimLeft(head, "\xef\xbb\xbf \t\r\n")
	switch {
	case allZero(head):
		return "a file of zeros", "the file was never written out, or was lost in a crash; make it anew"
	case len(head) >= blockSize && ((*block)(head).looksLikeTar() || string(head[257:262]) == "ustar"):
		return "a tar archive that is not compressed", "pack with tar czf, or gzip the file"
	case hasPrefixFold(text, "<!doctype html") || hasPrefixFold(text, "<html"):
		return "an HTML page", "the download gave a web page, perhaps a login or an error; read it, and get the file again"
	case len(text) > 0 && (text[0] == '{' || text[0] == '[') && isText(text):
		return "a JSON document", "it may be an error message in the place of the file; read it, or pack it with tar czf"
	case len(text) > 0 && isText(head):
		return "a text file", "pack it with tar czf"
	}
	return "", ""
}

// noGzip is the rejection of a file that begins with head.
func noGzip(head []byte) *Rejection {
	name, mend := sniff(head)
	if name == "" {
		name, mend = guess(head)
	}
	if name == "" {
		return reject(RuleFormat, "this is not a gzip file", "pack with tar czf; if you did, the file was damaged: make it anew")
	}
	return reject(RuleFormat, "this is "+name+", not a gzip file", mend)
}

// noArchive is the rejection of a gzip file that holds head where a tar
// archive should begin.
func noArchive(head []byte) *Rejection {
	name, mend := sniff(head)
	if name == "" {
		name, mend = guess(head)
	}
	if name == "" {
		return reject(RuleTarHeader, "the gzip file holds no tar archive", "pack with tar czf; if you did, the file was damaged: make it anew")
	}
	return reject(RuleTarHeader, "the gzip file holds "+name+" where a tar archive should be", mend)
}

// isText reports UTF-8 text without control characters; the last
// character may be cut.
func isText(b []byte) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			return len(b) < utf8.UTFMax && !utf8.FullRune(b)
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != '\f' && r != 0x1b, r == 0x7f:
			return false
		}
		b = b[n:]
	}
	return true
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && indexFold(string(b[:len(prefix)]), prefix) == 0
}

// allZero reports whether every byte of b is zero.
func allZero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
