package httpd

import (
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"bundleup/auth"
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
