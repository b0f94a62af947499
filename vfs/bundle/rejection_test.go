package bundle

import (
	"strings"
	"testing"
)

func TestMessage(t *testing.T) {
	crc := &Rejection{Rule: RuleGzipCRC, Offset: 73211904, Reason: "the gzip CRC does not match", Mend: mendDamaged}
	name := &Rejection{Rule: RuleName, Entry: "a/../\x1b[2J\u202eb", Offset: 512, Reason: `the name climbs out with ".."`, Mend: "pack"}
	for _, tc := range []struct {
		r          *Rejection
		name, want string
	}{
		{crc, "diag.tgz", "diag.tgz refused at byte 73,211,904: the gzip CRC does not match (rule gzip-crc): the file was damaged before or while it was read; make it anew"},
		{crc, "", "refused at byte 73,211,904: the gzip CRC does not match (rule gzip-crc): the file was damaged before or while it was read; make it anew"},
		{&Rejection{Rule: RuleFormat, Reason: "r"}, "x", "x refused at byte 0: r (rule format)"},
		{name, "a\r\nb.tgz", `a\r\nb.tgz refused at byte 512: entry "a/../\x1b[2J\u202eb": the name climbs out with ".." (rule name): pack`},
		{&Rejection{Rule: RuleName, Entry: "sftp> Password: 100%", Reason: "r"}, "100%.tgz", `100\x25.tgz refused at byte 0: entry "sftp\x3e Password\x3a 100\x25": r (rule name)`},
	} {
		if got := tc.r.Message(tc.name); got != tc.want {
			t.Errorf("message\n%s, want\n%s", got, tc.want)
		}
	}
	if crc.Error() != crc.Message("") {
		t.Error("Error is not Message without a name")
	}
}

func TestMessageIsBounded(t *testing.T) {
	for _, entry := range []string{strings.Repeat("long/", 800), strings.Repeat("\xff", 4000), strings.Repeat("\u65e5", 1300), strings.Repeat("100%", 1000), "x" + strings.Repeat("sftp>", 800)} {
		r := &Rejection{Rule: RuleLink, Entry: entry, Offset: 1 << 62, Reason: "the entry would be written through a symbolic link of the archive", Mend: mendNames}
		for pad := range 5 {
			m := r.Message(strings.Repeat("p", pad) + entry)
			if len(m) > 450 {
				t.Errorf("message of %d bytes: %s", len(m), m)
			}
			for _, p := range prompts {
				if strings.Contains(strings.ToLower(m), p[0]) {
					t.Errorf("message holds %q: %s", p[0], m)
				}
			}
		}
	}
}

// TestMessagesOfCorpus: every message is printable, bounded and says what to do.
func TestMessagesOfCorpus(t *testing.T) {
	for _, s := range corpus(t) {
		_, r := judge(t, s.data)
		if r == nil {
			continue
		}
		m := r.Message("diag.tgz")
		if len(m) > 450 || strings.ContainsFunc(m, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			t.Errorf("%s: message of %d bytes: %q", s.name, len(m), m)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestFormatsByName(t *testing.T) {
	for _, tc := range []struct{ head, want string }{
		{"\xfd7zXZ\x00", "this is an xz file"},
		{"PK\x03\x04", "this is a zip file"},
		{"", "the file is empty"},
		{"<html>", "this is an HTML page"},
		{`[{"a":1}]`, "this is a JSON document"},
		{string(whole(small)), "this is a tar archive that is not compressed"},
		{"plain words", "this is a text file"},
	} {
		if _, r := judge(t, []byte(tc.head)); r == nil || !strings.HasPrefix(r.Reason, tc.want) {
			t.Errorf("%.10q: %v, want %s", tc.head, r, tc.want)
		}
	}
	inside := gz(append(gz(whole(small)), make([]byte, 600)...))
	if _, r := judge(t, inside); r == nil || !strings.Contains(r.Message(""), "compressed twice") {
		t.Errorf("a gzip file in a gzip file: %v, want compressed twice", r)
	}
}
