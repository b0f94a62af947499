package httpd

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bundleup/auth"
	"bundleup/vfs"
)

func nothing(*auth.Account, vfs.Peer) (vfs.View, error) { panic("the view is not asked for") }

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func mustRequest(t *testing.T, method, path string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), method, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names are those of a listing.
func names(w *world, a answer) string {
	w.Helper()
	var list []string
	for _, e := range decode[page](w, a.text).Entries {
		list = append(list, e.Name)
	}
	return strings.Join(list, " ")
}

func TestSupportReads(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 50_000, 1)
	for _, name := range []string{"a.tgz", "b.tgz", "c.tgz"} {
		w.want("put", w.do("acme", "PUT", "/bundles/"+name, bytes.NewReader(b)), 201)
	}
	w.equal("tenants", names(w, w.do("desk", "GET", "/tenants", nil)), "acme globex")
	w.equal("bundles", names(w, w.do("desk", "GET", "/bundles/acme", nil)), "a.tgz b.tgz c.tgz")
	w.equal("pattern", names(w, w.do("desk", "GET", "/bundles/acme?name=[bc].tgz", nil)), "b.tgz c.tgz")
	w.equal("none so new", names(w, w.do("desk", "GET", "/bundles/acme?since=2999-01-01T00:00:00Z", nil)), "")
	w.equal("all that old", names(w, w.do("desk", "GET", "/bundles/acme?until=2999-01-01T00:00:00Z", nil)), "a.tgz b.tgz c.tgz")

	w.equal("since a day", names(w, w.do("desk", "GET", "/bundles/acme?since=2001-01-01", nil)), "a.tgz b.tgz c.tgz")
	w.want("no such case", w.do("desk", "GET", "/bundles/acme?case=8423", nil), 404)
	if view, err := w.tree.View(w.auth["acme"], vfs.Peer{}); err != nil || view.Mkdir(t.Context(), "/8423") != nil {
		t.Fatal("the case has no directory")
	}
	w.want("put", w.do("acme", "PUT", "/bundles/8423/of-case.tgz", bytes.NewReader(b)), 201)
	w.equal("case", names(w, w.do("desk", "GET", "/bundles/acme?case=8423", nil)), "of-case.tgz")
	w.want("a case is no way out", w.do("desk", "GET", "/bundles/acme?case=../globex", nil), 400)

	first := w.do("desk", "GET", "/bundles/acme?limit=2&name=*.tgz", nil)
	w.equal("first page", names(w, first), "a.tgz b.tgz")
	next := decode[page](w, first.text).Next
	w.equal("next page", names(w, w.do("desk", "GET", "/bundles/acme?limit=2&name=*.tgz&after="+next, nil)), "c.tgz")
	w.equal("next", next, "b.tgz")

	got := w.do("desk", "GET", "/bundles/acme/a.tgz", nil)
	w.want("content", got, 200)
	w.equal("same bytes", got.text == string(b), true)
	part := w.do("desk", "GET", "/bundles/acme/a.tgz", nil, "Range", "bytes=100-199")
	w.want("range", part, 206)
	w.equal("its bytes", part.text == string(b[100:200]), true)
	w.want("not modified", w.do("desk", "GET", "/bundles/acme/a.tgz", nil, "If-None-Match", got.Header.Get("ETag")), 304)
	etag := got.Header.Get("ETag")
	w.want("the same still", w.do("desk", "GET", "/bundles/acme/a.tgz", nil, "Range", "bytes=100-199", "If-Range", etag), 206)
	w.want("another one by now", w.do("desk", "GET", "/bundles/acme/a.tgz", nil, "Range", "bytes=100-199", "If-Range", `"other"`), 200)
	w.want("beyond", w.do("desk", "GET", "/bundles/acme/a.tgz", nil, "Range", "bytes=99999999-"), 416)
	w.want("receipt", w.do("desk", "GET", "/receipts/acme/a.tgz.json", nil), 200, `"verdict": "accepted"`)
	w.equal("receipts", names(w, w.do("desk", "GET", "/receipts/acme", nil)), "8423 a.tgz.json b.tgz.json c.tgz.json")

	for _, bad := range []string{"limit=0", "limit=x", "limit=99999999", "name=[", "since=today"} {
		w.want(bad, w.do("desk", "GET", "/bundles/acme?"+bad, nil), 400)
	}
	w.want("no tenant", w.do("desk", "GET", "/bundles/nobody", nil), 404)
	w.want("no bundle", w.do("desk", "GET", "/inside/acme/a.txt", nil), 404)
}

func TestCustomerReadsHisOwnOnly(t *testing.T) {
	w := newWorld(t)
	w.want("put", w.do("acme", "PUT", "/bundles/a.tgz", bytes.NewReader(tgz(t, 100, 1))), 201)
	w.equal("own", names(w, w.do("acme", "GET", "/bundles/", nil)), "a.tgz receipts")
	w.want("no content", w.do("acme", "GET", "/bundles/a.tgz", nil), 403, "not read back")
	w.want("another tenant's", w.do("globex", "GET", "/receipts/a.tgz.json", nil), 404)
	w.want("another tenant", w.do("globex", "GET", "/bundles/acme/a.tgz", nil), 404)
	w.want("out of the area", w.do("globex", "GET", "/receipts/..%2f..%2facme/a.tgz.json", nil), 404)
	wrong := w.do("", "GET", "/bundles/", nil, "Authorization", "Basic YWNtZTp3cm9uZw==")
	w.want("wrong secret", wrong, 401)
	w.equal("asks", strings.HasPrefix(wrong.Header.Get("WWW-Authenticate"), "Basic"), true)
	w.want("bearer", w.do("", "GET", "/bundles/", nil, "Authorization", "Bearer acme:"+secret), 200)
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/tenants", "/openapi.json", "/nowhere"} {
		h := w.do("desk", "GET", path, nil).Header
		for key, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			w.equal(path+" "+key, h.Get(key), want)
		}
		w.equal("no cors", h.Get("Access-Control-Allow-Origin"), "")
	}
}

// TestOpenAPIDescribesTheRoutes holds the document and the routes against each
// other.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	w := newWorld(t)
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(w.do("", "GET", "/openapi.json", nil).text), &doc); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for path, methods := range doc.Paths {
		for m := range methods {
			if m != "parameters" {
				documented[strings.ToUpper(m)+" "+path] = true
			}
		}
	}
	served := map[string]bool{"HEAD /bundles/{name}": true}
	for pattern := range routes {
		pattern = strings.NewReplacer("{name...}", "{name}", "/tus/{$}", "/tus/", "/bundles/{$}", "/bundles").Replace(pattern)
		served[pattern] = true
	}
	for p := range served {
		if !documented[p] {
			t.Errorf("%s is served and not described", p)
		}
	}
	for p := range documented {
		if !served[p] {
			t.Errorf("%s is described and not served", p)
		}
	}
}

func TestPanicEndsOneRequest(t *testing.T) {
	s, err := New(Config{View: nothing, Auth: fakeAuth{"desk": {Name: "desk", Role: auth.Support}}})
	if err != nil {
		t.Fatal(err)
	}
	r := mustRequest(t, "GET", "/tenants")
	r.SetBasicAuth("desk", secret)
	rec := newRecorder()
	s.Handler().ServeHTTP(rec, r)
	if rec.Code != http.StatusInternalServerError || !strings.Contains(rec.Body.String(), internalText) {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
}
