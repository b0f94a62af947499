package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// hash is a line's: the SHA-256 of its bytes up to the comma before the field
// "hash", which is always the last. The first line follows the zero hash.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

func parseHash(s string) (h hash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, errors.New("not a hash")
	}
	return hash(b), nil
}

// link is a place in the chain: a line's number, from 1, and its hash. The zero
// link is the place before the first line.
type link struct {
	seq  uint64
	hash hash
}

// maxLine bounds a line that is read, in bytes: every string of an Event at its
// longest, each byte escaped to six.
const maxLine = 1 << 20

const (
	hashField = `,"hash":"`
	lineEnd   = "\"}\n"
	tailSize  = len(hashField) + 2*sha256.Size + len(lineEnd)
)

// line is an Event with its place in the chain. The field hash is appended.
type line struct {
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev"`
	Event
}

// appendLine writes the event as the line behind at and returns its place.
func appendLine(b []byte, e Event, at link) ([]byte, link, error) {
	doc, err := json.Marshal(line{Seq: at.seq + 1, Prev: at.hash.String(), Event: e.bounded()})
	if err != nil {
		return b, at, err
	}
	doc = doc[:len(doc)-1] // the closing brace
	next := link{at.seq + 1, sha256.Sum256(doc)}
	b = append(b, doc...)
	b = append(b, hashField...)
	b = append(b, next.hash.String()...)
	return append(b, lineEnd...), next, nil
}

// errChanged says that a line does not have the hash that it names.
var errChanged = errors.New("the line was changed")

// parseLine reads a line with its line feed: its event, the place before it and its
// own as it names it. With errChanged both are told all the same.
func parseLine(b []byte) (e Event, before, own link, err error) {
	if len(b) < tailSize || len(b) > maxLine {
		return e, before, own, fmt.Errorf("a line of %d bytes", len(b))
	}
	doc, tail := b[:len(b)-tailSize], b[len(b)-tailSize:]
	if !bytes.HasPrefix(tail, []byte(hashField)) || !bytes.HasSuffix(tail, []byte(lineEnd)) {
		return e, before, own, errors.New("the line has no hash at its end")
	}
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return e, before, own, errors.New("the line is not JSON")
	}
	own.seq, before.seq = l.Seq, l.Seq-1
	if before.hash, err = parseHash(l.Prev); err != nil || l.Seq == 0 {
		return e, before, own, errors.New("the line has no place in the chain")
	}
	if own.hash, err = parseHash(string(tail[len(hashField) : len(tail)-len(lineEnd)])); err != nil {
		return e, before, own, err
	}
	if sha256.Sum256(doc) != own.hash {
		err = errChanged
	}
	return l.Event, before, own, err
}
