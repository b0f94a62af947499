package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

// explainText runs the command on a log and a trail.
func explainText(t testing.TB, id, log, trail string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "log"), filepath.Join(dir, "trail")}
	for i, text := range []string{log, trail} {
		if err := os.WriteFile(names[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := explainCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"--log", names[0], "--audit", names[1], "--", id})
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestExplain(t *testing.T) {
	log := strings.Join([]string{
		`{"time":"2026-11-24T10:00:05Z","level":"INFO","msg":"accepted","session":"s2","upload":"u1","name":"a.tgz","verdict":"accepted","size":9007199254740993,"sha256":"ff"}`,
		`{"time":"2026-11-24T10:00:00Z","level":"INFO","msg":"logged in","session":"s1","account":"acme"}`,
		`{"time":"2026-11-24T10:00:01Z","level":"WARN","msg":"slow","session":"s1"}`,
		`{"time":"2026-11-24T10:00:02Z","level":"INFO","msg":"suspended","session":"s1","upload":"u1","kept":10,"err":null}`,
		`{"time":"2026-11-24T10:00:03Z","level":"INFO","msg":"accepted","session":"s1","upload":"u2"}`,
		`{"time":"2026-11-24T10:00:04Z","level":"INFO","msg":"logged in","session":"s3"}`,
		``,
		`not JSON`,
	}, "\n")
	trail := `{"seq":7,"time":"2026-11-24T10:00:06Z","event":"verdict","upload":"u1","prev":"aa","hash":"bb","detail":"x y"}`
	got, err := explainText(t, "u1", log, trail)
	if err != nil {
		t.Fatal(err)
	}
	want := `upload u1: 5 events, 2 sessions
2026-11-24 10:00:00.000Z        +0s  log    logged in
    session=s1 account=acme
2026-11-24 10:00:01.000Z        +1s  log    WARN slow
    session=s1
2026-11-24 10:00:02.000Z        +2s  log    suspended
    session=s1 kept=10
2026-11-24 10:00:05.000Z        +5s  log    accepted
    session=s2 name=a.tgz verdict=accepted size=9007199254740993 sha256=ff
2026-11-24 10:00:06.000Z        +6s  audit  verdict
    detail="x y"
1 lines are not JSON or too long and were left out
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestExplainHostileLines: what a peer can get into a log neither breaks a line of the
// output nor reaches the terminal, and what is too much is told.
func TestExplainHostileLines(t *testing.T) {
	long := strings.Repeat("x", maxLogLine)
	for name, tt := range map[string]struct {
		log  string
		want []string
	}{
		"terminal": {
			`{"time":"2026-11-24T10:00:00Z","msg":"\u001b[2J","upload":"u1","name":"a\nupload u9: 1 events\u202e.tgz","k\u0007\"=":"v"}`,
			[]string{`\x1b[2J`, `name="a\nupload u9: 1 events\u202e.tgz"`, `k\a\"==v`},
		},
		"types": {
			`{"time":17,"level":{},"msg":["a"],"upload":"u1","session":{"a":1},"size":1e999,"x":true,"y":{"z":[1,"2"]}}`,
			[]string{`0001-01-01`, `["a"]`, `size=1e999`, `x=true`, `y="{\"z\":[1,\"2\"]}"`},
		},
		"too long":     {`{"upload":"u1","msg":"` + long + `"}` + "\n" + `{"upload":"u1","msg":"short"}`, []string{"short", "1 lines are not JSON or too long"}},
		"no end":       {`{"upload":"u1","msg":"whole"}` + "\n" + `{"upload":"u1","msg":"ha`, []string{"whole", "1 lines are not JSON"}},
		"two in one":   {`{"upload":"u1","msg":"first"}{"upload":"u1","msg":"second"}` + "\n" + `{"upload":"u1","msg":"x"}`, []string{"1 lines are not JSON"}},
		"CR LF":        {"{\"upload\":\"u1\",\"msg\":\"windows\"}\r\n", []string{"windows"}},
		"no UTF-8":     {"{\"upload\":\"u1\",\"msg\":\"\xff\xfe\"}", []string{"\uFFFD\uFFFD"}},
		"twice":        {`{"upload":"u2","msg":"m","upload":"u1"}`, []string{"1 events"}},
		"a NUL":        {"{\"upload\":\"u1\",\"msg\":\"m\"}\n\x00\x00{}\n", []string{"1 lines are not JSON"}},
		"many events":  {strings.Repeat(`{"upload":"u1","msg":"m"}`+"\n", maxExplained+5), []string{"10000 events", "5 more events are not shown"}},
		"many session": {manySessions(maxExplainedSess + 7), []string{"1000 sessions"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := explainText(t, "u1", tt.log, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in %.2000s", want, got)
				}
			}
			safe(t, got)
		})
	}
	if _, err := explainText(t, "u1\x1b[2J", `{}`, ""); err == nil || !strings.Contains(err.Error(), `nothing is said of upload "u1\x1b[2J"`) {
		t.Errorf("an unknown upload: %v", err)
	}
}

func manySessions(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"upload":"u1","session":"s%d","msg":"m"}`+"\n", i)
	}
	return b.String()
}

// safe fails for what a terminal would obey.
func safe(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U reaches the terminal in %q", r, text)
			return
		}
	}
}

// FuzzExplain reads anything as a log and a trail: the output is safe to look at, is in
// the order of time, and has no event that is not about the upload.
func FuzzExplain(f *testing.F) {
	line := `{"time":"2026-11-24T10:00:00Z","level":"INFO","msg":"accepted","session":"s1","upload":"u1","name":"a.tgz"}`
	f.Add(line, line)
	f.Add(line+"\n"+`{"session":"s1","msg":"logged in"}`, "{}\n{]\n\x00")
	f.Add(`{"upload":"u1","msg":"\u001b[2J\n","k`, `{"upload":["u1"]}`+"\r\n"+line)
	f.Add(`{"time":"9999-12-31T23:59:59.999999999Z","upload":"u1"}`, `{"time":"0000-01-01T00:00:00+23:59","upload":"u1"}`)
	f.Fuzz(func(t *testing.T, log, trail string) {
		out, err := explainText(t, "u1", log, trail)
		if err != nil {
			if !strings.Contains(err.Error(), "nothing is said of upload u1") {
				t.Errorf("explain: %v", err)
			}
			return
		}
		safe(t, out)
		var last time.Time
		events := 0
		for _, l := range strings.Split(out, "\n") {
			if at, err := time.Parse("2006-01-02 15:04:05.000Z", l[:min(len(l), 24)]); err == nil && len(l) > 24 && l[0] != ' ' {
				if events++; at.Before(last) {
					t.Errorf("%s comes after %s", l, last)
				}
				last = at
			}
		}
		if most := strings.Count(log+trail, "{"); events > most {
			t.Errorf("%d events of at most %d lines", events, most)
		}
		if !json.Valid([]byte(log)) && !strings.Contains(log+trail, "u1") && !strings.Contains(log+trail, `\u`) {
			t.Errorf("nothing is said of u1, but: %s", out)
		}
	})
}
