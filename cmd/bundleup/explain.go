package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// What explain holds in memory is bounded: one line, the sessions of the upload, and
// its events.
const (
	maxLogLine       = 1 << 20
	maxExplained     = 10_000
	maxExplainedSess = 1_000
)

func explainCommand() *cobra.Command {
	var logs, trails []string
	cmd := &cobra.Command{
		Use:   "explain UPLOAD-ID [--log FILE]... [--audit FILE]...",
		Short: "Print the timeline of one upload from the log and the audit trail",
		Long:  "explain puts together what the JSON log and the audit trail say of one upload and of\nthe sessions that sent it, in the order of time. The ID is in the receipt. Without\n--log and --audit, or for the FILE -, it reads the log from standard input.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(logs)+len(trails) == 0 {
				logs = []string{"-"}
			}
			e := &explanation{upload: args[0], sessions: map[string]bool{}}
			if err := e.read(cmd.Context(), cmd.InOrStdin(), logs, trails); err != nil {
				return failed(err)
			}
			return failed(e.print(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().StringArrayVar(&logs, "log", nil, "the daemon's log as JSON, `FILE`; may be repeated")
	cmd.Flags().StringArrayVar(&trails, "audit", nil, "the audit trail, `FILE`; may be repeated")
	return cmd
}

// explanation is the timeline of one upload. The files are read twice: which
// sessions belong to it shows only behind their first lines.
type explanation struct {
	upload   string
	sessions map[string]bool
	events   []explained
	more     int // events beyond the bound
	skipped  int // lines that are no JSON or too long
}

// explained is one line of a log or a trail.
type explained struct {
	time   time.Time
	source string // "log", "audit"
	what   string
	level  string // where it is not INFO
	fields []string
}

// logFile is a file to read, and read again.
type logFile struct {
	source string
	file   *os.File
}

func (e *explanation) read(ctx context.Context, in io.Reader, logs, trails []string) (err error) {
	var files []logFile
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.file.Close())
		}
	}()
	for i, name := range slices.Concat(logs, trails) {
		f, err := openLog(name, in)
		if err != nil {
			return err
		}
		source := "log"
		if i >= len(logs) {
			source = "audit"
		}
		files = append(files, logFile{source, f})
	}
	for _, pass := range []func(source string, line map[string]any){e.find, e.collect} {
		e.skipped = 0
		for _, f := range files {
			if err := e.scan(ctx, f, pass); err != nil {
				return fmt.Errorf("read %s: %w", f.source, err)
			}
		}
	}
	slices.SortStableFunc(e.events, func(a, b explained) int { return a.time.Compare(b.time) })
	return nil
}

// openLog opens a file, or copies standard input to one that goes when it is closed.
func openLog(name string, in io.Reader) (*os.File, error) {
	if name != "-" {
		return os.Open(name)
	}
	f, err := os.CreateTemp("", "bundleup-explain-")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, in)
	if err = errors.Join(os.Remove(f.Name()), err); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// scan gives each line that may matter to pass.
func (e *explanation) scan(ctx context.Context, f logFile, pass func(string, map[string]any)) error {
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReaderSize(f.file, maxLogLine)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			e.skipped++
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = in.ReadSlice('\n')
			}
		case len(bytes.TrimSpace(line)) > 0:
			if !e.line(f.source, line, pass) {
				e.skipped++
			}
		}
		if err == io.EOF {
			return ctx.Err()
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
}

// line reports whether the line is one JSON object. One that cannot matter is not looked into.
func (e *explanation) line(source string, line []byte, pass func(string, map[string]any)) bool {
	line = bytes.TrimSpace(line)
	if line[0] != '{' || line[len(line)-1] != '}' {
		return false
	}
	if !bytes.Contains(line, []byte(e.upload)) && (len(e.sessions) == 0 || !bytes.Contains(line, []byte(`"session"`))) {
		return true
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if d.Decode(&fields) != nil || d.InputOffset() != int64(len(line)) {
		return false
	}
	pass(source, fields)
	return true
}

// find notes the session of a line about the upload.
func (e *explanation) find(_ string, fields map[string]any) {
	if text(fields["upload"]) != e.upload {
		return
	}
	if s := text(fields["session"]); s != "" && len(e.sessions) < maxExplainedSess {
		e.sessions[s] = true
	}
}

// collect keeps a line about the upload, or about one of its sessions and no other
// upload.
func (e *explanation) collect(source string, fields map[string]any) {
	switch upload := text(fields["upload"]); {
	case upload == e.upload:
	case upload != "" || !e.sessions[text(fields["session"])]:
		return
	}
	if len(e.events) == maxExplained {
		e.more++
		return
	}
	e.events = append(e.events, newExplained(source, fields))
}

// hiddenFields are told in another way, or are the trail's own.
var hiddenFields = []string{"time", "level", "msg", "event", "upload", "seq", "prev", "hash", "source"}

func newExplained(source string, fields map[string]any) explained {
	x := explained{source: source, what: cmp.Or(text(fields["msg"]), text(fields["event"]), "?")}
	x.time, _ = time.Parse(time.RFC3339Nano, text(fields["time"])) // without one it comes first
	if level := text(fields["level"]); level != "INFO" && level != "DEBUG" {
		x.level = level
	}
	for key, value := range fields {
		if v := text(value); v != "" && !slices.Contains(hiddenFields, key) {
			x.fields = append(x.fields, plain(key)+"="+quoted(v))
		}
	}
	slices.SortFunc(x.fields, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
	return x
}

// leading fields come first, in this order.
var leading = []string{"session", "remote", "client", "account", "tenant", "protocol", "method", "name", "stored_as", "verdict", "rule", "offset", "size"}

func rank(field string) int {
	key, _, _ := strings.Cut(field, "=")
	if i := slices.Index(leading, key); i >= 0 {
		return i
	}
	return len(leading)
}

// text is a JSON value as it is printed; nothing for null.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// quoted is safe for a terminal, whoever wrote the log.
func quoted(s string) string {
	if strings.ContainsAny(s, " \"=") || plain(s) != s {
		return strconv.Quote(s)
	}
	return s
}

func plain(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// print writes a line for each event, with the time since the first.
func (e *explanation) print(out io.Writer) error {
	if len(e.events) == 0 {
		return fmt.Errorf("nothing is said of upload %s: %d lines could not be read", quoted(e.upload), e.skipped)
	}
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "upload %s: %d events, %d sessions\n", quoted(e.upload), len(e.events), len(e.sessions))
	start := e.events[0].time
	for _, x := range e.events {
		what := plain(x.what)
		if x.level != "" {
			what = plain(x.level) + " " + what
		}
		fmt.Fprintf(w, "%s %10s  %-5s  %s\n", x.time.UTC().Format("2006-01-02 15:04:05.000Z"), sinceStart(x.time.Sub(start)), x.source, what)
		for _, line := range folded(x.fields, 100) {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
	if e.more > 0 {
		fmt.Fprintf(w, "%d more events are not shown\n", e.more)
	}
	if e.skipped > 0 {
		fmt.Fprintf(w, "%d lines are not JSON or too long and were left out\n", e.skipped)
	}
	return w.Flush()
}

func sinceStart(d time.Duration) string { return "+" + d.Round(time.Millisecond).String() }

// folded puts words on lines of about that width.
func folded(words []string, width int) (lines []string) {
	for _, w := range words {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(w) <= width {
			lines[n-1] += " " + w
		} else {
			lines = append(lines, w)
		}
	}
	return lines
}
