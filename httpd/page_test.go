package httpd

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"bundleup/auth"
)

// browser is a client with a cookie jar.
type browser struct {
	*world
	client *http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &browser{w, &http.Client{Jar: jar}}
}

func (b *browser) send(method, path string, body io.Reader, header ...string) answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+path, body)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer{resp, string(text)}
}

func (b *browser) logIn(user, password string) answer {
	b.Helper()
	form := url.Values{"user": {user}, "secret": {password}}
	return b.send("POST", "/login", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

func TestCustomerPage(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.want("no session", b.send("GET", "/", nil), 200, `action="/login"`)
	w.want("wrong secret", b.logIn("acme", "wrong"), 403, "Name or secret is wrong.")
	w.want("no such name", b.logIn("nobody", secret), 403, "Name or secret is wrong.")
	w.want("login", b.logIn("acme", secret), 200, "Send a diagnostic bundle", "Nothing yet.")

	w.want("put", w.do("acme", "PUT", "/bundles/diag.tgz", bytes.NewReader(tgz(t, 5000, 1))), 201)
	w.want("junk", w.do("acme", "PUT", "/bundles/junk.tgz", bytes.NewReader(bytes.Repeat([]byte("<b>x"), 999))), 422)
	w.want("cut", w.do("acme", "PUT", "/bundles/cut.tgz", bytes.NewReader(tgz(t, 5000, 1)[:2048])), 422)
	w.want("what was sent", b.send("GET", "/", nil), 200, "diag.tgz", "accepted", "rule format", "2.0 KiB kept", "not finished", `href="/receipts/diag.tgz.json"`, `data-forget="/bundles/cut.tgz"`)
	w.want("receipt by session", b.send("GET", "/receipts/diag.tgz.json", nil), 200, `"verdict": "accepted"`)
	w.want("not for him", b.send("GET", "/arrivals", nil), 403)

	w.want("logout", b.send("POST", "/logout", nil), 200, `action="/login"`)
	w.want("after it", b.send("GET", "/receipts/diag.tgz.json", nil), 401)
}

func TestSupportPage(t *testing.T) {
	w := newWorld(t)
	w.want("put", w.do("acme", "PUT", "/bundles/it's.tgz", bytes.NewReader(tgz(t, 5000, 1))), 201)
	b := w.browser()
	w.want("login", b.logIn("desk", secret), 200, `href="/ui/acme"`, `href="/ui/globex"`)
	w.want("tenant", b.send("GET", "/ui/acme", nil), 200, "it&#39;s.tgz", `href="/bundles/acme/it%27s.tgz"`, `href="/ui/acme/it%27s.tgz.d"`,
		"sftp -P 2222 desk@127.0.0.1:/acme", `href="/ui/acme/receipts"`)
	w.want("receipts", b.send("GET", "/ui/acme/receipts", nil), 200, "it&#39;s.tgz.json")
	w.want("a receipt", b.send("GET", "/ui/acme/receipts/it's.tgz.json", nil), 200, `data-url="/receipts/acme/it%27s.tgz.json"`,
		`sftp -P 2222 &#39;desk@127.0.0.1:/acme/receipts/it\&#39;\&#39;&#39;s.tgz.json&#39;`)
	w.want("nothing", b.send("GET", "/ui/nobody", nil), 404)
	w.want("script", b.send("GET", "/static/app.js", nil), 200, "uploads()")
	w.want("style", b.send("GET", "/static/app.css", nil), 200, "color-scheme")
	w.want("no template", b.send("GET", "/static/page.html", nil), 404)
}

// TestSessionsEndWithTheirReason changes what a session rests on.
func TestSessionsEndWithTheirReason(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.want("login", b.logIn("acme", secret), 200, "Send a diagnostic bundle")
	cookie := b.client.Jar.Cookies(mustURL(t, w.url))[0]
	w.want("session", b.send("GET", "/bundles/", nil), 200)

	forged := w.browser()
	flipped := []byte(cookie.Value)
	flipped[len(flipped)/2] ^= 1
	forged.client.Jar.SetCookies(mustURL(t, w.url), []*http.Cookie{{Name: cookie.Name, Value: string(flipped)}})
	w.want("forged", forged.send("GET", "/bundles/", nil), 401)

	disabled := *w.auth["acme"]
	disabled.Disabled = true
	enabled := w.auth["acme"]
	w.auth["acme"] = &disabled
	w.want("disabled", b.send("GET", "/bundles/", nil), 401)
	w.auth["acme"] = enabled
	w.want("enabled again", b.send("GET", "/bundles/", nil), 200)

	changed := *w.auth["acme"]
	changed.Password = "another hash"
	w.auth["acme"] = &changed
	w.want("new password", b.send("GET", "/bundles/", nil), 401)
	delete(w.auth, "acme")
	w.want("account gone", b.send("GET", "/bundles/", nil), 401)
}

func mustURL(t *testing.T, s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSessionOfATokenAndItsTime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := fakeAuth{"acme+1": {Name: "acme+1", Token: auth.TokenID{1}}}
	s, err := New(Config{View: nothing, Auth: a, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	if err := s.begin(rec, "acme+1", secret, a["acme+1"]); err != nil {
		t.Fatal(err)
	}
	r := mustRequest(t, "GET", "/")
	cookie := rec.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, secret) {
		t.Errorf("cookie: %v", cookie)
	}
	r.AddCookie(cookie)
	if got, err := s.resumed(r); err != nil || got.Name != "acme+1" {
		t.Errorf("session: got %v, %v", got, err)
	}
	now = now.Add(sessionTime)
	if _, err := s.resumed(r); err == nil {
		t.Error("the session lasts for ever")
	}
	now = now.Add(-time.Hour)
	delete(a, "acme+1") // revoked
	if _, err := s.resumed(r); err == nil {
		t.Error("the session of a revoked token goes on")
	}
}

func TestAnotherSiteCannotUseASession(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.logIn("acme", secret)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		w.want(header[0], b.send("PUT", "/bundles/a.tgz", bytes.NewReader(tgz(t, 10, 1)), header...), 403)
	}
	w.want("same site", b.send("PUT", "/bundles/a.tgz", bytes.NewReader(tgz(t, 10, 1)), "Sec-Fetch-Site", "same-origin"), 201)
}

func TestArrivals(t *testing.T) {
	w := newWorld(t)
	w.want("before", w.do("acme", "PUT", "/bundles/before.tgz", bytes.NewReader(tgz(t, 10, 1))), 201)
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/arrivals", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("desk", secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() string {
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return text
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return ""
	}
	w.equal("what was there", decode[arrival](w, next()).Name, "before.tgz")
	w.want("junk", w.do("acme", "PUT", "/bundles/junk.tgz", bytes.NewReader(bytes.Repeat([]byte("junk"), 999))), 422)
	got := decode[arrival](w, next())
	w.equal("what came", got.Name+" "+got.Verdict+" "+got.Tenant, "junk.tgz refused acme")
}

func TestShellQuoted(t *testing.T) {
	for in, want := range map[string]string{"desk@h:/a.tgz": "desk@h:/a.tgz", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "ü": "'ü'"} {
		if got := shellQuoted(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// packed is a sound bundle of two files.
func packed(t *testing.T) []byte {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	for name, text := range map[string]string{"var/log/messages": "all is well\nsomething BROKE here\n", "etc/<b>.conf": "broke = no\n"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestSupportLooksInside(t *testing.T) {
	w := newWorld(t)
	w.want("put", w.do("acme", "PUT", "/bundles/a.tgz", bytes.NewReader(packed(t))), 201)
	b := w.browser()
	b.logIn("desk", secret)
	w.want("top", b.send("GET", "/ui/acme/a.tgz.d", nil), 200, `href="/ui/acme/a.tgz.d/var"`, `data-url="/search/acme/a.tgz.d"`, `data-url="/biggest/acme/a.tgz"`, "Upload ID")
	w.want("weird name", b.send("GET", "/ui/acme/a.tgz.d/etc", nil), 200, "&lt;b&gt;.conf", `href="/inside/acme/a.tgz/etc/%3Cb%3E.conf"`)
	w.want("file", b.send("GET", "/ui/acme/a.tgz.d/var/log/messages", nil), 200, `data-url="/inside/acme/a.tgz/var/log/messages" data-size="33"`)
	w.want("its bytes", b.send("GET", "/inside/acme/a.tgz/var/log/messages", nil, "Range", "bytes=4-5"), 206, "is")
	w.want("listing", b.send("GET", "/inside/acme/a.tgz/var/log", nil), 200, `"name":"messages"`)

	found := b.send("GET", "/search/acme/a.tgz.d?q=BROK.", nil)
	w.want("search", found, 200, "var/log/messages:2:something BROKE here")
	w.equal("case counts", strings.Contains(found.text, "broke = no"), false)
	w.want("any case", b.send("GET", "/search/acme/a.tgz.d?q=bro&i=1", nil), 200, "broke = no", "BROKE")
	w.want("a text", b.send("GET", "/search/acme/a.tgz.d?q=bro.&F=1", nil), 200)
	w.want("a bad pattern", b.send("GET", "/search/acme/a.tgz.d?q=%28", nil), 200, "missing closing )")
	w.want("no pattern", b.send("GET", "/search/acme/a.tgz.d", nil), 400)
	w.want("nothing there", b.send("GET", "/search/acme/none.tgz?q=x", nil), 404)
	w.want("an option is a pattern", b.send("GET", "/search/acme/a.tgz.d?q=-r", nil), 200)
	w.want("about", b.send("GET", "/about/acme/a.tgz", nil), 200, "/acme/a.tgz", "messages")
	w.want("by offset", b.send("GET", "/search/acme/a.tgz.d?q=BROKE&b=1", nil), 200, "var/log/messages:2:12:something BROKE here")
	w.want("biggest", b.send("GET", "/biggest/acme/a.tgz", nil), 200, `[{"name":"var/log/messages","type":"file","size":33},{"name":"etc/\u003cb\u003e.conf","type":"file","size":11}]`)
	w.want("biggest of nothing", b.send("GET", "/biggest/acme/none.tgz", nil), 404)
	w.want("biggest is not for customers", w.do("acme", "GET", "/biggest/a.tgz", nil), 403)
	w.want("not for customers", w.do("acme", "GET", "/search/a.tgz.d?q=x", nil), 403)
}
