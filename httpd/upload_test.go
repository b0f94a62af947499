package httpd

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bundleup/vfs"
)

func TestPut(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 700_000, 1)
	a := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b))
	w.want("put", a, 201, `"verdict": "accepted"`, `"protocol": "http"`)
	w.equal("location", a.Header.Get("Location"), "/bundles/diag.tgz")
	r := decode[vfs.Receipt](w, a.text)
	w.equal("size", r.Size, int64(len(b)))
	w.equal("entries", r.Entries, int64(1))

	again := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b))
	w.want("again", again, 200, r.ID)
	other := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(tgz(t, 10, 2)))
	w.want("other bytes", other, 201, `"stored_as": "diag~2.tgz"`)
	w.equal("notice", strings.Contains(other.Header.Get("X-Notice"), "kept beside it as diag~2.tgz"), true)

	w.want("name", w.do("acme", "PUT", "/bundles/diag.tar.gz", bytes.NewReader(b)), 400, "put diag.tar.gz diag.tgz")
	w.want("no directory", w.do("acme", "PUT", "/bundles/case/diag.tgz", bytes.NewReader(b)), 404)
	w.want("support", w.do("desk", "PUT", "/bundles/acme/diag.tgz", bytes.NewReader(b)), 403)
	w.want("nobody", w.do("none", "PUT", "/bundles/diag.tgz", bytes.NewReader(b)), 403)
	w.want("no login", w.do("", "PUT", "/bundles/diag.tgz", bytes.NewReader(b)), 401)
}

func TestRefusalIsAnsweredWhenItShows(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 1<<20, 1)
	b[len(b)/2] ^= 0xff
	body := &endless{head: b}
	a := w.do("acme", "PUT", "/bundles/diag.tgz", body)
	w.want("damaged", a, 422, `"rule":"`, "refused at byte")
	if body.n.Load() > 256<<20 {
		t.Errorf("%d bytes were taken before the answer", body.n.Load())
	}
	p := decode[problem](w, a.text)
	if p.Rejection == nil || p.Rejection.Offset == 0 || p.Rejection.Mend == "" {
		t.Errorf("rejection: %+v", p.Rejection)
	}
	w.want("receipt", w.do("acme", "GET", "/receipts/diag.tgz.json", nil), 200, `"verdict": "refused"`)
	w.want("nothing is there", w.do("acme", "HEAD", "/bundles/diag.tgz", nil), 404)
}

func TestPutInParts(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 500_000, 1)
	size := len(b)
	span := func(from, to int, total string) []string {
		return []string{"Content-Range", fmt.Sprintf("bytes %d-%d/%s", from, to-1, total)}
	}
	total := fmt.Sprint(size)
	a := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b[:1000]), span(0, 1000, total)...)
	w.want("first part", a, 202)
	w.equal("offset", a.Header.Get("Upload-Offset"), "1000")
	head := w.do("acme", "HEAD", "/bundles/diag.tgz", nil)
	w.equal("kept", head.Header.Get("Upload-Offset")+" "+head.Header.Get("Upload-Complete"), "1000 ?0")

	gap := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b[2000:3000]), span(2000, 3000, total)...)
	w.want("a gap", gap, 409, "1,000 bytes are kept")
	w.equal("a gap", gap.Header.Get("Upload-Offset"), "1000")

	w.want("unknown size", w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b[1000:2000]), span(1000, 2000, "*")...), 202)
	last := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b[2000:]), span(2000, size, total)...)
	w.want("last part", last, 201, `"resumes": 2`)
	head = w.do("acme", "HEAD", "/bundles/diag.tgz", nil)
	w.equal("complete", head.Header.Get("Content-Length")+" "+head.Header.Get("Upload-Complete"), total+" ?1")

	for _, bad := range []string{"bytes 5-1/10", "bytes 0-9/5", "bytes -1/5", "0-9/10", "bytes 0-x/10", "bytes 0-7/10"} {
		w.want(bad, w.do("acme", "PUT", "/bundles/x.tgz", bytes.NewReader(b[:10]), "Content-Range", bad), 400, "Content-Range")
	}
}

// TestCutBodyIsKept cuts the connection in the middle.
func TestCutBodyIsKept(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 300_000, 1)
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "PUT /bundles/diag.tgz HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWNtZTpjb3JyZWN0IGhvcnNl\r\nContent-Length: %d\r\n\r\n", len(b))
	if _, err := c.Write(b[:100_000]); err != nil {
		t.Fatal(err)
	}
	c.Close()
	kept := ""
	for kept != "100000 ?0" { // the server reads in its own time; the test's deadline is the bound
		if t.Context().Err() != nil {
			t.Fatal("the bytes are not kept")
		}
		h := w.do("acme", "HEAD", "/bundles/diag.tgz", nil).Header
		kept = h.Get("Upload-Offset") + " " + h.Get("Upload-Complete")
		time.Sleep(time.Millisecond)
	}
	// A new PUT takes over although the server may not know that the old one is gone.
	a := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b[100_000:]), "Content-Range", fmt.Sprintf("bytes 100000-%d/%d", len(b)-1, len(b)))
	w.want("the rest", a, 201, `"resumes": 1`)
}

func TestTruncatedBundleIsKept(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 300_000, 1)
	a := w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(b[:1000]))
	w.want("truncated", a, 422, "1,000 bytes are kept", `"rule":"truncated"`)
	w.equal("offset", a.Header.Get("Upload-Offset"), "1000")
	w.want("forget it", w.do("acme", "DELETE", "/bundles/diag.tgz", nil), 204)
	w.want("gone", w.do("acme", "HEAD", "/bundles/diag.tgz", nil), 404)
	w.want("again", w.do("acme", "DELETE", "/bundles/diag.tgz", nil), 404)
}

func TestForm(t *testing.T) {
	w := newWorld(t)
	send := func(field, file string, content []byte) answer {
		var buf bytes.Buffer
		form := multipart.NewWriter(&buf)
		form.WriteField("case", "8423")
		part, err := form.CreateFormFile(field, file)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(content)
		form.Close()
		return w.do("acme", "POST", "/bundles", &buf, "Content-Type", form.FormDataContentType())
	}
	b := tgz(t, 3000, 1)
	w.want("form", send("file", `C:\logs\diag.tgz`, b), 201, `"stored_as": "diag.tgz"`)
	w.want("sos", send("file", "sosreport-web1-2026.tar.gz", b), 201, `"stored_as": "sosreport-web1-2026.tgz"`)
	w.want("as Windows writes it", send("file", "DIAG.TAR.GZ", b), 201, `"stored_as": "DIAG.tgz"`)
	w.want("junk", send("file", "junk.tgz", []byte("no bundle at all, whatever")), 422)
	w.want("other field", send("upload", "diag.tgz", b), 400, "no field file")
	w.want("no form", w.do("acme", "POST", "/bundles", bytes.NewReader(b)), 400)
}

func TestTus(t *testing.T) {
	w := newWorld(t)
	b := tgz(t, 400_000, 1)
	tus := func(method, path string, body []byte, header ...string) answer {
		var r io.Reader
		if body != nil {
			r = bytes.NewReader(body)
		}
		return w.do("acme", method, path, r, append([]string{"Tus-Resumable", "1.0.0"}, header...)...)
	}
	patch := func(url string, off int, p []byte) answer {
		return tus("PATCH", url, p, "Content-Type", tusType, "Upload-Offset", fmt.Sprint(off))
	}
	w.equal("options", w.do("", "OPTIONS", "/tus/", nil).Header.Get("Tus-Extension"), "creation,termination")
	w.want("version", w.do("acme", "POST", "/tus/", nil), 412)

	a := tus("POST", "/tus/", nil, "Upload-Length", fmt.Sprint(len(b)), "Upload-Metadata", "filetype eA==,filename ZGlhZy50Z3o=")
	w.want("create", a, 201)
	url := a.Header.Get("Location")
	w.equal("location", url, fmt.Sprintf("/tus/%d/diag.tgz", len(b)))
	w.equal("nothing came", tus("HEAD", url, nil).Header.Get("Upload-Offset"), "0")
	w.want("first", patch(url, 0, b[:1000]), 204)
	w.equal("kept", tus("HEAD", url, nil).Header.Get("Upload-Offset"), "1000")
	w.want("a gap", patch(url, 5000, b[5000:6000]), 409)
	a = patch(url, 1000, b[1000:])
	w.want("last", a, 204)
	w.equal("all", a.Header.Get("Upload-Offset"), fmt.Sprint(len(b)))
	w.equal("done", tus("HEAD", url, nil).Header.Get("Upload-Offset"), fmt.Sprint(len(b)))
	w.want("receipt", w.do("acme", "GET", "/receipts/diag.tgz.json", nil), 200, `"verdict": "accepted"`)

	// A stream that is all there and no bundle must not look complete.
	url = "/tus/1000/cut.tgz"
	w.want("cut", patch(url, 0, b[:1000]), 422, "1,000 bytes are kept")
	w.equal("cut is not complete", tus("HEAD", url, nil).Header.Get("Upload-Offset"), "0")
	w.want("too much", patch(url, 500, b[:1000]), 413)
	w.want("terminate", tus("DELETE", url, nil), 204)
	w.want("terminate again", tus("DELETE", url, nil), 204)

	w.want("junk", patch("/tus/9000/junk.tgz", 0, bytes.Repeat([]byte("x"), 5000)), 422)
	w.want("bad name", tus("POST", "/tus/", nil, "Upload-Length", "5", "Upload-Metadata", "filename YS5leGU="), 400)
	w.want("no name", tus("POST", "/tus/", nil, "Upload-Length", "5"), 400)
	w.want("no length", tus("POST", "/tus/", nil, "Upload-Metadata", "filename ZGlhZy50Z3o="), 400)
	w.want("type", tus("PATCH", url, b[:5], "Upload-Offset", "0"), 415)
}

func TestBusyServerSaysSo(t *testing.T) {
	w := newWorld(t)
	s, err := New(Config{View: nothing, Auth: fakeAuth{}, Limits: Limits{Requests: 1}})
	if err != nil {
		t.Fatal(err)
	}
	s.turns <- struct{}{}
	rec := newRecorder()
	s.Handler().ServeHTTP(rec, mustRequest(t, "GET", "/tenants"))
	w.equal("busy", rec.Code, http.StatusServiceUnavailable)
	w.equal("when to come back", rec.Header().Get("Retry-After"), "5")
	<-s.turns
	rec = newRecorder()
	s.Handler().ServeHTTP(rec, mustRequest(t, "GET", "/tenants"))
	w.equal("free again", rec.Code, http.StatusUnauthorized)
}

// TestBodiesThatDoNotCome: who announces a body and sends none gets an answer, and
// holds neither a turn nor, for long, a connection.
func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(c *Config) { c.Limits = Limits{Header: 50 * time.Millisecond, Stall: 50 * time.Millisecond} })
	const login = "Authorization: Basic YWNtZTpjb3JyZWN0IGhvcnNl\r\n"
	for request, want := range map[string]string{
		"PUT /bundles/a.tgz HTTP/1.1\r\n":                                             "HTTP/1.1 401",
		"PUT /bundles/a.tgz HTTP/1.1\r\n" + login:                                     "HTTP/1.1 408",
		"POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n": "HTTP/1.1 400",
		"POST /nowhere HTTP/1.1\r\n":                                                  "HTTP/1.1 404",
		"PUT /bundles/a.zip HTTP/1.1\r\n" + login:                                     "HTTP/1.1 400",
		"GET /tenants HTTP/1.1\r\n" + login:                                           "HTTP/1.1 200",
		"PUT /bundles/b.zip HTTP/1.1\r\n" + login + expecting:                         "HTTP/1.1 400",
	} {
		t.Run(want+" "+request, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(c, "%sHost: x\r\nContent-Length: 1000000\r\n\r\n", request)
			answer, err := io.ReadAll(c) // until the server hangs up
			if err != nil || !strings.HasPrefix(string(answer), want) {
				t.Errorf("got %.100q, %v, want %s", answer, err, want)
			}
		})
	}
}

const expecting = "Expect: 100-continue\r\n"

// TestAnswerOvertakesTheBody: over HTTP/1 and 2 a client that is busy sending finds
// the answer, whoever it is.
func TestAnswerOvertakesTheBody(t *testing.T) {
	w := newWorld(t)
	for name, path := range map[string]string{"no login": "/bundles/a.tgz", "a bad name": "/bundles/a.zip"} {
		for _, header := range [][]string{nil, {"Expect", "100-continue"}} {
			account := map[bool]string{true: "acme"}[name != "no login"]
			a := w.do(account, "PUT", path, &endless{head: []byte("x")}, header...)
			w.equal(name, a.StatusCode >= 400 && a.StatusCode < 402 && strings.Contains(a.text, "title"), true)
		}
	}
}
