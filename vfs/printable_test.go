package vfs

import (
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a plain text: 99%", "a plain text: 99%"},
		{"Zürich \"x\" \\ 東京", "Zürich \"x\" \\ 東京"},
		{"a\x1b[31m\r\nb\x00", `a\x1b[31m\r\nb\x00`},
		{"left\u202eright", `left\u202eright`},
		{"bad\xff", `bad\xff`},
		{"sftp> Password: 100%", `sftp\x3e Password\x3a 100\x25`},
	} {
		if got := Printable(tt.text, MaxText); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
	for _, c := range []string{"x", "\x00", "sftp>", "100%", "é", "\xff"} {
		got := Printable(strings.Repeat(c, 5000), MaxText)
		if len(got) > 2048-len("\x01bundleup: \n") || !isPrint(got) || prompts.MatchString(got) {
			t.Errorf("5000 times %q: got %d bytes: %.80q", c, len(got), got)
		}
	}
}
