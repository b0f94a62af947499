package scp

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"bundleup/vfs"
)

// What the far end of a download says, byte for byte. in is the client's
// answers; "0" stands for a byte 0.
func TestSourceTranscripts(t *testing.T) {
	acme := []string{"/acme/", "/acme/a.tgz=hello", "/acme/b.tgz=", "/acme/case/", "/acme/case/c.tgz=cc", "/globex/", "/globex/a.tgz=g", "/my file.tgz=mine", "/x[1].tgz=x"}
	const missing = "no such file or directory\n"
	for _, tt := range []struct {
		name, command, in string
		want              told
	}{
		{"one file", "scp -f /acme/a.tgz", "0000",
			told{out: "C0644 5 a.tgz\nhello\x00"}},
		{"an empty file", "scp -v -f acme/b.tgz", "0000",
			told{out: "C0644 0 b.tgz\n\x00"}},
		{"times", "scp -pf '/acme/a.tgz'", "0000",
			told{out: "T1000000000 0 1000000000 0\nC0644 5 a.tgz\nhello\x00"}},
		{"several files", "scp -f /acme/a.tgz /globex/a.tgz", "00000",
			told{out: "C0644 5 a.tgz\nhello\x00C0644 1 a.tgz\ng\x00"}},
		{"a name with a blank, unquoted", "scp -f /my file.tgz", "000",
			told{out: "C0644 4 my file.tgz\nmine\x00"}},
		{"a name with a blank, quoted", `scp -f /my\ file.tgz`, "000",
			told{out: "C0644 4 my file.tgz\nmine\x00"}},
		{"a missing file, then one", "scp -f none.tgz /acme/a.tgz", "000",
			told{out: "\x01bundleup: /none.tgz: " + missing + "C0644 5 a.tgz\nhello\x00", exit: 1}},
		{"a directory without -r", "scp -f /acme", "0",
			told{out: "\x01bundleup: /acme: is a directory: give -r to copy it\n", exit: 1}},
		{"a directory", "scp -r -f /acme", "00000000000",
			told{out: "D0755 0 acme\nC0644 5 a.tgz\nhello\x00C0644 0 b.tgz\n\x00D0755 0 case\nC0644 2 c.tgz\ncc\x00E\nE\n"}},
		{"a directory with times", "scp -r -p -f /acme/case", "0000000",
			told{out: "T1000000000 0 1000000000 0\nD0755 0 case\nT1000000000 0 1000000000 0\nC0644 2 c.tgz\ncc\x00E\n"}},
		{"a directory the client refuses", "scp -r -f /acme /globex/a.tgz", "0\x01no\n00",
			told{out: "D0755 0 acme\nC0644 1 a.tgz\ng\x00", exit: 1}},
		{"a file the client refuses", "scp -f /acme/a.tgz /globex/a.tgz", "0\x01no\n00",
			told{out: "C0644 5 a.tgz\nC0644 1 a.tgz\ng\x00", exit: 1}},
		{"times the client refuses", "scp -p -f /acme/a.tgz", "0\x01no\n",
			told{out: "T1000000000 0 1000000000 0\n", exit: 1}},
		{"a copy the client could not write", "scp -f /acme/a.tgz /globex/a.tgz", "00\x01disk full\n00",
			told{out: "C0644 5 a.tgz\nhello\x00C0644 1 a.tgz\ng\x00", exit: 1}},
		{"the client gives up", "scp -f /acme/a.tgz /globex/a.tgz", "0\x02enough\n",
			told{out: "C0644 5 a.tgz\n", exit: 1}},
		{"the client is never ready", "scp -f /acme/a.tgz", "", told{exit: 1}},
		{"the client says nonsense", "scp -f /acme/a.tgz", "0C",
			told{out: "C0644 5 a.tgz\n\x02bundleup: protocol error: an answer begins with byte 67\n", exit: 1}},
		{"libssh2 hangs up behind the last byte", "scp -f /acme/a.tgz", "00",
			told{out: "C0644 5 a.tgz\nhello\x00"}},
		{"the root", "scp -r -f .", strings.Repeat("0", 40),
			told{out: "D0755 0 bundles\nD0755 0 acme\nC0644 5 a.tgz\nhello\x00C0644 0 b.tgz\n\x00D0755 0 case\nC0644 2 c.tgz\ncc\x00E\nE\nD0755 0 globex\nC0644 1 a.tgz\ng\x00E\nC0644 4 my file.tgz\nmine\x00C0644 1 x[1].tgz\nx\x00E\n"}},
		{"a star", "scp -f /acme/*.tgz", "00000",
			told{out: "C0644 5 a.tgz\nhello\x00C0644 0 b.tgz\n\x00"}},
		{"a star in the middle", "scp -f /*/a.tgz", "00000",
			told{out: "C0644 5 a.tgz\nhello\x00C0644 1 a.tgz\ng\x00"}},
		{"stars all the way", "scp -f */?.tgz", "0000000",
			told{out: "C0644 5 a.tgz\nhello\x00C0644 0 b.tgz\n\x00C0644 1 a.tgz\ng\x00"}},
		{"a class", "scp -f /acme/[!a].tgz", "000",
			told{out: "C0644 0 b.tgz\n\x00"}},
		{"a star does not go down", "scp -f /acme/*c.tgz", "0",
			told{out: "\x01bundleup: /acme/*c.tgz: " + missing, exit: 1}},
		{"a name that looks like a class", "scp -f /x[1].tgz", "000",
			told{out: "C0644 1 x[1].tgz\nx\x00"}},
		{"a malformed class", "scp -f /acme/[", "0",
			told{out: "\x01bundleup: the pattern [ is malformed\n", exit: 1}},
		{"above the root", "scp -f ../../acme/a.tgz", "000",
			told{out: "C0644 5 a.tgz\nhello\x00"}},
		{"no path", "scp -f", "0",
			told{out: "\x02bundleup: scp: no file is named\n", exit: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := strings.ReplaceAll(tt.in, "0", "\x00")
			play(t, newFakeView(acme...), tt.command, strings.NewReader(in)).check(t, tt.want)
			play(t, newFakeView(acme...), tt.command, iotest.OneByteReader(strings.NewReader(in))).check(t, tt.want)
		})
	}
}

func TestSourceFailures(t *testing.T) {
	ready := strings.Repeat("\x00", 9)
	t.Run("denied", func(t *testing.T) {
		play(t, newFakeView("/denied.tgz=x"), "scp -f denied.tgz", strings.NewReader(ready)).
			check(t, told{out: "\x01bundleup: /denied.tgz: bundles are sent, not read back\n", exit: 1})
	})
	t.Run("listing fails", func(t *testing.T) {
		v := newFakeView("/d/", "/d/a.tgz=a")
		v.listErr = viewError(vfs.Internal, "the server's storage failed")
		play(t, v, "scp -r -f d", strings.NewReader(ready)).
			check(t, told{out: "D0755 0 d\nC0644 1 a.tgz\na\x00\x01bundleup: /d: the server's storage failed\nE\n", exit: 1})
	})
	t.Run("reading fails", func(t *testing.T) {
		v := newFakeView("/a.tgz=hello", "/b.tgz=b")
		v.readErr = errors.New("read /srv/secret: bad sector")
		play(t, v, "scp -f a.tgz b.tgz", strings.NewReader(ready)).
			check(t, told{out: "C0644 5 a.tgz\n", err: "bundleup: a.tgz could not be read to its end: the copy is incomplete: fetch it again\r\n", exit: 1})
	})
	t.Run("a name with a newline", func(t *testing.T) {
		v := newFakeView("/d/", "/d/a\nC0644 1 evil=x", "/d/b.tgz=b")
		play(t, v, "scp -r -f d", strings.NewReader(ready)).
			check(t, told{out: "D0755 0 d\nC0644 1 a\\^JC0644 1 evil\nx\x00C0644 1 b.tgz\nb\x00E\n"})
	})
	t.Run("too deep", func(t *testing.T) {
		name, names := "/", []string{}
		for range maxDepth + 2 {
			name += "d/"
			names = append(names, name)
		}
		got := play(t, newFakeView(names...), "scp -r -f d", strings.NewReader(strings.Repeat("\x00", 500)))
		if !strings.Contains(got.out, "directories go at most 64 deep\nE\n") || strings.Count(got.out, "D0755") != maxDepth || got.exit != 1 {
			t.Errorf("got %.200q exit %d, want %d directories and a refusal", got.out, got.exit, maxDepth)
		}
	})
	t.Run("too many matches", func(t *testing.T) {
		v := newFakeView()
		for i := range maxMatches + 1 {
			v.files["/"+strconv.Itoa(i)+".tgz"] = ""
		}
		play(t, v, "scp -f *", strings.NewReader(ready)).
			check(t, told{out: "\x01bundleup: the pattern * matches more than 10000 names: ask for fewer at once\n", exit: 1})
	})
}

// Big content goes out whole and in pieces.
func TestSourceBigFile(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", chunk/8) + "tail"
	v := newFakeView("/a.tgz=" + content)
	play(t, v, "scp -f a.tgz", strings.NewReader("\x00\x00\x00")).
		check(t, told{out: "C0644 " + strconv.Itoa(len(content)) + " a.tgz\n" + content + "\x00"})
}

// A client may go at any byte.
func TestSourceEarlyEndAtEveryByte(t *testing.T) {
	const answers = "\x00\x00\x00\x00\x01no\n\x00\x00\x00"
	for n := range len(answers) {
		v := newFakeView("/d/", "/d/a.tgz=hello", "/d/b.tgz=b", "/d/c.tgz=c")
		got := play(t, v, "scp -r -f d", strings.NewReader(answers[:n]))
		if got.exit != 1 {
			t.Errorf("cut at %d: exit %d, want 1", n, got.exit)
		}
	}
}
