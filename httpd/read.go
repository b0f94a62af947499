package httpd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
)

// item is one name of a listing.
type item struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"` // directory, file, link
	Size    int64     `json:"size"` // bytes; 0 for a directory
	ModTime time.Time `json:"mtime,omitzero"`
}

func itemOf(i fs.FileInfo) item {
	it := item{Name: strings.ToValidUTF8(i.Name(), "\uFFFD"), Type: "file", Size: i.Size(), ModTime: i.ModTime().UTC()}
	switch {
	case i.IsDir():
		it.Type, it.Size = "directory", 0
	case i.Mode()&fs.ModeSymlink != 0:
		it.Type = "link"
	}
	return it
}

// tenants is GET /tenants: what a support account sees at its root.
func tenants(q *request) error { return q.list("/") }

// bundles is GET and HEAD of /bundles/NAME: a listing, or a bundle's content.
func bundles(q *request) error { return q.read("/"+q.PathValue("name"), "application/gzip") }

// contents is GET /inside/TENANT/X.tgz/PATH: a listing, or the content of an entry.
func contents(q *request) error {
	name := q.PathValue("name")
	bundle := bundlePart.FindStringIndex(name)
	if bundle == nil {
		return &problem{Status: http.StatusNotFound, Title: "name a bundle: /inside/TENANT/X.tgz/PATH"}
	}
	at := bundle[0] + len(".tgz")
	return q.read("/"+name[:at]+".d"+name[at:], "application/octet-stream")
}

// bundlePart finds the end of a bundle's name in a path.
var bundlePart = regexp.MustCompile(`(?i)\.tgz(/|$)`)

// receiptType is the content type of receipts.
const receiptType = "application/json"

// receipts is GET /receipts/NAME.tgz.json: a customer's receipts, or with the
// tenant in front, for support.
func receipts(q *request) error {
	name := q.PathValue("name")
	if q.account.Tenant != "" {
		return q.read(path.Join("/receipts", name), receiptType)
	}
	tenant, rel, _ := strings.Cut(name, "/")
	return q.read(path.Join("/", tenant, "receipts", rel), receiptType)
}

// read answers with what the name is: a listing or a content.
func (q *request) read(name, contentType string) error {
	i, err := q.view.Stat(q.Context(), name)
	if err != nil {
		return err
	}
	if i.IsDir() {
		return q.list(name)
	}
	h := q.w.Header()
	if q.Method == http.MethodHead && q.account.Tenant != "" {
		return q.offset(i)
	}
	leave, err := q.seat()
	if err != nil {
		return err
	}
	defer leave()
	f, err := q.view.Open(q.Context(), name)
	if err != nil {
		return err
	}
	defer f.Close()
	if i, err = f.Stat(); err != nil {
		return err
	}
	h.Set("Content-Type", contentType)
	h.Set("ETag", fmt.Sprintf(`"%x-%x"`, i.Size(), i.ModTime().UnixNano()))
	disposition := "attachment"
	if contentType == receiptType {
		disposition = "inline" // a person reads it where he is
	}
	h.Set("Content-Disposition", disposition+"; filename*=UTF-8''"+url.PathEscape(path.Base(name)))
	http.ServeContent(q.out(), q.Request, "", i.ModTime(), io.NewSectionReader(f, 0, i.Size()))
	return nil
}

// offset answers a customer's HEAD: how much of an upload is kept, or how large
// the bundle is. He reads no content.
func (q *request) offset(i fs.FileInfo) error {
	h := q.w.Header()
	n := strconv.FormatInt(i.Size(), 10)
	if vfs.IsUnfinished(i) {
		h.Set("Upload-Offset", n)
		h.Set("Upload-Complete", "?0") // a structured field (RFC 8941)
	} else {
		h.Set("Upload-Complete", "?1")
		h.Set("Content-Length", n)
	}
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// timedWriter is a ResponseWriter at the account's bandwidth, whose peer must take
// every piece in time.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	ctx     context.Context
	pace    *auth.Pace
}

// out is where content is written to.
func (q *request) out() *timedWriter {
	return &timedWriter{q.w, http.NewResponseController(q.w), q.server.cfg.Limits.Stall, q.Context(), q.pace}
}

func (t *timedWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		chunk := t.pace.Chunk(p[n:])
		if err = t.pace.Sent(t.ctx, len(chunk)); err != nil {
			break
		}
		_ = t.control.SetWriteDeadline(time.Now().Add(t.stall)) // a writer without deadlines, as in tests
		var done int
		done, err = t.ResponseWriter.Write(chunk)
		n += done
	}
	return n, err
}

// filter is what the query of a listing asks for.
type filter struct {
	after, pattern string
	since, until   time.Time
	limit          int
}

const (
	defaultPage = 1000
	maxPage     = 10_000
)

// parseFilter reads ?after=NAME&limit=N&name=GLOB&since=TIME&until=TIME.
func parseFilter(v url.Values) (filter, error) {
	f := filter{after: v.Get("after"), pattern: v.Get("name"), limit: defaultPage}
	if _, err := path.Match(f.pattern, ""); err != nil {
		return f, fmt.Errorf("name: %q is no pattern", f.pattern)
	}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return f, fmt.Errorf("limit: want 1 to %d", maxPage)
		}
		f.limit = n
	}
	for key, t := range map[string]*time.Time{"since": &f.since, "until": &f.until} {
		s := v.Get(key)
		if s == "" {
			continue
		}
		var err error
		if *t, err = parseTime(s); err != nil {
			return f, fmt.Errorf("%s: want a time like 2006-01-02T15:04:05Z or a day like 2006-01-02", key)
		}
	}
	return f, nil
}

// parseTime reads a time (RFC 3339), or a day, which begins at midnight UTC.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

// takes reports whether a listing shows i. Directories are shown whatever their
// time: what is in them may fit.
func (f *filter) takes(i fs.FileInfo) bool {
	if i.Name() <= f.after {
		return false
	}
	if f.pattern != "" {
		if ok, _ := path.Match(f.pattern, i.Name()); !ok {
			return false
		}
	}
	if i.IsDir() {
		return true
	}
	t := i.ModTime()
	return (f.since.IsZero() || !t.Before(f.since)) && (f.until.IsZero() || t.Before(f.until))
}

// page is a listing, or the first part of it.
type page struct {
	Entries []item `json:"entries"`
	// Next is the query parameter after for the rest; empty: this is all.
	Next string `json:"next,omitempty"`
}

// list answers with what is in a directory, or in that of a case in it.
func (q *request) list(dir string) error {
	f, err := parseFilter(q.URL.Query())
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: err.Error()}
	}
	if c := q.URL.Query().Get("case"); c != "" {
		if strings.Contains(c, "/") {
			return &problem{Status: http.StatusBadRequest, Title: "case: it is one name"}
		}
		dir = path.Join(dir, c)
	}
	out := page{Entries: []item{}}
	for i, err := range q.view.List(q.Context(), dir) {
		if err != nil {
			return err
		}
		if !f.takes(i) {
			continue
		}
		if len(out.Entries) == f.limit {
			out.Next = out.Entries[f.limit-1].Name
			break
		}
		out.Entries = append(out.Entries, itemOf(i))
	}
	q.w.Header().Set("Content-Type", "application/json")
	return ignore(json.NewEncoder(q.w).Encode(out))
}
