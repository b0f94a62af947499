package store

import (
	"crypto/rand"
	"fmt"
	"time"
)

const (
	// alphabet is Crockford's base32 in lower case: its order is ASCII's, so
	// that IDs sort as their numbers do, and it has no i, l, o, u to misread.
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	idTime   = 10 // characters of time: 50 bits of milliseconds
	idLen    = 26
)

// NewID makes an ID for an upload that begins now: 50 bits of Unix time in
// milliseconds, then 80 random bits. Times before 1970 count as 1970.
func NewID(now time.Time) ID {
	var b [idLen]byte
	rand.Read(b[idTime:]) // never fails, see crypto/rand
	for i := idTime; i < idLen; i++ {
		b[i] = alphabet[b[i]&31]
	}
	ms := max(now.UnixMilli(), 0)
	for i := idTime - 1; i >= 0; i-- {
		b[i] = alphabet[ms&31]
		ms >>= 5
	}
	return ID(b[:])
}

// Check reports why id is not an ID as NewID makes them, or nil. An ID that
// passes is safe as a file name.
func (id ID) Check() error {
	if len(id) != idLen {
		return fmt.Errorf("id %q: want %d characters", string(id), idLen)
	}
	for _, c := range []byte(id) {
		if !isIDByte(c) {
			return fmt.Errorf("id %q: character %q is not base32", string(id), c)
		}
	}
	return nil
}

func isIDByte(c byte) bool {
	switch {
	case '0' <= c && c <= '9':
		return true
	case c == 'i' || c == 'l' || c == 'o' || c == 'u':
		return false
	}
	return 'a' <= c && c <= 'z'
}
