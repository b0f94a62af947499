package sshd

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Conn names a connection in events. Account and Tenant are empty before the
// login, Client before the handshake.
type Conn struct {
	Session string    // the connection's ID in the log
	Remote  string    // address and port
	Since   time.Time // when it came
	Client  string    // SSH version string, escaped
	Account string
	Tenant  string

	// Tries that failed: how many, and the last one's user name, escaped, and
	// method. A key that was only offered and is not known is one.
	Failed int
	User   string
	Tried  string
	// Credential is what proved the login, where that has a name: a key's
	// fingerprint, a certificate's ID, a token's ID.
	Credential string
}

// Events are hooks for metrics and audits. They are called by many goroutines
// and must be fast.
type Events struct {
	Connected  func(Conn)
	Dropped    func(remote string, reason error) // a limit was reached
	AuthFailed func(c Conn, method string)
	LoggedIn   func(c Conn, method string)
	Closed     func(c Conn, took time.Duration)
	Legacy     func(c Conn, algorithms []string) // logged in with algorithms of Config.Legacy
}

// Tee tells both e and f of everything, e first.
func (e Events) Tee(f Events) Events {
	return Events{
		Connected:  func(c Conn) { e.connected(c); f.connected(c) },
		Dropped:    func(remote string, reason error) { e.dropped(remote, reason); f.dropped(remote, reason) },
		AuthFailed: func(c Conn, method string) { e.authFailed(c, method); f.authFailed(c, method) },
		LoggedIn:   func(c Conn, method string) { e.loggedIn(c, method); f.loggedIn(c, method) },
		Closed:     func(c Conn, took time.Duration) { e.closed(c, took); f.closed(c, took) },
		Legacy:     func(c Conn, algorithms []string) { e.legacy(c, algorithms); f.legacy(c, algorithms) },
	}
}

func (e Events) connected(c Conn) {
	if e.Connected != nil {
		e.Connected(c)
	}
}

func (e Events) dropped(remote string, reason error) {
	if e.Dropped != nil {
		e.Dropped(remote, reason)
	}
}

func (e Events) authFailed(c Conn, method string) {
	if e.AuthFailed != nil {
		e.AuthFailed(c, method)
	}
}

func (e Events) loggedIn(c Conn, method string) {
	if e.LoggedIn != nil {
		e.LoggedIn(c, method)
	}
}

func (e Events) closed(c Conn, took time.Duration) {
	if e.Closed != nil {
		e.Closed(c, took)
	}
}

func (e Events) legacy(c Conn, algorithms []string) {
	if e.Legacy != nil {
		e.Legacy(c, algorithms)
	}
}

// maxPrintable bounds what a peer can put into a log line, in bytes.
const maxPrintable = 255

// printable makes a peer's string safe for a log or a terminal: at most 255
// bytes of it, and everything that is not a printable character escaped.
func printable(s string) string {
	if len(s) > maxPrintable {
		s = strings.ToValidUTF8(s[:maxPrintable], "") + "..."
	}
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func hidden(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
