package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// config is a trail in a directory of its own.
func config(t testing.TB) Config {
	t.Helper()
	return Config{File: filepath.Join(t.TempDir(), "audit", "audit.jsonl"), RotateSize: MinRotateSize, Now: func() time.Time { return now }}
}

// write makes a trail of n lines.
func write(t testing.TB, cfg Config, n int) {
	t.Helper()
	for i := range n {
		if err := Append(cfg, Event{Type: Login, Account: fmt.Sprintf("account-%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func lines(t testing.TB, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.SplitAfter(string(b), "\n")
	return all[:len(all)-1]
}

// checkWhole wants a trail of n lines without findings.
func checkWhole(t testing.TB, file string, n uint64) *Report {
	t.Helper()
	r, err := Verify(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 || r.First != 1 || r.Last != n {
		t.Errorf("lines %d to %d of %d, findings %v", r.First, r.Last, n, r.Findings)
	}
	return r
}

func TestAppendAndVerify(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 5)
	r := checkWhole(t, cfg.File, 5)
	if _, err := Verify(cfg.File, r.Head); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", ".head", ".lock"} {
		if i, err := os.Stat(cfg.File + name); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, i, err)
		}
	}
	if got := lines(t, cfg.File)[1]; !strings.HasPrefix(got, `{"seq":2,"prev":"`) || !strings.Contains(got, `"time":"2026-11-24T12:00:00Z","event":"login","account":"account-1","hash":"`) {
		t.Errorf("a line is %s", got)
	}
	if _, err := Verify(filepath.Join(t.TempDir(), "none"), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no trail: %v", err)
	}
	if _, err := Verify(cfg.File, "nonsense"); err == nil {
		t.Error("a head that is none was let in")
	}
}

// TestTampering does to a trail of nine lines what somebody might, and wants it found
// where it was done.
func TestTampering(t *testing.T) {
	for _, c := range []struct {
		what     string
		change   func(l []string) []string
		findings []string // the beginning of each
	}{
		{"nothing", func(l []string) []string { return l }, nil},
		{"a change", func(l []string) []string {
			l[3] = strings.Replace(l[3], "account-3", "account-x", 1)
			return l
		}, []string{"audit.jsonl:4: line 4 was changed"}},
		{"a change with a new hash", func(l []string) []string {
			l[3] = forge(t, l[3], "account-3", "account-x")
			return l
		}, []string{"audit.jsonl:5: line 5 does not follow line 4"}},
		{"a missing line", func(l []string) []string { return append(l[:3], l[4:]...) },
			[]string{"audit.jsonl:4: line 4 is missing before line 5"}},
		{"missing lines", func(l []string) []string { return append(l[:3], l[6:]...) },
			[]string{"audit.jsonl:4: lines 4 to 6 are missing before line 7"}},
		{"the first line missing", func(l []string) []string { return l[1:] },
			[]string{"audit.jsonl: lines 1 to 1 are missing at the beginning"}},
		{"two lines exchanged", func(l []string) []string {
			l[3], l[4] = l[4], l[3]
			return l
		}, []string{"audit.jsonl:4: line 4 is missing before line 5", "audit.jsonl:5: line 4 stands behind line 5", "audit.jsonl:6: line 5 is missing before line 6"}},
		{"a repeated line", func(l []string) []string { return append(l[:4], l[3:]...) },
			[]string{"audit.jsonl:5: line 4 stands behind line 4"}},
		{"the end cut off", func(l []string) []string { return l[:7] },
			[]string{"audit.jsonl: the end is missing: line 7 is the last, line 9 was written"}},
		{"the end torn", func(l []string) []string {
			l[8] = l[8][:20]
			return l
		}, []string{"audit.jsonl:9: the last line is torn", "audit.jsonl: the end is missing"}},
		{"another end", func(l []string) []string {
			l[8] = forge(t, l[8], "account-8", "account-x")
			return l
		}, []string{"audit.jsonl:9: line 9 is not the one that was noted as the head"}},
		{"nonsense in between", func(l []string) []string { return append(l[:2], append([]string{"nonsense\n"}, l[2:]...)...) },
			[]string{"audit.jsonl:3: a line of 9 bytes"}},
		{"a duplicate key", func(l []string) []string {
			l[2] = strings.Replace(l[2], `{"seq"`, `{"seq":99,"seq"`, 1)
			return l
		}, []string{"audit.jsonl:3: line 3 was changed"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := config(t)
			write(t, cfg, 9)
			changed := strings.Join(c.change(lines(t, cfg.File)), "")
			if err := os.WriteFile(cfg.File, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Verify(cfg.File, "")
			if err != nil {
				t.Fatal(err)
			}
			checkFindings(t, r, c.findings...)
		})
	}
}

func checkFindings(t *testing.T, r *Report, want ...string) {
	t.Helper()
	ok := len(r.Findings) == len(want)
	for i := range min(len(want), len(r.Findings)) {
		ok = ok && strings.HasPrefix(r.Findings[i].String(), want[i])
	}
	if !ok {
		t.Errorf("found %q, want %q", r.Findings, want)
	}
}

// forge changes a line and gives it the hash that it then has.
func forge(t *testing.T, text, from, to string) string {
	t.Helper()
	e, before, _, err := parseLine([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e.Account = strings.Replace(e.Account, from, to, 1)
	b, _, err := appendLine(nil, e, before)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestNotedHead: who cuts the end off and mends the head is found by a head that was
// noted elsewhere.
func TestNotedHead(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 9)
	noted := checkWhole(t, cfg.File, 9).Head
	l := lines(t, cfg.File)
	_, _, at, err := parseLine([]byte(l[6]))
	if err := errors.Join(err, os.WriteFile(cfg.File, []byte(strings.Join(l[:7], "")), 0o600), writeHead(cfg.File, at)); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, cfg.File, 7)
	r, err := Verify(cfg.File, noted)
	if err != nil {
		t.Fatal(err)
	}
	checkFindings(t, r, "audit.jsonl: the end is missing: line 7 is the last, line 9 was written")
	write(t, cfg, 3)
	if r, err = Verify(cfg.File, noted); err != nil {
		t.Fatal(err)
	}
	checkFindings(t, r, "audit.jsonl:9: line 9 is not the one that was noted as the head")
}

// TestCutIsRemembered: an end that is missing when the trail is written to again is
// found for ever, though the head moves on.
func TestCutIsRemembered(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 9)
	if err := os.WriteFile(cfg.File, []byte(strings.Join(lines(t, cfg.File)[:7], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, cfg, 2)
	r, err := Verify(cfg.File, "")
	if err != nil {
		t.Fatal(err)
	}
	checkFindings(t, r, "audit.jsonl:8: the end was cut off before this line: the trail ended at line 7, its head says line 9")
}

// TestTornLine: a crash in the middle of a write costs the line that nobody was
// promised, and is told.
func TestTornLine(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 3)
	f, err := os.OpenFile(cfg.File, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"seq":4,"prev":"00`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, cfg, 1)
	r := checkWhole(t, cfg.File, 5)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0].What, "repaired") {
		t.Errorf("notes %v", r.Notes)
	}
}

// TestHeadBehind: a crash between line and head is no finding.
func TestHeadBehind(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 3)
	old, err := os.ReadFile(cfg.File + ".head")
	if err != nil {
		t.Fatal(err)
	}
	write(t, cfg, 2)
	if err := os.WriteFile(cfg.File+".head", old, 0o600); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, cfg.File, 5)
	write(t, cfg, 1)
	checkWhole(t, cfg.File, 6)
}

func TestRotation(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 900)
	older, err := olderFiles(cfg.File)
	if err != nil || len(older) < 2 {
		t.Fatalf("older files %v, %v", older, err)
	}
	checkWhole(t, cfg.File, uint64(900+len(older)))
	for _, name := range append(older, cfg.File) {
		if i, err := os.Stat(name); err != nil || i.Size() > MinRotateSize {
			t.Errorf("%s: %v, %v", name, i, err)
		}
	}
	// One of the middle gone is found.
	if err := os.Rename(older[1], older[1]+".away"); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(cfg.File, "")
	if err != nil || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, "are missing before line") {
		t.Errorf("without %s: %v, %v", older[1], r.Findings, err)
	}
}

// TestRotationKeeps: what a rotation removed is not missing, anything else is.
func TestRotationKeeps(t *testing.T) {
	cfg := config(t)
	cfg.Keep = 2
	write(t, cfg, 1500)
	older, err := olderFiles(cfg.File)
	if err != nil || len(older) != 2 {
		t.Fatalf("older files %v, %v", older, err)
	}
	r, err := Verify(cfg.File, "")
	if err != nil || len(r.Findings) > 0 || r.First < 2 || len(r.Notes) != 1 {
		t.Errorf("from line %d: %v, notes %v, %v", r.First, r.Findings, r.Notes, err)
	}
	if err := os.Remove(older[0]); err != nil {
		t.Fatal(err)
	}
	if r, err = Verify(cfg.File, ""); err != nil || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].What, "no rotation removed them") {
		t.Errorf("without the oldest: %v, %v", r.Findings, err)
	}
}

// TestRotatedThenCrashed: the chain goes on where the new file is missing.
func TestRotatedThenCrashed(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 10)
	if err := os.Rename(cfg.File, fmt.Sprintf("%s.%020d", cfg.File, 1)); err != nil {
		t.Fatal(err)
	}
	write(t, cfg, 2)
	checkWhole(t, cfg.File, 12)
}

// TestManyWriters: a log and commands beside it make one chain.
func TestManyWriters(t *testing.T) {
	cfg := config(t)
	l, err := Open(cfg, Event{Type: Started})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 200 {
				l.Record(Event{Type: Download, Account: fmt.Sprint(i)})
			}
		})
		wg.Go(func() {
			for range 5 {
				if err := Append(cfg, Event{Type: TokenIssue, Account: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	older, err := olderFiles(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	checkWhole(t, cfg.File, uint64(1+4*205+len(older)))
}

// TestFullDisk: events wait, are counted when too many do, and nobody who records
// one waits.
func TestFullDisk(t *testing.T) {
	cfg := config(t)
	cfg.Queue = 10
	var told []error
	synctest.Test(t, func(t *testing.T) {
		cfg.Failed = func(err error) { told = append(told, err) }
		l, err := Open(cfg, Event{Type: Started})
		if err != nil {
			t.Fatal(err)
		}
		// A directory in the place of the lock file fails every write.
		if err := errors.Join(os.Remove(cfg.File+".lock"), os.Mkdir(cfg.File+".lock", 0o700)); err != nil {
			t.Fatal(err)
		}
		l.Record(Event{Type: Login, Account: "first"})
		synctest.Wait()
		for i := range 25 {
			l.Record(Event{Type: Login, Account: fmt.Sprint(i)})
		}
		time.Sleep(10 * time.Second)
		if err := os.Remove(cfg.File + ".lock"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		l.Record(Event{Type: Login, Account: "last"})
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if len(told) != 2 || told[0] == nil || told[1] != nil {
		t.Errorf("told %v, want one failure and its end", told)
	}
	r := checkWhole(t, cfg.File, 1+1+1+10+1) // started, first, lost, the queue, last
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0].What, "count 15,") {
		t.Errorf("notes %v", r.Notes)
	}
}

// TestFullDiskAtTheEnd: what cannot be written at the end is an error.
func TestFullDiskAtTheEnd(t *testing.T) {
	cfg := config(t)
	l, err := Open(cfg, Event{Type: Started})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(cfg.File+".lock"), os.Mkdir(cfg.File+".lock", 0o700)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.Record(Event{Type: Login})
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "3 events could not be written") {
		t.Errorf("got %v", err)
	}
}

// TestShortWrite takes back what a full disk took half of.
func TestShortWrite(t *testing.T) {
	cfg := config(t)
	write(t, cfg, 3)
	tr := &trail{cfg: cfg}
	defer tr.close()
	if _, err := tr.refresh(); err != nil {
		t.Fatal(err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	real := tr.file
	tr.file = full
	if err := tr.write([]Event{{Type: Login}}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want no space", err)
	}
	tr.file = real
	full.Close()
	checkWhole(t, cfg.File, 3)
	write(t, cfg, 1)
	checkWhole(t, cfg.File, 4)
}

// TestRefusalsAreCounted: a flood of refused logins is a line for each source and
// minute.
func TestRefusalsAreCounted(t *testing.T) {
	cfg := config(t)
	synctest.Test(t, func(t *testing.T) {
		cfg.Now = time.Now
		l, err := Open(cfg, Event{Type: Started})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			l.Record(Event{Type: Refused, Remote: fmt.Sprintf("192.0.2.1:%d", i+1), Account: "root"})
			l.Record(Event{Type: Refused, Remote: fmt.Sprintf("[2001:db8::%x]:22", i+1), Account: "admin"})
		}
		l.Record(Event{Type: Login, Account: "acme"})
		synctest.Wait()
		if got := len(lines(t, cfg.File)); got != 4 {
			t.Errorf("%d lines at first, want 4", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		l.Record(Event{Type: Refused, Remote: "192.0.2.1:9", Account: "root"})
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
	checkWhole(t, cfg.File, 7)
	text := strings.Join(lines(t, cfg.File), "")
	for _, want := range []string{`"remote":"192.0.2.1/32","account":"root","count":999`, `"remote":"2001:db8::/64","account":"admin","count":999`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	r, written := newRefusals(), 0
	for i := range 3 * maxSources {
		if r.first(Event{Remote: fmt.Sprintf("10.0.%d.%d:22", i/256, i%256)}) {
			written++
		}
	}
	events := r.end(now)
	if written != maxSources+1 || len(events) != 1 || events[0].Remote != "others" || events[0].Count != 2*maxSources-1 || len(r.sources) != 0 {
		t.Errorf("%d written, then %+v", written, events)
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {File: "x"}, {File: "x", RotateSize: MinRotateSize, Keep: -1}} {
		if _, err := Open(cfg, Event{}); err == nil {
			t.Errorf("%+v was let in", cfg)
		}
		if err := Append(cfg); err == nil {
			t.Errorf("%+v was let in", cfg)
		}
	}
	file := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(file, []byte("shopping\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Append(Config{File: file, RotateSize: MinRotateSize}, Event{}); err == nil || !strings.Contains(err.Error(), "is it an audit trail?") {
		t.Errorf("another file: %v", err)
	}
	if got := lines(t, file); len(got) != 1 || got[0] != "shopping\n" {
		t.Errorf("it is now %q", got)
	}
}

// TestLongStrings: no string of a peer makes a line that cannot be read again.
func TestLongStrings(t *testing.T) {
	long := strings.Repeat("\x00", 10_000)
	b, _, err := appendLine(nil, Event{
		Session: long, Remote: long, Account: long, Tenant: long, Client: long, Method: long, Credential: long, Protocol: long, Upload: long,
		Name: long, StoredAs: long, Entry: long, Verdict: long, Rule: long, SHA256: long, NameSHA256: long, Token: long, Case: long, By: long, Detail: long,
	}, link{})
	if err != nil || len(b) > maxLine {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, _, _, err := parseLine(b); err != nil {
		t.Error(err)
	}
}

func FuzzVerifyLine(f *testing.F) {
	b, _, err := appendLine(nil, Event{Type: Login, Account: "acme", Time: now}, link{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, before, own, err := parseLine(b)
		if err != nil {
			return
		}
		if own.seq != before.seq+1 {
			t.Fatalf("%q: line %d follows %d", b, own.seq, before.seq)
		}
		if again, _, err := appendLine(nil, e, before); err != nil || len(again) > 2*maxLine {
			t.Errorf("%q: written back as %q, %v", b, again, err)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	cfg := config(b)
	cfg.RotateSize, cfg.Queue = 1<<30, 1<<20
	l, err := Open(cfg, Event{Type: Started})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l.Record(Event{Type: Login, Session: "abcdefghij", Remote: "192.0.2.1:22", Account: "acme", Tenant: "acme", Method: "publickey"})
	}
	if err := l.Close(); err != nil {
		b.Log(err)
	}
}

// TestWritten: the second place gets the bytes of the trail, so that they can be
// verified there as well.
func TestWritten(t *testing.T) {
	cfg := config(t)
	var lines []string
	cfg.Written = func(line string) { lines = append(lines, line) }
	write(t, cfg, 3)
	l, err := Open(cfg, Event{Type: Started})
	if err != nil {
		t.Fatal(err)
	}
	l.Record(Event{Type: Login, Account: "acme"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	trail, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(lines, "\n")+"\n", string(trail); got != want {
		t.Errorf("written:\n%s\nthe trail:\n%s", got, want)
	}
}
