package inside

import (
	"bytes"
	"regexp"
	"regexp/syntax"
)

const (
	maxLiterals = 16 // alternatives that are looked for one by one
	minLiteral  = 2  // bytes; shorter ones are everywhere
)

// matcher finds the lines that match a pattern. What makes it fast is that nearly
// every pattern requires some literal text: only lines that have it are given to the
// regular expression. It is not safe for concurrent use; see clone.
type matcher struct {
	re       *regexp.Regexp
	literals [][]byte // one of them is in every match; none: nothing is known
	exact    bool     // and a line that has it matches
	fold     bool     // literals are in lower case, and looked for in lowered text

	lowered []byte
	next    []int // where each literal is found next
}

// newMatcher compiles a pattern (RE2 syntax), or takes it as it is.
func newMatcher(pattern string, plain, fold bool) (*matcher, error) {
	if plain {
		pattern = regexp.QuoteMeta(pattern)
	}
	if fold {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	m := &matcher{re: re}
	if prefix, whole := re.LiteralPrefix(); whole && prefix != "" {
		m.literals, m.exact = [][]byte{[]byte(prefix)}, true
		return m.clone(), nil
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	m.fold = folds(tree)
	for _, s := range m.required(tree) {
		m.literals = append(m.literals, []byte(s))
	}
	return m.clone(), nil
}

// clone gives a matcher for another goroutine.
func (m *matcher) clone() *matcher {
	c := *m
	c.lowered, c.next = nil, make([]int, len(m.literals))
	return &c
}

// folds says whether any literal of the tree matches in either case.
func folds(re *syntax.Regexp) bool {
	if re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0 {
		return true
	}
	for _, sub := range re.Sub {
		if folds(sub) {
			return true
		}
	}
	return false
}

// required gives literals of which every match has at least one; nil if there are no
// such, or none that is worth it.
func (m *matcher) required(re *syntax.Regexp) (best []string) {
	switch re.Op {
	case syntax.OpLiteral:
		if s := m.literal(re.Rune); len(s) >= minLiteral {
			return []string{s}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return m.required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return m.required(re.Sub[0])
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if set := m.required(sub); shortest(set) > shortest(best) {
				best = set
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			set := m.required(sub)
			if set == nil || len(best)+len(set) > maxLiterals {
				return nil
			}
			best = append(best, set...)
		}
	}
	return best
}

func shortest(set []string) int {
	n := 0
	for i, s := range set {
		if i == 0 || len(s) < n {
			n = len(s)
		}
	}
	return n
}

// literal is the text that must be there: all of it or, where case does not matter,
// the longest piece whose characters have no other case than ASCII's. "k" and "s" have
// (U+212A and U+017F).
func (m *matcher) literal(runes []rune) string {
	if !m.fold {
		return string(runes)
	}
	best, piece := "", ""
	for _, c := range runes {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c >= 0x80 || c == 'k' || c == 's' {
			piece = ""
			continue
		}
		if piece += string(c); len(piece) > len(best) {
			best = piece
		}
	}
	return best
}

// lines calls f with the beginning and the end, its newline not counted, of every line
// of p that matches, until f says no.
func (m *matcher) lines(p []byte, f func(start, end int) bool) {
	text := p
	if m.fold && len(m.literals) > 0 {
		m.lowered = lower(m.lowered[:0], p)
		text = m.lowered
	}
	for i := range m.next {
		m.next[i] = -1
	}
	for at := 0; at < len(p); {
		hit := at
		if len(m.literals) > 0 {
			if hit = m.find(text, at); hit < 0 {
				return
			}
		}
		start := at + bytes.LastIndexByte(p[at:hit], '\n') + 1
		end := len(p)
		if i := bytes.IndexByte(p[hit:], '\n'); i >= 0 {
			end = hit + i
		}
		if (m.exact || m.re.Match(p[start:end])) && !f(start, end) {
			return
		}
		at = end + 1
	}
}

// find is the first place from at on where a literal is; -1 if there is none.
func (m *matcher) find(text []byte, at int) int {
	first := -1
	for i, lit := range m.literals {
		if m.next[i] < at && m.next[i] != len(text) {
			m.next[i] = len(text) // not found any more
			if n := bytes.Index(text[at:], lit); n >= 0 {
				m.next[i] = at + n
			}
		}
		if n := m.next[i]; n < len(text) && (first < 0 || n < first) {
			first = n
		}
	}
	return first
}

// lower appends p with ASCII's capitals as small letters.
func lower(dst, p []byte) []byte {
	dst = append(dst, p...)
	for i, b := range dst {
		if b-'A' < 26 {
			dst[i] = b + 'a' - 'A'
		}
	}
	return dst
}
