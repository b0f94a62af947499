package scp

import (
	"strings"
	"testing"

	"bundleup/vfs"
)

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
