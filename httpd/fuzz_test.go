package httpd

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
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

// FuzzRequest sends any path with any headers to a whole server, as a customer:
// nothing fails inside, and nothing of another tenant's is in the answer.
func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	const theirs = "of-globex.tgz"
	w.want("put", w.do("globex", "PUT", "/bundles/"+theirs, bytes.NewReader(tgz(f, 100, 1))), 201)
	for _, s := range [][2]string{
		{"PUT", "/bundles/a.tgz"}, {"POST", "/bundles?dir=/x"}, {"GET", "/bundles/../globex/"}, {"GET", "/bundles/%2e%2e/globex/" + theirs},
		{"GET", "/receipts/" + theirs + ".json"}, {"GET", "/inside/globex/" + theirs + "/"}, {"HEAD", "/tus/9/a.tgz"},
		{"PATCH", "/tus/9/a.tgz"}, {"DELETE", "/tus/1//a.tgz"}, {"GET", "/ui/a//b"}, {"GET", "/search/x.tgz?q=("}, {"GET", "/about/%00"},
	} {
		f.Add(s[0], s[1], "bytes 0-2/9", "filename YQ==", "3", []byte("abc"))
	}
	f.Fuzz(func(t *testing.T, method, target, span, metadata, offset string, body []byte) {
		u, err := url.Parse(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(u.Path, "/arrivals") {
			return
		}
		r := httptest.NewRequest("GET", "/", bytes.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, u, target
		r.SetBasicAuth("acme", secret)
		for key, value := range map[string]string{"Content-Range": span, "Upload-Metadata": metadata, "Upload-Offset": offset,
			"Upload-Length": offset, "Tus-Resumable": tusVersion, "Content-Type": tusType} {
			r.Header.Set(key, value)
		}
		a := httptest.NewRecorder()
		w.handler.ServeHTTP(a, r)
		if a.Code == http.StatusInternalServerError {
			t.Errorf("%s %q: %d %s", method, target, a.Code, a.Body)
		}
		if !strings.Contains(target+metadata, "globex") && strings.Contains(a.Body.String(), "globex") {
			t.Errorf("%s %q: %s", method, target, a.Body)
		}
	})
}
