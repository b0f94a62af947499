package bundle

import (
	"strings"
	"unicode/utf8"
)

// The runes that stand for bytes that are no UTF-8, as MirBSD's OPTU-8 has them:
// U+EF80 for 0x80 to U+EFFF for 0xff, in the private use area.
const (
	firstByteRune = 0xef80
	lastByteRune  = 0xefff
	byteRunes     = 0xef00
)

// FSName turns a name as it is in an archive into one for a Reader: "./",
// doubled and trailing slashes go, and since fs.ValidPath wants UTF-8, each byte
// that is none becomes a rune from U+EF80 to U+EFFF, the byte plus U+EF00. So do
// the bytes of such a rune itself: two names of an archive never become one.
// What stands for the top becomes ".".
func FSName(raw string) string {
	path := string(cleanPath(nil, []byte(raw)))
	if path == "" {
		return "."
	}
	return escapeBytes(path)
}

func escapeBytes(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 || isByteRune(r) {
			for _, c := range []byte(s[:n]) {
				b.WriteRune(byteRunes + rune(c))
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func isByteRune(r rune) bool { return firstByteRune <= r && r <= lastByteRune }

// plain reports whether nothing has to be turned.
func plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, isByteRune) < 0
}

// RawName is the reverse of FSName but for the slashes: it gives the bytes that
// the archive has. "." stands for "".
func RawName(name string) string {
	if name == "." {
		return ""
	}
	if plain(name) {
		return name
	}
	var b strings.Builder
	for _, r := range name {
		if isByteRune(r) {
			b.WriteByte(byte(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
