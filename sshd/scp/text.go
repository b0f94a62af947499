package scp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"bundleup/vfs"
)

// maxShownName is how much of a name stands before a text.
const maxShownName = 200

// printable makes text safe to send and to log.
func printable(text string) string { return vfs.Printable(text, vfs.MaxText) }

// mentions reports whether word is in text, and not only as a part of a word.
func mentions(text, word string) bool {
	isPart := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for {
		before, after, found := strings.Cut(text, word)
		if !found {
			return false
		}
		l, _ := utf8.DecodeLastRuneInString(before)
		r, _ := utf8.DecodeRuneInString(after)
		if !isPart(l) && !isPart(r) {
			return true
		}
		text = after
	}
}
