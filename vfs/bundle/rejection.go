package bundle

import "fmt"

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
	Rule   Rule
	Entry  string // the tar entry at hand, raw; empty outside of entries
	Offset int64  // compressed bytes before the place that shows it
	Reason string // what is wrong, lower case, no full stop
	Mend   string // what to do about it; may be empty
	Err    error  // the cause below, may be nil
}

// Error is Message without a name.
func (r *Rejection) Error() string { return r.Message("") }

// Unwrap gives the cause.
func (r *Rejection) Unwrap() error { return r.Err }

// Message is the one line a person reads about the bundle name; control
// characters and everything that is not printable are escaped.
func (r *Rejection) Message(name string) string {
	return fmt.Sprintf("%s refused at byte %d: %s (rule %s): %s", name, r.Offset, r.Reason, r.Rule, r.Mend)
}
