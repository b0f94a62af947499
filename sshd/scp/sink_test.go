package scp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

// What the far end of an upload says, byte for byte.
func TestSinkTranscripts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		view    []string
		command string
		in      string
		want    told
		story   string
	}{
		{name: "one file under its name", command: "scp -t a.tgz",
			in:   "C0644 5 a.tgz\nhello\x00",
			want: told{out: "\x00\x00\x00"}, story: `/a.tgz "hello" commit`},
		{name: "one file under another name", command: "scp -t /b.tgz",
			in:   "C0644 5 a.tgz\nhello\x00",
			want: told{out: "\x00\x00\x00"}, story: `/b.tgz "hello" commit`},
		{name: "into the root", command: "scp -t .",
			in:   "C0644 5 a.tgz\nhello\x00",
			want: told{out: "\x00\x00\x00"}, story: `/a.tgz "hello" commit`},
		{name: "into the root, without a path", command: "scp -t",
			in:   "C0644 5 a.tgz\nhello\x00",
			want: told{out: "\x00\x00\x00"}, story: `/a.tgz "hello" commit`},
		{name: "into the home", command: "scp -t ~/case/", view: []string{"/case/"},
			in:   "C0644 5 a.tgz\nhello\x00",
			want: told{out: "\x00\x00\x00"}, story: `/case/a.tgz "hello" commit`},
		{name: "several files into a directory", command: "scp -v -d -t case", view: []string{"/case/"},
			in:   "C0644 5 a.tgz\nhello\x00C0600 0 b.tgz\n\x00",
			want: told{out: "\x00\x00\x00\x00\x00"}, story: `/case/a.tgz "hello" commit; /case/b.tgz "" commit`},
		{name: "times", command: "scp -pt a.tgz",
			in:   "T1700000000 0 1600000000 0\nC0644 5 a.tgz\nhello\x00",
			want: told{out: "\x00\x00\x00\x00"}, story: `/a.tgz "hello" commit at 1700000000`},
		{name: "times are for one file", command: "scp -p -t /",
			in:   "T1700000000 0 1600000000 0\nC0644 1 a.tgz\na\x00C0644 1 b.tgz\nb\x00",
			want: told{out: "\x00\x00\x00\x00\x00\x00"}, story: `/a.tgz "a" commit at 1700000000; /b.tgz "b" commit`},
		{name: "times of a refused file are forgotten", command: "scp -p -t /",
			in:   "T1700000000 0 1600000000 0\nC0644 1 a\nC0644 1 b.tgz\nb\x00",
			want: told{out: "\x00\x00\x01bundleup: bundle names end in .tgz: put a diag.tgz\n\x00\x00", exit: 1}, story: `/b.tgz "b" commit`},
		{name: "a directory", command: "scp -r -t new",
			in:   "D0755 0 tree\nC0644 1 a.tgz\na\x00D0755 0 sub\nC0644 1 b.tgz\nb\x00E\nE\n",
			want: told{out: strings.Repeat("\x00", 9)}, story: `/new/a.tgz "a" commit; /new/sub/b.tgz "b" commit`},
		{name: "a directory that exists", command: "scp -r -p -t /", view: []string{"/tree/"},
			in:   "T1 0 1 0\nD0755 0 tree\nC0644 1 a.tgz\na\x00E\nC0644 1 b.tgz\nb\x00",
			want: told{out: strings.Repeat("\x00", 8)}, story: `/tree/a.tgz "a" commit; /b.tgz "b" commit`},
		{name: "a directory where a file is", command: "scp -r -t /", view: []string{"/tree=x"},
			in:   "D0755 0 tree\nC0644 1 b.tgz\nb\x00",
			want: told{out: "\x00\x01bundleup: /tree: it exists already\n\x00\x00", exit: 1}, story: `/b.tgz "b" commit`},
		{name: "a directory that is refused", command: "scp -r -t /",
			in:   "D0755 0 denied\nC0644 1 b.tgz\nb\x00",
			want: told{out: "\x00\x01bundleup: /denied: this account may not do that\n\x00\x00", exit: 1}, story: `/b.tgz "b" commit`},
		{name: "end of a directory that was not entered", command: "scp -r -t /",
			in: "E\n", want: told{out: "\x00\x00"}},
		{name: "curl sends no last byte", command: "scp -t '/x.tgz'",
			in:   "C0644 5 x.tgz\nhello",
			want: told{out: "\x00\x00\x00"}, story: `/x.tgz "hello" commit`},
		{name: "SSH.NET sends no name", command: "scp -t x.tgz",
			in:   "C0644 5 \nhello\x00",
			want: told{out: "\x00\x00\x00"}, story: `/x.tgz "hello" commit`},
		{name: "no name into a directory", command: "scp -t /",
			in:   "C0644 5 \n",
			want: told{out: "\x00\x01bundleup: the file has no name and the target is a directory: name the file in the target\n", exit: 1}},
		{name: "a name that is no bundle's, then one that is", command: "scp -t /",
			in:   "C0644 5 a.zip\nC0644 5 b.tgz\nhello\x00",
			want: told{out: "\x00\x01bundleup: bundle names end in .tgz: put a.zip diag.tgz\n\x00\x00", exit: 1}, story: `/b.tgz "hello" commit`},
		{name: "a role that may not", command: "scp -t denied.tgz",
			in:   "C0644 5 a.tgz\n",
			want: told{out: "\x00\x01bundleup: /denied.tgz: this account may not do that\n", exit: 1}},
		{name: "-d and no directory", command: "scp -d -t none",
			want: told{out: "\x02bundleup: there is no directory /none: make it first, or upload to /\n", exit: 1}},
		{name: "-d and a file", command: "scp -d -t a.tgz", view: []string{"/a.tgz=x"},
			want: told{out: "\x02bundleup: /a.tgz is not a directory\n", exit: 1}},
		{name: "a slash and no directory", command: "scp -t none/",
			want: told{out: "\x02bundleup: there is no directory /none: make it first, or upload to /\n", exit: 1}},
		{name: "a slash and a new tree", command: "scp -r -t new/",
			in:   "D0755 0 tree\nC0644 1 a.tgz\na\x00E\n",
			want: told{out: "\x00\x00\x00\x00\x00"}, story: `/new/a.tgz "a" commit`},
		{name: "several files and no directory", command: "scp -t a.tgz",
			in:   "C0644 1 a.tgz\na\x00C0644 1 b.tgz\n",
			want: told{out: "\x00\x00\x00\x01bundleup: b.tgz: several files need a directory to go to, and /a.tgz is none\n", exit: 1}, story: `/a.tgz "a" commit`},
		{name: "the client cannot read a file", command: "scp -t /",
			in:   "\x01scp: a.tgz: Permission denied\nC0644 1 b.tgz\nb\x00",
			want: told{out: "\x00\x00\x00", exit: 1}, story: `/b.tgz "b" commit`},
		{name: "the client cannot read on", command: "scp -t /",
			in:    "C0644 3 a.tgz\na\x00\x00\x01scp: a.tgz: Input/output error\nC0644 1 b.tgz\nb\x00",
			want:  told{out: "\x00\x00\x01bundleup: /a.tgz: the file could not be read where it comes from: send it again\n\x00\x00", exit: 1},
			story: `/a.tgz "a\x00\x00" discard; /b.tgz "b" commit`},
		{name: "the client gives up", command: "scp -t /",
			in: "\x02enough\n", want: told{out: "\x00", exit: 1}},
		{name: "two targets", command: `scp -t -- 'a' 'b'`,
			in: "C0644 1 a.tgz\n", want: told{out: "\x00\x01bundleup: bundle names end in .tgz: put 'a' 'b' diag.tgz\n", exit: 1}},
		{name: "an unknown flag", command: "scp -t -z a.tgz",
			want: told{out: "\x02bundleup: scp: unknown option -z\n", exit: 1}},
		{name: "both ways", command: "scp -t -f a.tgz",
			want: told{out: "\x02bundleup: scp: only the far end of a copy runs here, with one of -t and -f: start scp on your machine\n", exit: 1}},
		{name: "neither way", command: "scp a.tgz b.tgz",
			want: told{err: "bundleup: scp: only the far end of a copy runs here, with one of -t and -f: start scp on your machine\r\n", exit: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newFakeView(tt.view...)
			play(t, v, tt.command, strings.NewReader(tt.in)).check(t, tt.want)
			if got := v.story(); got != tt.story {
				t.Errorf("uploads:\ngot  %s\nwant %s", got, tt.story)
			}
			v = newFakeView(tt.view...)
			play(t, v, tt.command, iotest.OneByteReader(strings.NewReader(tt.in))).check(t, tt.want)
		})
	}
}

// Records that no honest client sends. The first answer is for the command, and
// nothing may be created.
func TestSinkHostileRecords(t *testing.T) {
	const refusedName, fatalEnd = "\x00\x01", "\x00\x02"
	for _, tt := range []struct{ record, wantKind, wantText string }{
		{"C0644 5 ../a.tgz\n", refusedName, `unexpected file name "../a.tgz"`},
		{"C0644 5 /etc/a.tgz\n", refusedName, `unexpected file name "/etc/a.tgz"`},
		{"C0644 5 sub/a.tgz\n", refusedName, `unexpected file name "sub/a.tgz"`},
		{"C0644 5 ..\n", refusedName, `unexpected file name ".."`},
		{"C0644 5 .\n", refusedName, `unexpected file name "."`},
		{"C0644 5 a\x00.tgz\n", refusedName, `control character`},
		{"C0644 5 a\x1b[2J.tgz\n", refusedName, `"a\x1b[2J.tgz" holds a control character`},
		{"C0644 5 a\u0085.tgz\n", refusedName, `control character`},
		{"D0755 0 ..\n", refusedName, `unexpected file name ".."`},
		{"D0755 0 \n", refusedName, `has no name`},
		{"D0755 0 a/b\n", refusedName, `unexpected file name "a/b"`},
		{"C0644 -1 a.tgz\n", fatalEnd, "protocol error: bad size"},
		{"C0644 +1 a.tgz\n", fatalEnd, "protocol error: bad size"},
		{"C0644 0x1 a.tgz\n", fatalEnd, "protocol error: bad size"},
		{"C0644 9223372036854775808 a.tgz\n", fatalEnd, "protocol error: bad size"},
		{"C0644 99999999999999999999999 a.tgz\n", fatalEnd, "protocol error: bad size"},
		{"C0644  a.tgz\n", fatalEnd, "protocol error: bad size"},
		{"C0644 5\n", fatalEnd, "protocol error: size not delimited"},
		{"C0644\n", fatalEnd, "protocol error: bad mode"},
		{"C\n", fatalEnd, "protocol error: bad mode"},
		{"C0648 5 a.tgz\n", fatalEnd, "protocol error: bad mode"},
		{"C00644 5 a.tgz\n", fatalEnd, "protocol error: bad mode"},
		{"C644 5 a.tgz\n", fatalEnd, "protocol error: bad mode"},
		{"T1 0 1\n", fatalEnd, "protocol error: bad times"},
		{"T-1 0 1 0\n", fatalEnd, "protocol error: bad times"},
		{"T1 1000000 1 0\n", fatalEnd, "protocol error: bad times"},
		{"T253402300800 0 1 0\n", fatalEnd, "protocol error: bad times"},
		{"T1 0 1 0 0\n", fatalEnd, "protocol error: bad times"},
		{"\n", fatalEnd, "protocol error: unexpected newline"},
		{"X\n", fatalEnd, "protocol error: expected control record"},
		{"Everything\n", fatalEnd, "protocol error: expected control record"},
		{"C0644 5 " + strings.Repeat("a", 3000) + ".tgz\n", fatalEnd, "protocol error: the record is longer than 2048 bytes"},
		{strings.Repeat("\xff", 3000), fatalEnd, "protocol error: the record is longer than 2048 bytes"},
	} {
		t.Run(fmt.Sprintf("%.30q", tt.record), func(t *testing.T) {
			v := newFakeView()
			got := play(t, v, "scp -r -t /", strings.NewReader(tt.record))
			if !strings.HasPrefix(got.out, tt.wantKind) || !strings.Contains(got.out, tt.wantText) {
				t.Errorf("out: got %q, want %q and %q", got.out, tt.wantKind, tt.wantText)
			}
			if got.exit != 1 || v.story() != "" || len(v.files) != 1 {
				t.Errorf("exit %d, uploads %q, files %v: want exit 1 and nothing made", got.exit, v.story(), v.files)
			}
			wellFormed(t, got.out)
		})
	}
}

func TestSinkDirectoryWithoutFlag(t *testing.T) {
	v := newFakeView()
	got := play(t, v, "scp -t /", strings.NewReader("D0755 0 tree\n"))
	got.check(t, told{out: "\x00\x02bundleup: protocol error: received directory without -r\n", exit: 1})
	if len(v.files) != 1 {
		t.Errorf("files: got %v, want the root alone", v.files)
	}
}

func TestSinkDepthIsBounded(t *testing.T) {
	got := play(t, newFakeView(), "scp -r -t /", strings.NewReader(strings.Repeat("D0755 0 d\n", maxDepth+1)))
	want := strings.Repeat("\x00", 1+maxDepth) + "\x01bundleup: "
	if !strings.HasPrefix(got.out, want) || got.exit != 1 {
		t.Errorf("got %q exit %d, want %d directories, a refusal and exit 1", got.out, got.exit, maxDepth)
	}
}

var rejection = &bundle.Rejection{Rule: bundle.RuleFormat, Reason: "this is not a gzip file", Mend: "pack the files anew with tar czf"}

// A rejection in the middle is told behind the last byte, after the client's
// own word, and the next file goes on.
func TestSinkRejectionInTheMiddle(t *testing.T) {
	v := newFakeView()
	wrote := 0
	v.onCreate = func(u *fakeUpload) error {
		if u.name == "/junk.tgz" {
			u.onWrite = func(*fakeUpload) error { wrote++; return rejection }
		}
		return nil
	}
	size := 3*chunk + 17
	in := fmt.Sprintf("C0644 %d junk.tgz\n%s\x00C0644 5 a.tgz\nhello\x00", size, strings.Repeat("j", size))
	got := play(t, v, "scp -t /", strings.NewReader(in))
	got.check(t, told{exit: 1,
		out: "\x00\x00\x01bundleup: /junk.tgz: refused at byte 0: this is not a gzip file (rule format): pack the files anew with tar czf\n\x00\x00"})
	if wrote != 1 {
		t.Errorf("junk was written to %d times, want once", wrote)
	}
	if u := v.uploads[0]; strings.Join(u.ends, "+") != "suspend" {
		t.Errorf("junk ended by %v, want one suspend", u.ends)
	}
	if u := v.uploads[1]; u.story() != `/a.tgz "hello" commit` {
		t.Errorf("next file: got %s", u.story())
	}
}

func TestSinkVerdictAtTheEnd(t *testing.T) {
	v := newFakeView()
	v.onCreate = func(u *fakeUpload) error {
		u.commitErr = viewError(vfs.Refused, "a.tgz is incomplete: 5 bytes are kept")
		return nil
	}
	play(t, v, "scp -t a.tgz", strings.NewReader("C0644 5 a.tgz\nhello\x00")).
		check(t, told{out: "\x00\x00\x01bundleup: a.tgz is incomplete: 5 bytes are kept\n", exit: 1})
}

// What is not ours to say stays in the log.
func TestSinkHidesForeignErrors(t *testing.T) {
	v := newFakeView()
	v.onCreate = func(u *fakeUpload) error {
		u.commitErr = errors.New("open /srv/secret: no space")
		return nil
	}
	got := play(t, v, "scp -t a.tgz", strings.NewReader("C0644 5 a.tgz\nhello\x00"))
	if strings.Contains(got.out+got.err, "secret") || !strings.Contains(got.out, "internal error") {
		t.Errorf("got %q %q, want an internal error without the path", got.out, got.err)
	}
	v = newFakeView()
	v.statErr = errors.New("stat /srv/secret: no")
	got = play(t, v, "scp -t a.tgz", strings.NewReader(""))
	if strings.Contains(got.out+got.err, "secret") || !strings.HasPrefix(got.out, "\x02bundleup: ") {
		t.Errorf("got %q %q, want a fatal internal error without the path", got.out, got.err)
	}
}

func TestSinkNotice(t *testing.T) {
	v := newFakeView()
	v.onCreate = func(u *fakeUpload) error {
		u.receipt = vfs.Receipt{Name: "a.tgz", StoredAs: "a~2.tgz"}
		return nil
	}
	play(t, v, "scp -t a.tgz", strings.NewReader("C0644 5 a.tgz\nhello\x00")).check(t, told{
		out: "\x00\x00\x00",
		err: "bundleup: a.tgz had been accepted before with other content: this one is kept beside it as a~2.tgz\r\n",
	})
}

func TestSinkPanicCostsOneCommand(t *testing.T) {
	v := newFakeView()
	v.onCreate = func(u *fakeUpload) error {
		u.onWrite = func(*fakeUpload) error { panic("bundle: internal error: made up") }
		return nil
	}
	got := play(t, v, "scp -t a.tgz", strings.NewReader("C0644 5 a.tgz\nhello\x00"))
	if got.exit != 1 || !strings.Contains(got.err, "internal error: nothing was lost") || strings.Contains(got.err, "made up") {
		t.Errorf("got %+v, want exit 1 and an internal error", got)
	}
	if got := v.story(); got != `/a.tgz "hello" suspend` {
		t.Errorf("uploads: got %s", got)
	}
}

func TestSinkStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	v := newFakeView()
	v.onCreate = func(u *fakeUpload) error {
		u.onWrite = func(*fakeUpload) error { cancel(); return nil }
		return nil
	}
	var out, errs strings.Builder
	in := io.MultiReader(strings.NewReader(fmt.Sprintf("C0644 %d a.tgz\n%s", 2*chunk, strings.Repeat("x", chunk))), neverEnding{})
	s := newSession(ctx, IO{In: in, Out: &out, Err: &errs}, v)
	s.create = v.create
	if exit := s.main([]string{"-t", "a.tgz"}); exit != 1 {
		t.Errorf("exit: got %d, want 1", exit)
	}
	if got, want := errs.String(), "bundleup: the server is closing the connection: try again\r\n"; got != want {
		t.Errorf("err: got %q, want %q", got, want)
	}
	if u := v.uploads[0]; strings.Join(u.ends, "+") != "suspend" || len(u.content) != chunk {
		t.Errorf("upload has %d bytes and ended by %v, want %d and suspend", len(u.content), u.ends, chunk)
	}
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }

// whole is a session with one of everything.
const whole = "T1700000000 0 1600000000 0\nD0755 0 tree\nC0644 5 a.tgz\nhello\x00" +
	"\x01scp: x: no\nC0644 1 bad\nT1 2 3 4\nC0600 0 b.tgz\n\x00E\nC0644 3 c.tgz\nabc\x00"

// A session that ends anywhere keeps what came, commits only what is whole,
// and says 0 only at the ends of files and directories.
func TestSinkEarlyEndAtEveryByte(t *testing.T) {
	for n := range len(whole) {
		v := newFakeView()
		got := play(t, v, "scp -rp -t /", strings.NewReader(whole[:n]))
		for _, u := range v.uploads {
			want := map[string]string{"/tree/a.tgz": "hello", "/tree/b.tgz": "", "/c.tgz": "abc"}[u.name]
			end := "suspend"
			if string(u.content) == want {
				end = "commit"
			}
			if strings.Join(u.ends, "+") != end || !strings.HasPrefix(want, string(u.content)) {
				t.Errorf("cut at %d: %s, want one %s", n, u.story(), end)
			}
		}
		if outside := n <= len("T1700000000 0 1600000000 0\n"); (got.exit == 0) != (outside && (n == 0 || n == 27)) {
			t.Errorf("cut at %d: exit %d", n, got.exit)
		}
		wellFormed(t, got.out)
	}
}

// A client that reads nothing more must not be waited for.
func TestSinkDeafClient(t *testing.T) {
	for n := range 4 {
		v := newFakeView()
		w := &brokenWriter{left: n}
		s := newSession(context.Background(), IO{In: strings.NewReader("C0644 5 a.tgz\nhello\x00C0644 1 b.tgz\nb\x00"), Out: w, Err: io.Discard}, v)
		s.create = v.create
		if exit := s.main([]string{"-t", "/"}); exit != 1 {
			t.Errorf("deaf after %d answers: exit %d, want 1", n, exit)
		}
		for _, u := range v.uploads {
			if len(u.ends) != 1 {
				t.Errorf("deaf after %d answers: %s, want one end", n, u.story())
			}
		}
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// wellFormed checks that out is answers: 0, or 1 and 2 with a printable line.
func wellFormed(t testing.TB, out string) {
	t.Helper()
	for rest := out; rest != ""; {
		kind := rest[0]
		rest = rest[1:]
		if kind == answerOK {
			continue
		}
		line, after, ok := strings.Cut(rest, "\n")
		if kind > answerFatal || !ok || vfs.Printable(line, maxRecord) != line || len(line) > maxRecord-2 || !strings.HasPrefix(line, "bundleup: ") {
			t.Fatalf("answers: got %q at %d", out, len(out)-len(rest)-1)
		}
		if kind == answerFatal && after != "" {
			t.Fatalf("words behind a fatal answer: %q", after)
		}
		rest = after
	}
}
