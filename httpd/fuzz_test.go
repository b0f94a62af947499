package httpd

import (
	"encoding/base64"
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzHeaders reads anything as what a request says of its bytes and their name:
// what is accepted is a range that lies in its file, and a name without a way up.
func FuzzHeaders(f *testing.F) {
	name := base64.StdEncoding.EncodeToString([]byte("8423/diag.tgz"))
	for _, s := range []string{"", "bytes 0-9/10", "bytes 5-9/*", "bytes 0-9223372036854775807/*", "bytes */10", "bytes 9-0/10"} {
		f.Add(s, int64(10), "filename "+name+",filetype YQ==", "after=a&limit=10&name=*.tgz&since=2006-01-02T15:04:05Z")
	}
	f.Add("bytes 0-0/1", int64(-1), "filename Li4vLi4veA==", "name=[")
	f.Fuzz(func(t *testing.T, span string, length int64, metadata, query string) {
		if p, err := parseRange(span, length); err == nil && (p.from < 0 || span == "" && !p.last) {
			t.Errorf("Content-Range %q: %+v", span, p)
		}
		if name, err := tusName(metadata); err == nil && (path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../")) {
			t.Errorf("Upload-Metadata %q: the name is %q", metadata, name)
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if list, err := parseFilter(values); err == nil && (list.limit < 1 || list.limit > maxPage) {
			t.Errorf("query %q: %d entries", query, list.limit)
		}
	})
}
