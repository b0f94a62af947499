package sftp

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLookahead(t *testing.T) {
	text := strings.Repeat("0123456789", 1000)
	for name, from := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "by the byte": iotest.OneByteReader, "with the error": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			l := &lookahead{from: from(strings.NewReader(text))}
			read, left := 0, len(text)
			for _, n := range []int{1, 4, 600, 4, 3000, 512} {
				if got, err := l.Peek(n); err != nil || string(got) != text[read:read+n] {
					t.Fatalf("peek of %d at %d: got %d bytes, %v", n, read, len(got), err)
				}
				if err := l.Discard(n / 2); err != nil {
					t.Fatal(err)
				}
				p := make([]byte, n-n/2)
				if _, err := io.ReadFull(l, p); err != nil || string(p) != text[read+n/2:read+n] {
					t.Fatalf("read of %d at %d: %v", len(p), read, err)
				}
				read, left = read+n, left-n
			}
			if got, err := l.Peek(left + 1); err != io.EOF || string(got) != text[read:] {
				t.Errorf("beyond the end: got %d bytes, %v; want %d and EOF", len(got), err, left)
			}
			rest, err := io.ReadAll(l)
			if err != nil || !bytes.Equal(rest, []byte(text[read:])) {
				t.Errorf("the rest: %d bytes, %v", len(rest), err)
			}
			if cap(l.buf) > minAhead {
				t.Errorf("%d bytes are held at the end", cap(l.buf))
			}
			if err := l.Discard(1); err != io.EOF {
				t.Errorf("discard at the end: got %v", err)
			}
		})
	}
}
