package store

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Key names an object or a directory: a relative, clean, slash-separated path
// such as "acme/case-17/diag.tgz". The empty key is the root.
type Key string

// ID names an upload for ever: 26 lower-case base32 characters, the first ten
// of which are the time in milliseconds, so that IDs sort by age.
type ID string

// maxKey bounds a key's length in bytes.
const maxKey = 4096

// ParseKey checks that s is a key: valid UTF-8, relative, clean, without NUL,
// backslash or empty, "." or ".." components, at most 4096 bytes, components
// of at most 255.
func ParseKey(s string) (Key, error) {
	k := Key(s)
	if err := k.Check(); err != nil {
		return "", err
	}
	return k, nil
}

// Check reports why k is not a key, or nil. See ParseKey.
func (k Key) Check() error {
	if k == "" {
		return nil
	}
	s := string(k)
	if len(s) > maxKey || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\\") {
		return fmt.Errorf("key %q: too long or not a plain path", s)
	}
	for c := range strings.SplitSeq(s, "/") {
		if c == "" || c == "." || c == ".." || len(c) > 255 {
			return fmt.Errorf("key %q: component %q is not a plain name", s, c)
		}
	}
	return nil
}

// CheckObject reports why k cannot name a sealed object or a directory, or nil.
// Beyond Check, k is not the root and no component begins with a dot: such
// names are the operator's and List does not show them.
func (k Key) CheckObject() error {
	if err := k.Check(); err != nil {
		return err
	}
	if k == "" || k[0] == '.' || strings.Contains(string(k), "/.") {
		return fmt.Errorf("key %q: the root or a hidden name", string(k))
	}
	return nil
}

// maxDoc bounds the length of a document's name in bytes: it leaves a medium
// room for a prefix or a suffix of its own.
const maxDoc = 200

// CheckDoc reports why name cannot name a document of Meta.Docs or a Recorder,
// or nil: it is one component of a key, does not begin with a dot and has at
// most 200 bytes.
func CheckDoc(name string) error {
	if len(name) > maxDoc || strings.Contains(name, "/") {
		return fmt.Errorf("document %q: too long or not a plain name", name)
	}
	if err := Key(name).CheckObject(); err != nil {
		return fmt.Errorf("document %q: %w", name, err)
	}
	return nil
}

// Join appends a relative path to k without cleaning it.
func (k Key) Join(elem ...string) Key {
	s := string(k)
	for _, e := range elem {
		if e == "" {
			continue
		}
		if s != "" {
			s += "/"
		}
		s += e
	}
	return Key(s)
}

// Base is the last component.
func (k Key) Base() string {
	if k == "" {
		return ""
	}
	return path.Base(string(k))
}

// Dir is everything before the last component; the root for a single one.
func (k Key) Dir() Key {
	if i := strings.LastIndexByte(string(k), '/'); i >= 0 {
		return k[:i]
	}
	return ""
}
