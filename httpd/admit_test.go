package httpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
)

// TestRestrictedAccounts: what an account demands holds at this door as well, and a
// login that fails is told.
func TestRestrictedAccounts(t *testing.T) {
	var refused []string
	two := []auth.Method{auth.PublicKey, auth.Password}
	s, err := New(Config{
		View:    nothing,
		Refused: func(_, user string) { refused = append(refused, user) },
		Auth: fakeAuth{
			"two":      {Role: auth.Support, Require: two},
			"key":      {Role: auth.Support, Require: two[:1]},
			"disabled": {Role: auth.Support, Disabled: true},
			"expired":  {Role: auth.Support, Expires: time.Now().Add(-time.Second)},
			"away":     {Role: auth.Support, From: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	users := []string{"two", "key", "disabled", "expired", "away", "nobody"}
	for _, user := range users {
		r := mustRequest(t, "GET", "/tenants")
		r.RemoteAddr = "192.0.2.1:5000"
		r.SetBasicAuth(user, secret)
		rec := newRecorder()
		s.Handler().ServeHTTP(rec, r)
		if rec.Code != http.StatusUnauthorized {
			t.Errorf("%s: got %d", user, rec.Code)
		}
	}
	if !slices.Equal(refused, users) {
		t.Errorf("told are %q", refused)
	}
}

// guarded is a world behind a balancer on loopback, with the penalties of a daemon.
func guarded(t *testing.T) (*world, *auth.Guard) {
	now := time.Unix(1_800_000_000, 0)
	guard, err := auth.NewGuard(auth.Sources{IPv4: 32, IPv6: 64}, auth.Penalties{
		AuthFail: 5 * time.Second, InvalidUser: 5 * time.Second, Min: 15 * time.Second, Max: time.Hour, Sources: 100,
	}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, func(c *Config) {
		c.Guard, c.Balancers = guard, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	return w, guard
}

// TestFailedLoginsShutTheirSourceOut: at this door and at the others, and nobody else.
func TestFailedLoginsShutTheirSourceOut(t *testing.T) {
	w, guard := guarded(t)
	try := func(user, password, from string) answer {
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/bundles/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, password)
		r.Header.Add("X-Forwarded-For", "203.0.113.9") // the client's own words
		r.Header.Add("X-Forwarded-For", from+", 127.0.0.7")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return answer{resp, string(text)}
	}
	for _, user := range []string{"acme", "nobody", "acme", "acme"} {
		w.want("wrong", try(user, "wrong", "192.0.2.1"), 401)
	}
	shut := try("acme", secret, "192.0.2.1")
	w.want("shut out", shut, 429, "try again in 20 seconds")
	w.equal("when to come back", shut.Header.Get("Retry-After"), "20")
	w.equal("at every door", guard.IsShut(netip.MustParseAddr("192.0.2.1")), true)
	w.want("another source", try("acme", secret, "192.0.2.2"), 200)
	w.equal("not what the client wrote", guard.IsShut(netip.MustParseAddr("203.0.113.9")), false)

	b := w.browser()
	form := "user=acme&secret=correct+horse"
	b.want("the page says so", b.send("POST", "/login", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", "192.0.2.1"), 429, "try again in 20 seconds")
	for range 9 {
		w.want("a balancer that says nothing", w.do("nobody", "GET", "/bundles/", nil), 401)
	}
	w.want("it is not shut out", w.do("acme", "GET", "/bundles/", nil), 200)
}

// TestSourceOfAProxyIsNotKnown: a proxy without a configuration would have everybody
// shut out.
func TestSourceOfAProxyIsNotKnown(t *testing.T) {
	r := mustRequest(t, "GET", "/")
	r.RemoteAddr = "192.0.2.1:5000"
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "invalid IP"},
		{Config{TLS: &tls.Config{}}, "192.0.2.1"},
		{Config{Balancers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "192.0.2.1"},
		{Config{Balancers: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, "invalid IP"},
	} {
		if got := (&Server{cfg: tt.cfg}).source(r).String(); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.cfg.Balancers, got, tt.want)
		}
	}
}

// TestAccountHasSoMuchAtOnce: max_sessions counts transfers, over all doors.
func TestAccountHasSoMuchAtOnce(t *testing.T) {
	w, guard := guarded(t)
	w.auth["acme"].MaxSessions = 2
	guard.Sessions.Take("acme", 2) // as over SSH
	b := tgz(t, 100_000, 1)
	pr, pw := io.Pipe()
	done := make(chan answer)
	go func() { done <- w.do("acme", "PUT", "/bundles/slow.tgz", pr) }()
	if _, err := pw.Write(b[:1000]); err != nil {
		t.Fatal(err)
	}
	for guard.Sessions.Take("acme", 2) { // until the server has counted it
		guard.Sessions.Give("acme")
		time.Sleep(time.Millisecond)
	}
	more := w.do("acme", "PUT", "/bundles/more.tgz", bytes.NewReader(b))
	w.want("a third", more, 429, "as much open at once as it may")
	w.equal("when to come back", more.Header.Get("Retry-After"), "5")
	w.want("a listing is none", w.do("acme", "GET", "/bundles/", nil), 200)
	pw.Write(b[1000:])
	pw.Close()
	w.want("the first goes on", <-done, 201)
	w.want("then there is room", w.do("acme", "PUT", "/bundles/more.tgz", bytes.NewReader(b)), 201)
}

// TestBandwidth: an account's uploads and downloads take the time that they must.
func TestBandwidth(t *testing.T) {
	w, _ := guarded(t)
	// 64 KiB/s let 64 KiB through at once: what is behind waits for its second.
	w.auth["acme"].Bandwidth, w.auth["desk"].Bandwidth = 64<<10, 64<<10
	b := tgz(t, 96<<10, 1)
	const least = 400 * time.Millisecond // a bound from below, which no load can break
	start := time.Now()
	w.want("put", w.do("acme", "PUT", "/bundles/a.tgz", bytes.NewReader(b)), 201)
	w.equal("an upload waits", time.Since(start) >= least, true)
	start = time.Now()
	w.equal("whole", w.do("desk", "GET", "/bundles/acme/a.tgz", nil).text == string(b), true)
	w.equal("a download waits", time.Since(start) >= least, true)
}

// TestLoggedIn: requests of one connection by one account are one login.
func TestLoggedIn(t *testing.T) {
	var told []string
	s, err := New(Config{
		View:     nothing,
		LoggedIn: func(_ vfs.Peer, a *auth.Account) { told = append(told, a.Name) },
		Auth:     fakeAuth{"a": {Name: "a", Role: auth.Support}, "b": {Name: "b", Role: auth.Support}},
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second := withLast(t.Context(), nil), withLast(t.Context(), nil)
	for _, try := range []struct {
		connection context.Context
		user, from string
	}{
		{first, "a", "192.0.2.1:1"}, {first, "a", "192.0.2.1:1"}, {first, "nobody", "192.0.2.1:1"}, {first, "a", "192.0.2.1:1"},
		{first, "b", "192.0.2.1:1"}, {first, "b", "192.0.2.2:1"}, {second, "b", "192.0.2.2:1"}, {second, "b", "192.0.2.2:1"},
	} {
		r := mustRequest(t, "GET", "/tenants").WithContext(try.connection)
		r.RemoteAddr = try.from
		r.SetBasicAuth(try.user, secret)
		s.Handler().ServeHTTP(newRecorder(), r)
	}
	if want := []string{"a", "b", "b", "b"}; !slices.Equal(told, want) {
		t.Errorf("told are %q, want %q", told, want)
	}
}
