package httpd

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bundleup/auth"
)

// slow is a server whose patience ends at once.
func slow(t *testing.T) (addr string) {
	w := newWorld(t)
	s, err := New(Config{
		View: w.tree.View, Auth: fakeAuth{"acme": {Name: "acme", Role: auth.Customer, Tenant: "acme"}},
		Limits: Limits{Header: 200 * time.Millisecond, Stall: 200 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	return h.Listener.Addr().String()
}

// Whoever begins a body and sends no more must not keep a turn, wherever it is
// read: before a login, in a form in front of the file, or by nobody.
func TestBodiesThatStopGiveTheirTurnsBack(t *testing.T) {
	addr := slow(t)
	basic := "Authorization: Basic YWNtZTpjb3JyZWN0IGhvcnNl\r\n"
	for name, head := range map[string]string{
		"login":           "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nuser=",
		"form":            "POST /bundles HTTP/1.1\r\nHost: x\r\n" + basic + "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\nContent-Disposition: form-data; name=x\r\n\r\n",
		"put":             "PUT /bundles/a.tgz HTTP/1.1\r\nHost: x\r\n" + basic + "Content-Length: 1000\r\n\r\n\x1f\x8b",
		"chunks":          "PUT /bundles/b.tgz HTTP/1.1\r\nHost: x\r\n" + basic + "Transfer-Encoding: chunked\r\n\r\n2\r\n\x1f\x8b\r\n",
		"nobody reads it": "GET /bundles/ HTTP/1.1\r\nHost: x\r\n" + basic + "Content-Length: 1000\r\n\r\n1",
		"nobody is known": "PUT /bundles/a.tgz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n1",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, head); err != nil {
				t.Fatal(err)
			}
			// The server answers: it does not wait for what was promised.
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// An answer that takes longer than its request's body was allowed to is not cut:
// the deadline ends with the body.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	const limit = 50 * time.Millisecond
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hold(w, r, limit)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		time.Sleep(4 * limit)
		if err := r.Context().Err(); err != nil {
			t.Errorf("after the body: %v", err)
		}
	}))
	defer h.Close()
	resp, err := http.Post(h.URL, "", strings.NewReader("all"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
