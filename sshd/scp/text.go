package scp

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds what a peer is told at once, in bytes. With what printable adds
// for prompts it stays under the 2048 that clients read.
const maxText = 1000

// maxShownName is how much of a name stands before a text.
const maxShownName = 200

// prompts are what sos 4.2 and later looks for when it drives a client through
// a terminal. None of them may come from us.
var prompts = regexp.MustCompile(`(?i)sftp>|password:|100%`)

// printable escapes what is not printable, as Go does in strings, and what
// scripts take for a prompt, and shortens what is too long.
func printable(text string) string {
	return prompts.ReplaceAllStringFunc(shorten(escape(text), maxText), func(p string) string {
		last := len(p) - 1
		return p[:last] + fmt.Sprintf(`\x%02x`, p[last])
	})
}

// shorten cuts the middle out of s if it is longer than max bytes: names stand
// in front, what to do about them at the end.
func shorten(s string, max int) string {
	if len(s) <= max {
		return s
	}
	head, tail := max/2, len(s)-(max/2-len("..."))
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + "..." + s[tail:]
}

func escape(text string) string {
	if isPrint(text) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

func isPrint(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	})
}

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
