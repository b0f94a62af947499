package vfs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText bounds what a peer is told at once, in bytes. With what Printable adds for
// prompts it stays under the 2,048 that scp clients read.
const MaxText = 1000

// prompts are what sos 4.2 and later looks for when it drives a client through a
// terminal. None of them may come from us.
var prompts = regexp.MustCompile(`(?i)sftp>|password:|100%`)

// Printable makes text safe for a terminal and a log: what is not printable is
// escaped, as Go does in strings, so is what scripts take for a prompt, and of more
// than max bytes the middle is cut out.
func Printable(text string, max int) string {
	return prompts.ReplaceAllStringFunc(shorten(escape(text), max), func(p string) string {
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
