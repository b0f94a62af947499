package vfs

import (
	"strings"
	"testing"
)

func TestUploadNames(t *testing.T) {
	long := strings.Repeat("x", 255-len(suffix)) + suffix
	for _, c := range []struct{ name, want string }{
		{"diag.tgz", ""},
		{"DIAG.TGZ", ""},
		{"a b (1) ü 日本.tgz", ""},
		{"-rf.tgz", ""},
		{long, ""},
		{"1/2/3/4/5/6/7/8/diag.tgz", ""},
		{"diag.tgz.filepart", ""},
		{".in.diag.tgz", ""},
		{"x" + long, "256 bytes"},
		{"1/2/3/4/5/6/7/8/9/diag.tgz", "at most 8 deep"},
		{"diag.tar.gz", "bundle names end in .tgz: put diag.tar.gz diag.tgz"},
		{"Diag.TAR.GZ", "put Diag.TAR.GZ Diag.tgz"},
		{"diag.zip", "tar czf diag.tgz"},
		{"diag", "tar czf diag.tgz"},
		{".tgz", "begins with a dot"},
		{".hidden.tgz", "begins with a dot"},
		{".bashrc", "begins with a dot"},
		{"diag.tgz.", "ends in a dot"},
		{"diag.tgz ", "ends in a dot or a space"},
		{"di\nag.tgz", "U+000A"},
		{"di\x1b[31mag.tgz", "U+001B"},
		{"di\u202eag.tgz", "U+202E"},
		{`..\diag.tgz`, "begins with a dot"},
		{`a\diag.tgz`, "U+005C"},
		{"di\xffag.tgz", "UTF-8"},
		{"x.tgz/diag.tgz", "directory's name"},
		{"x.tgz.d/diag.tgz", "directory's name"},
		{".git/diag.tgz", "begins with a dot"},
		{"diag.tgz.exe", "bundle names end in .tgz"},
		{"diag.tgz.zzzzzzzz.partial", "bundle names end in .tgz"},
	} {
		err := checkUploadName(c.name)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: got %v, want it allowed", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestNumbered(t *testing.T) {
	long := strings.Repeat("ü", 125) + ".TGZ"
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"diag.tgz", 1, "diag.tgz"},
		{"diag.tgz", 2, "diag~2.tgz"},
		{"case/Diag.TGZ", 10, "case/Diag~10.TGZ"},
		{long, 2, strings.Repeat("ü", 124) + "~2.TGZ"},
	} {
		if got := numbered(c.name, c.n); got != c.want {
			t.Errorf("numbered(%q, %d) = %q, want %q", c.name, c.n, got, c.want)
		}
	}
}

func TestReceiptKey(t *testing.T) {
	for name, want := range map[string]string{
		"case/diag.tgz":                  "case/diag.tgz",
		"case/diag.tgz.filepart":         "case/diag.tgz",
		".in.diag.tgz":                   "diag.tgz",
		"case/diag.tgz.0a1b2c3d.partial": "case/diag.tgz",
		".giosaveAB12cd":                 ".giosaveAB12cd",
	} {
		if got := receiptKey(name); got != want {
			t.Errorf("receiptKey(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzUploadName(f *testing.F) {
	for _, s := range []string{"diag.tgz", "../x.tgz", ".in.x.tgz", "a/b.tgz", "x\x00.tgz", "\u202e.tgz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rel := clean(s)
		if checkUploadName(rel) != nil {
			return
		}
		a := &area{tenant: "acme"}
		if err := a.key(rel).Check(); err != nil {
			t.Errorf("the allowed name %q is no key: %v", rel, err)
		}
		if strings.ContainsAny(rel, "\r\n\x00\x1b\\") {
			t.Errorf("the allowed name %q holds a control character", rel)
		}
	})
}

// TestCutBundle: letters whose lower case is longer, and bytes that are no text, move
// nothing.
func TestCutBundle(t *testing.T) {
	for in, want := range map[string][2]string{
		"X.tgz.d/var/log":         {"X.tgz", "var/log"},
		"case/X.TGZ.d":            {"case/X.TGZ", ""},
		"İİİİİİİİ.tgz.d/a":        {"İİİİİİİİ.tgz", "a"},
		"c/x\x80\x80\x80.tgz.d/a": {"c/x\x80\x80\x80.tgz", "a"},
		"a.tgz.d/b.tgz.d/c":       {"a.tgz", "b.tgz.d/c"},
		".tgz.d/a":                {},
		"X.tgz/a":                 {},
	} {
		name, sub, ok := CutBundle(in)
		if got := [2]string{name, sub}; got != want || ok != (name != "") {
			t.Errorf("%q: got %q %v, want %q", in, got, ok, want)
		}
	}
}
