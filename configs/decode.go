package configs

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// KeyError says what is wrong with a key of a file. Line is 0 where none is known.
type KeyError struct {
	File string
	Line int
	Key  string
	Err  error
}

func (e *KeyError) Error() string {
	where := e.File
	if e.Line > 0 {
		where += ":" + strconv.Itoa(e.Line)
	}
	if e.Key == "" {
		return fmt.Sprintf("%s: %v", where, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", where, e.Key, e.Err)
}

// Unwrap gives what is wrong.
func (e *KeyError) Unwrap() error { return e.Err }

// parse reads a YAML document; an empty one is nil. A second document is refused:
// what is in it would be ignored, and lost by an edit.
func parse(file string, data []byte) (*yaml.Node, error) {
	doc, err := parseDocument(file, data)
	if err != nil || doc.Kind == 0 {
		return nil, err
	}
	return doc.Content[0], nil
}

func parseDocument(file string, data []byte) (*yaml.Node, error) {
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(&doc)
	if err == nil {
		if dec.Decode(&second) != io.EOF {
			return nil, &KeyError{File: file, Line: max(second.Line, 1), Err: errors.New("want one YAML document: remove the line ---")}
		}
	}
	if err != nil && err != io.EOF {
		return nil, &KeyError{File: file, Err: fmt.Errorf("not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	return &doc, nil
}

// decoder fills structs from nodes and says in which line and at which key
// something is wrong. Keys are the yaml tags; unknown and repeated ones are errors,
// and so are values of another type: nothing is guessed.
type decoder struct {
	file   string
	fields map[reflect.Type]map[string]int // by key, of the structs seen so far
}

func newDecoder(file string) decoder {
	return decoder{file: file, fields: make(map[reflect.Type]map[string]int)}
}

func (d decoder) errorf(n *yaml.Node, key, format string, args ...any) error {
	return &KeyError{File: d.file, Line: n.Line, Key: key, Err: fmt.Errorf(format, args...)}
}

// decode fills v, which is a struct, a slice or a plain value.
func (d decoder) decode(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind == yaml.AliasNode {
		return d.errorf(n, key, "aliases are not supported: write the value out")
	}
	if n.Tag == "!!null" {
		return nil
	}
	switch {
	case v.CanAddr() && reflect.PointerTo(v.Type()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		if n.Kind != yaml.ScalarNode {
			return d.errorf(n, key, "want one value")
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			return d.errorf(n, key, "%w", err)
		}
		return nil
	case v.Kind() == reflect.Struct:
		return d.mapping(n, v, key)
	case v.Kind() == reflect.Slice:
		return d.sequence(n, v, key)
	}
	return d.scalar(n, v, key)
}

func (d decoder) mapping(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind != yaml.MappingNode {
		return d.errorf(n, key, "want keys with values")
	}
	if line := v.FieldByName("Line"); line.IsValid() {
		line.SetInt(int64(n.Line))
	}
	fields := d.fieldsOf(v.Type())
	var seen uint64 // a bit for each field
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		field, ok := fields[name]
		if !ok {
			return d.errorf(n.Content[i], join(key, name), "unknown key%s", suggest(name, v.Type()))
		}
		if seen&(1<<field) != 0 {
			return d.errorf(n.Content[i], join(key, name), "the key is there twice")
		}
		seen |= 1 << field
		if err := d.decode(n.Content[i+1], v.Field(field), join(key, name)); err != nil {
			return err
		}
	}
	return nil
}

func (d decoder) sequence(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind != yaml.SequenceNode {
		return d.errorf(n, key, "want a list")
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		if err := d.decode(c, list.Index(i), fmt.Sprintf("%s[%d]", key, i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func (d decoder) scalar(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind != yaml.ScalarNode {
		return d.errorf(n, key, "want one value")
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || v.OverflowInt(i) {
			return d.errorf(n, key, "%q is not a whole number", n.Value)
		}
		v.SetInt(i)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil {
			return d.errorf(n, key, "%q is neither true nor false", n.Value)
		}
		v.SetBool(b)
	}
	return nil
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// fieldsOf finds a struct's fields by their keys; a struct has fewer than 64.
func (d decoder) fieldsOf(t reflect.Type) map[string]int {
	if fields := d.fields[t]; fields != nil {
		return fields
	}
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if tag := tagName(t.Field(i)); tag != "-" {
			fields[tag] = i
		}
	}
	d.fields[t] = fields
	return fields
}

// tagName is the key of a field, without the tag's options.
func tagName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// suggest names the key that was probably meant.
func suggest(name string, t reflect.Type) string {
	best, least := "", 3
	for i := range t.NumField() {
		tag := tagName(t.Field(i))
		if far := distance(name, tag); tag != "-" && far < least {
			best, least = tag, far
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance is Levenshtein's.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
