package scp

import (
	"path"
	"strings"
	"testing"

	"bundleup/vfs"
)

// Whatever a client sends: every upload ends once and has a clean name, success
// is never said behind a refusal, and the answers are well formed.
func FuzzSink(f *testing.F) {
	f.Add("scp -rp -t /case", whole)
	f.Add("scp -t a.tgz", "C0644 5 a.tgz\nhello\x00")
	f.Add("scp -d -t case", "C0644 5 ../a.tgz\nhello\x00C0644 1 b.tgz\nb\x01no\n")
	f.Add("scp -r -t case", "D0755 0 d\nD0755 0 ..\nE\nE\nE\n")
	f.Add("scp -t case", "C0644 9223372036854775807 a.tgz\nhello")
	f.Add("scp -t /case", "C0644 5 \nhello\x02C0644 1 sftp> 100% password:\n")
	f.Fuzz(func(t *testing.T, command, in string) {
		args, ok := Split(command)
		if o, err := parse(args); !ok || err != nil || !o.to {
			t.Skip("not a sink")
		}
		v := newFakeView("/case/")
		v.onCreate = func(u *fakeUpload) error {
			if strings.Contains(u.name, "j") {
				u.onWrite = func(*fakeUpload) error { return viewError(vfs.Refused, "junk") }
			}
			return nil
		}
		got := play(t, v, command, strings.NewReader(in))
		wellFormed(t, got.out)
		if got.exit == 0 && strings.Trim(got.out, "\x00") != "" {
			t.Errorf("exit 0 behind a refusal: %q", got.out)
		}
		for _, u := range v.uploads {
			if len(u.ends) != 1 || u.name != path.Join("/", u.name) {
				t.Errorf("%s: want a clean name and one end", u.story())
			}
		}
	})
}

// Whatever a client answers and asks for: the records are well formed, and
// no directory goes out without -r.
func FuzzSource(f *testing.F) {
	f.Add("scp -f /d/a.tgz", "\x00\x00\x00")
	f.Add("scp -rpf /", "\x00\x00\x00\x00\x00\x01no\n\x00\x00\x00\x00")
	f.Add("scp -f */[!b]?*.tgz", "\x00\x00\x02no\n")
	f.Fuzz(func(t *testing.T, command, in string) {
		args, ok := Split(command)
		o, err := parse(args)
		if !ok || err != nil || !o.from {
			t.Skip("not a source")
		}
		v := newFakeView("/d/", "/d/a.tgz=", "/d/b.tgz=", "/d/e/", "/d/e/c.tgz=")
		got := play(t, v, command, strings.NewReader(in))
		for record := range strings.SplitAfterSeq(strings.ReplaceAll(got.out, "\x00", ""), "\n") {
			if record == "" {
				continue
			}
			if !strings.HasSuffix(record, "\n") || !strings.ContainsRune("CDTE\x01\x02", rune(record[0])) {
				t.Errorf("record %q", record)
			}
			if record[0] == 'D' && !o.recursive {
				t.Errorf("%q: a directory without -r", command)
			}
		}
	})
}

// Whatever a record says: what is accepted has a size and a time that a receipt can
// tell, and a name without a way out.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"C0644 5 a.tgz", "D0755 0 d", "C0644 9223372036854775808 a", "C644 1 a", "T1700000000 0 1 0", "T253402300800 0 0 0", "C", "T", "C0644 1 ../a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" {
			return
		}
		if e, err := parseEntry(line); err == nil && checkName(e.name, true) == nil {
			if e.size < 0 || e.name == "" || path.Clean("/d/"+e.name) != "/d/"+e.name {
				t.Errorf("%q: %+v", line, e)
			}
		}
		if at, err := parseTimes(line); err == nil {
			if _, err := at.UTC().MarshalText(); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}
