package configs

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// plain reads the accounts file in the form that it nearly always has, five times as
// fast as the YAML library and an entry at a time: a file of 100,000 accounts would
// otherwise take seconds and hundreds of megabytes. It knows two lists at the top,
// items that are mappings in block form or in flow form on one line, and scalars
// that need no thought. Of everything else, and of everything wrong, it says no, and
// the library reads the whole file and words the errors. What it does read it
// reads as the library does, which a test holds it to.
type plain struct {
	rest  string      // behind the current line
	text  string      // the current line without its indentation
	col   int         // spaces before text
	line  int         // its number
	nodes []yaml.Node // of one entry
	dec   decoder
}

// maxPlainNodes is how many nodes one entry may have; see node.
const maxPlainNodes = 1024

// decodePlain fills a from data, or is false with a half filled.
func decodePlain(data []byte, a *Accounts) bool {
	p := &plain{rest: string(data), dec: newDecoder(""), nodes: make([]yaml.Node, 0, maxPlainNodes)}
	if !isPlainText(p.rest) {
		return false
	}
	var tenants, accounts bool
	for more := p.next(); more; {
		ok := false
		name, value, isKey := strings.Cut(p.text, ":")
		switch {
		case p.col != 0 || !isKey:
		case name == "tenants" && !tenants:
			tenants = true
			more, ok = plainList(p, value, &a.Tenants)
		case name == "accounts" && !accounts:
			accounts = true
			more, ok = plainList(p, value, &a.Accounts)
		}
		if !ok {
			return false
		}
	}
	return true
}

// isPlainText reports printable ASCII in lines that end in a line feed.
func isPlainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '\n' && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// next goes to the next line that holds more than a comment.
func (p *plain) next() bool {
	for p.rest != "" {
		line, rest, _ := strings.Cut(p.rest, "\n")
		p.rest = rest
		p.line++
		p.text = strings.TrimLeft(line, " ")
		p.col = len(line) - len(p.text)
		if p.text != "" && p.text[0] != '#' {
			return true
		}
	}
	return false
}

// endsHere reports whether nothing but a comment follows.
func endsHere(s string) bool {
	t := strings.TrimLeft(s, " ")
	return t == "" || t[0] == '#' && len(t) < len(s)
}

// plainList reads the items behind a key of the top, on its line or below. It
// leaves the reader at the next such key; more is false at the end.
func plainList[T any](p *plain, value string, list *[]T) (more, ok bool) {
	p.nodes = p.nodes[:0]
	if !endsHere(value) {
		n, more := p.value(value, 0)
		return more, n != nil && p.dec.decode(n, reflect.ValueOf(list).Elem(), "") == nil
	}
	more = p.next()
	if !more || !strings.HasPrefix(p.text, "- ") {
		return false, false
	}
	out := make([]T, 0, strings.Count(p.rest, "\n- ")+strings.Count(p.rest, "\n  - ")+1)
	for indent := p.col; more && p.col == indent && strings.HasPrefix(p.text, "- "); {
		var item *yaml.Node
		p.nodes = p.nodes[:0]
		item, more = p.item(indent)
		if item == nil {
			return false, false
		}
		var v T
		if p.dec.decode(item, reflect.ValueOf(&v).Elem(), "") != nil {
			return false, false
		}
		out = append(out, v)
	}
	if more && p.col != 0 {
		return false, false
	}
	*list = out
	return more, true
}

// item reads the mapping that begins at "- "; nil says no.
func (p *plain) item(indent int) (n *yaml.Node, more bool) {
	p.text = p.text[2:]
	p.col += 2
	if p.text == "" || p.text[0] == ' ' {
		return nil, false
	}
	if p.text[0] == '{' {
		n, rest := p.flow(p.text)
		if n == nil || !endsHere(rest) {
			return nil, false
		}
		return n, p.next()
	}
	n = p.node(yaml.MappingNode, "")
	for more = true; more && p.col == indent+2; {
		if n == nil || len(n.Content) > maxPlainNodes {
			return nil, false
		}
		name, rest, ok := strings.Cut(p.text, ":")
		if !ok || !isPlainKey(name) || !p.append(n, p.node(yaml.ScalarNode, name)) {
			return nil, false
		}
		var value *yaml.Node
		value, more = p.value(rest, indent+2)
		if !p.append(n, value) {
			return nil, false
		}
	}
	if more && p.col > indent {
		return nil, false
	}
	return n, more
}

// append adds a child, unless there is none.
func (p *plain) append(n, child *yaml.Node) bool {
	if n == nil || child == nil {
		return false
	}
	n.Content = append(n.Content, child)
	return true
}

// value reads what follows a key and its colon, and goes to the line behind.
func (p *plain) value(rest string, indent int) (n *yaml.Node, more bool) {
	if endsHere(rest) {
		return p.blockList(indent)
	}
	if rest[0] != ' ' {
		return nil, false
	}
	n, rest = p.inline(strings.TrimLeft(rest, " "), false)
	if n == nil || !endsHere(rest) {
		return nil, false
	}
	return n, p.next()
}

// blockList reads a list of scalars, one a line, at indent or deeper.
func (p *plain) blockList(indent int) (n *yaml.Node, more bool) {
	more = p.next()
	if !more || p.col < indent {
		return nil, false
	}
	n = p.node(yaml.SequenceNode, "")
	for at := p.col; more && p.col == at && strings.HasPrefix(p.text, "- "); more = p.next() {
		text := p.text[2:]
		if text == "" || text[0] == ' ' || text[0] == '[' || text[0] == '{' {
			return nil, false
		}
		item, rest := p.inline(text, false)
		if !endsHere(rest) || !p.append(n, item) {
			return nil, false
		}
	}
	if n == nil || len(n.Content) == 0 || more && p.col > indent {
		return nil, false
	}
	return n, more
}

// inline reads a value within a line and returns what is behind it.
func (p *plain) inline(s string, inFlow bool) (*yaml.Node, string) {
	if s == "" {
		return nil, ""
	}
	switch s[0] {
	case '{', '[':
		return p.flow(s)
	case '"', '\'':
		return p.quoted(s)
	}
	end := plainEnd(s, inFlow)
	text := strings.TrimRight(s[:end], " ")
	if !isPlainScalar(text) {
		return nil, ""
	}
	return p.node(yaml.ScalarNode, text), s[len(text):]
}

// quoted reads a string without escapes.
func (p *plain) quoted(s string) (*yaml.Node, string) {
	text, rest, ok := strings.Cut(s[1:], s[:1])
	if !ok || strings.Contains(text, `\`) || strings.HasPrefix(rest, s[:1]) {
		return nil, ""
	}
	return p.node(yaml.ScalarNode, text), rest
}

// flow reads {key: value, ...} or [value, ...].
func (p *plain) flow(s string) (*yaml.Node, string) {
	kind, end := yaml.Kind(yaml.SequenceNode), byte(']')
	if s[0] == '{' {
		kind, end = yaml.MappingNode, '}'
	}
	n := p.node(kind, "")
	s = strings.TrimLeft(s[1:], " ")
	if n != nil && kind == yaml.SequenceNode && s != "" && s[0] == end {
		return n, s[1:]
	}
	for n != nil {
		if kind == yaml.MappingNode {
			name, rest, ok := strings.Cut(s, ": ")
			if !ok || !isPlainKey(name) || !p.append(n, p.node(yaml.ScalarNode, name)) {
				return nil, ""
			}
			s = strings.TrimLeft(rest, " ")
		}
		value, rest := p.inline(s, true)
		if !p.append(n, value) {
			return nil, ""
		}
		s = strings.TrimLeft(rest, " ")
		switch {
		case s != "" && s[0] == end:
			return n, s[1:]
		case !strings.HasPrefix(s, ", "):
			return nil, ""
		}
		s = strings.TrimLeft(s[2:], " ")
	}
	return nil, ""
}

// plainEnd is where an unquoted scalar ends at the latest.
func plainEnd(s string, inFlow bool) int {
	if end := strings.Index(s, " #"); end >= 0 {
		s = s[:end]
	}
	if inFlow {
		if end := strings.IndexAny(s, ",]}"); end >= 0 {
			return end
		}
	}
	return len(s)
}

// isPlainKey reports a key that nobody could read as anything else.
func isPlainKey(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// isPlainScalar reports an unquoted scalar that is a string, a number, a date or a
// truth value: the decoder looks at its text only. What could be null is not one.
func isPlainScalar(s string) bool {
	if s == "" || strings.EqualFold(s, "null") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '/' || c == '+' || c == '_' || c == '$'
		inner := i > 0 && (c == ' ' || c == '.' || c == ',' || c == '-' || c == '=' || c == '@' || c == ':' && i+1 < len(s) && s[i+1] != ' ')
		if !letter && !inner {
			return false
		}
	}
	return true
}

// node takes one of the entry's nodes; nil says that there are too many. They are
// used again for the next entry, so that a long file leaves no garbage.
func (p *plain) node(kind yaml.Kind, value string) *yaml.Node {
	if len(p.nodes) == cap(p.nodes) {
		return nil
	}
	i := len(p.nodes)
	p.nodes = p.nodes[:i+1]
	content := p.nodes[i].Content[:0]
	p.nodes[i] = yaml.Node{Kind: kind, Value: value, Line: p.line, Content: content}
	return &p.nodes[i]
}
