package httpd

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"bundleup/auth"
	"bundleup/vfs/inside"
)

// maxOutput bounds what one command writes for the page, in bytes: a person reads
// it.
const maxOutput = 16 << 20

// search is GET /search/PATH?q=REGEXP&i=1&F=1&b=1 for support: what grep finds in a
// bundle, a directory in it, or a whole tenant, as text, while it is being found. A
// bundle is searched inside. A line says file, line number and, with b, the byte it
// begins at.
func search(q *request) error {
	pattern := q.URL.Query().Get("q")
	if pattern == "" {
		return &problem{Status: http.StatusBadRequest, Title: "q is needed: what to search for, a regular expression (RE2)"}
	}
	args := []string{"-n", "-H"}
	for _, flag := range []string{"i", "F", "b"} {
		if q.URL.Query().Get(flag) != "" {
			args = append(args, "-"+flag)
		}
	}
	return q.command("grep", append(args, "--", pattern, "/"+q.PathValue("name"))...)
}

// about is GET /about/TENANT/X.tgz for support: the receipt in short, what is at
// the top, and the biggest files.
func about(q *request) error { return q.command("info", "--", "/"+q.PathValue("name")) }

// maxBiggest is how many files biggest lists.
const maxBiggest = 20

// biggest is GET /biggest/TENANT/X.tgz for support: the biggest files inside.
func biggest(q *request) error {
	if q.account.Role != auth.Support {
		return errOnlySupport
	}
	list, err := inside.Biggest(q.Context(), q.view, "/"+q.PathValue("name"), maxBiggest)
	if err != nil {
		return err
	}
	out := page{Entries: []item{}}
	for _, f := range list {
		out.Entries = append(out.Entries, item{Name: strings.ToValidUTF8(f.Name, "\uFFFD"), Type: "file", Size: f.Size})
	}
	q.w.Header().Set("Content-Type", "application/json")
	return ignore(json.NewEncoder(q.w).Encode(out))
}

// errOnlySupport refuses customers.
var errOnlySupport = &problem{Status: http.StatusForbidden, Title: "only support looks into bundles"}

// command answers with what a command writes. What it complains of follows, for
// the status was sent before.
func (q *request) command(name string, args ...string) error {
	if q.account.Role != auth.Support {
		return errOnlySupport
	}
	target := args[len(args)-1]
	if _, err := q.view.Stat(q.Context(), target); err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &flushed{*q.out()}
	var complaints strings.Builder
	// Its status would say what the text says.
	_ = q.server.commands.Run(q.Context(), q.view, inside.IO{Out: out, Err: &bounded{&complaints, maxComplaints}}, name, args)
	_, _ = io.WriteString(out, complaints.String()) // the peer has gone
	return nil
}

// maxComplaints bounds what is kept of a command's complaints, in bytes.
const maxComplaints = 64 << 10

// flushed shows every write at once.
type flushed struct{ timedWriter }

func (f *flushed) Write(p []byte) (int, error) {
	n, err := f.timedWriter.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// bounded forgets what is too much.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	if _, err := b.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
