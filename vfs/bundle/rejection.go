package bundle

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Rule names what a sound bundle must keep. The words are stable: they appear
// in receipts, metrics and scripts.
type Rule string

// The rules.
const (
	RuleFormat     Rule = "format"      // not a gzip file at all
	RuleGzipHeader Rule = "gzip-header" // RFC 1952 2.3
	RuleGzipCRC    Rule = "gzip-crc"    // a member's CRC32
	RuleGzipSize   Rule = "gzip-size"   // a member's ISIZE
	RuleDeflate    Rule = "deflate"     // RFC 1951
	RuleTarHeader  Rule = "tar-header"  // checksum, numbers, magic
	RuleTarEnd     Rule = "tar-end"     // no end marker, or data behind it
	RulePax        Rule = "pax"         // PAX records, extension headers
	RuleSparse     Rule = "sparse"      // sparse maps
	RuleName       Rule = "name"        // a name that is unsafe to unpack
	RuleLink       Rule = "link"        // a link that is unsafe to unpack
	RuleType       Rule = "type"        // an entry type that is not allowed
	RuleLimit      Rule = "limit"       // a limit of the configuration
	RuleTrailing   Rule = "trailing"    // bytes behind the last gzip member
	RuleTruncated  Rule = "truncated"   // the stream ends too early
)

// Rejection says why a byte sequence is not a sound bundle. It is the same for
// every splitting of the bytes into writes.
type Rejection struct {
	Rule  Rule
	Entry string // the tar entry at hand, raw; empty outside of entries
	// Offset is how many compressed bytes lie before the place that shows it:
	// to the byte for what gzip and DEFLATE show; for what the tar inside
	// shows, at most 16 bytes before it in the first KiB, then a 64th of the
	// way, and never more than 16 KiB.
	Offset int64
	Reason string // what is wrong, lower case, no full stop
	Mend   string // what to do about it; may be empty
	Err    error  // the cause below, may be nil
}

// IsTruncated reports whether err is the rejection of a stream that is sound
// so far and only ends too early: with more bytes it may become a bundle.
func IsTruncated(err error) bool {
	var r *Rejection
	return errors.As(err, &r) && r.Rule == RuleTruncated
}

// Error is Message without a name.
func (r *Rejection) Error() string { return r.Message("") }

// Unwrap gives the cause.
func (r *Rejection) Unwrap() error { return r.Err }

// The longest names that a message shows, in bytes of their escaped form.
const (
	maxShownName  = 80
	maxShownEntry = 100
)

// Message is the one line a person reads about the bundle name, which may be
// empty:
//
//	diag.tgz refused at byte 73,211,904: the gzip CRC does not match (rule gzip-crc): make it anew
//
// Whatever is not printable is escaped, long names are shortened in the
// middle, and the line stays under about 400 bytes. It never holds a text that
// sos(1) takes for a prompt of sftp(1).
func (r *Rejection) Message(name string) string {
	var b strings.Builder
	if name != "" {
		b.WriteString(shown(name, maxShownName) + " ")
	}
	b.WriteString("refused at byte " + thousands(r.Offset) + ": ")
	if r.Entry != "" {
		b.WriteString(`entry "` + shown(r.Entry, maxShownEntry) + `": `)
	}
	b.WriteString(r.Reason + " (rule " + string(r.Rule) + ")")
	if r.Mend != "" {
		b.WriteString(": " + r.Mend)
	}
	return defuse(b.String())
}

// shown is a name as a message shows it, of at most max bytes.
func shown(name string, max int) string {
	q := strconv.Quote(name)
	return shorten(defuse(q[1:len(q)-1]), max)
}

// shorten cuts the middle out of s if it is longer than max bytes.
func shorten(s string, max int) string {
	if len(s) <= max {
		return s
	}
	head, tail := max/2, len(s)-(max/2-3)
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + "..." + s[tail:]
}

// thousands writes n with a comma between each three digits.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// prompts are the texts by which sos 4.2 and newer steer sftp(1), in lower
// case, each with what it becomes.
var prompts = [...][2]string{
	{"sftp>", `sftp\x3e`},
	{"password:", `password\x3a`},
	{"100%", `100\x25`},
}

// defuse escapes the last character of every prompt in s, in any case.
func defuse(s string) string {
	for _, p := range prompts {
		for {
			i := indexFold(s, p[0])
			if i < 0 {
				break
			}
			last := i + len(p[0]) - 1
			s = s[:last] + p[1][len(p[0])-1:] + s[last+1:]
		}
	}
	return s
}

// indexFold is strings.Index without regard to the case of ASCII letters; sub
// is in lower case.
func indexFold(s, sub string) int {
	lower := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		return c
	}
next:
	for i := 0; i+len(sub) <= len(s); i++ {
		for j := range len(sub) {
			if lower(s[i+j]) != sub[j] {
				continue next
			}
		}
		return i
	}
	return -1
}

// What a person may do about a rejection, for the reasons that share it.
const (
	mendDamaged = "the file was damaged before or while it was read; make it anew"
	mendRepack  = "pack the files anew with tar czf"
	mendForeign = "this file was not made by a usual tar; pack the files anew with tar czf"
	mendLimit   = "split the bundle, or ask support for a larger limit"
)

// reject makes a Rejection whose place the Check fills in.
func reject(rule Rule, reason, mend string) *Rejection {
	return &Rejection{Rule: rule, Reason: reason, Mend: mend}
}
