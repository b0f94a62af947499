package scp

import (
	"strings"
	"testing"

	"bundleup/vfs"
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
		if got := printable(tt.text); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
	for _, c := range []string{"x", "\x00", "sftp>", "100%", "é", "\xff"} {
		got := printable(strings.Repeat(c, 5000))
		if len(got) > maxRecord-len("\x01bundleup: \n") || !isPrint(got) || prompts.MatchString(got) {
			t.Errorf("5000 times %q: got %d bytes: %.80q", c, len(got), got)
		}
	}
}

func TestExplainedNamesItsSubjectOnce(t *testing.T) {
	text := func(s string) error { return viewError(vfs.Refused, s) }
	long := strings.Repeat("n", 255) + ".tgz"
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"", text("no"), "no"},
		{"/case/a.tgz", text("no such file"), "/case/a.tgz: no such file"},
		{"/case/a.tgz", text("a.tgz refused at byte 0"), "a.tgz refused at byte 0"},
		{"/", text("no"), "no"},
		{long, text("no"), strings.Repeat("n", 100) + "..." + strings.Repeat("n", 93) + ".tgz: no"},
	} {
		if got := explained(tt.name, tt.err); got != tt.want {
			t.Errorf("%.20q: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestMentions(t *testing.T) {
	for _, tt := range []struct {
		text, word string
		want       bool
	}{
		{"there is no directory /d: make it", "d", true},
		{"the server failed", "d", false},
		{"and d", "d", true},
		{"xa.tgz a.tgz2 refused", "a.tgz", false},
		{"a.tgz refused", "a.tgz", true},
		{"éd", "d", false},
	} {
		if got := mentions(tt.text, tt.word); got != tt.want {
			t.Errorf("%q in %q: got %v, want %v", tt.word, tt.text, got, tt.want)
		}
	}
}
