// Package httpd is the daemon's second front door: uploads, reads and receipts
// over HTTP, by the same accounts, views and checks as over SSH.
//
// It guarantees that nobody who has not logged in reaches a View; that an
// upload which is refused is answered when the refusal shows, not after the
// last byte; that an upload which is cut is kept like one over SFTP; that
// headers, bodies, waits and connections are bounded by Limits; and that a panic
// ends one request and not the daemon.
//
// It deliberately does not know what an account may do (vfs) or what a password
// proves (auth).
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
	"bundleup/vfs/inside"
)

// Authenticator says whether a name and a password prove an account. It is
// called concurrently and may wait for its turn until ctx ends. An error refuses
// the login; its words are logged and never sent.
type Authenticator interface {
	Password(ctx context.Context, user string, password []byte) (*auth.Account, error)
	// Account finds an account of the moment by name, for a session that has
	// begun with Password; nil if it is gone.
	Account(name string) *auth.Account
}

// Config is what New needs. Auth and View must be set; the other fields have
// defaults.
type Config struct {
	// Auth decides about logins.
	Auth Authenticator
	// View gives what an account sees. It is called once for each request.
	View func(*auth.Account, vfs.Peer) (vfs.View, error)
	// TLS turns HTTPS on. Nil: plain HTTP, for loopback or behind a balancer.
	TLS *tls.Config
	// LoggedIn is told of logins, for the audit trail: of the first request of a
	// connection and of each whose account or address is another than the last one's.
	// Nil: nobody is.
	LoggedIn func(peer vfs.Peer, a *auth.Account)
	// Refused is told of each login that failed, for the audit trail. The user
	// name is Printable. Nil: nobody is.
	Refused func(remote, user string)
	// Guard is shared with the other doors: sources that are shut out, and what an
	// account may have at once. Nil: nothing is counted.
	Guard *auth.Guard
	// Balancers are networks whose X-Forwarded-For names the client.
	Balancers []netip.Prefix
	// BehindTLS says that browsers reach a plain server through a balancer that
	// speaks HTTPS.
	BehindTLS bool
	// SessionKey seals the sessions of browsers: SessionKeySize random bytes,
	// the same on all nodes. Nil: one that ends with the process.
	SessionKey []byte
	// SSHPort is where the first door is, for the lines that the page shows. 0:
	// it shows none.
	SSHPort int
	// Arrivals are what pages of support watch. Nil: none.
	Arrivals *Arrivals
	// Metrics count logins. Nil: none.
	Metrics *Metrics
	// Limits bound everything. Zero fields take the values of DefaultLimits.
	Limits Limits
	// Log takes one line for each failed login and each failure of ours.
	// Default: no log.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Limits bound what peers may hold.
type Limits struct {
	Header   time.Duration // to send a request's header; default 10 s
	Stall    time.Duration // between two pieces of a body, or to take a piece of an answer; default 2 m
	Idle     time.Duration // between two requests of a connection; default 2 m
	Requests int           // running at once; more are told to come back; default 512
	// PerAccount is how many transfers an account may have at once that has no limit
	// of its own; default 64.
	PerAccount int
	// Connections is how many may be open at once, default 512, and
	// ConnectionsPerSource how many of one IPv4 address or IPv6 /64, default 64,
	// unless BehindTLS or with Balancers. More are closed.
	Connections, ConnectionsPerSource int
}

// DefaultLimits are used for what is not set.
var DefaultLimits = Limits{Header: 10 * time.Second, Stall: 2 * time.Minute, Idle: 2 * time.Minute, Requests: 512, PerAccount: 64, Connections: 512, ConnectionsPerSource: 64}

func (l *Limits) complete() error {
	if l.Header < 0 || l.Stall < 0 || l.Idle < 0 || l.Requests < 0 || l.PerAccount < 0 || l.Connections < 0 || l.ConnectionsPerSource < 0 {
		return errors.New("limits must not be negative")
	}
	for _, f := range []struct{ p, d *time.Duration }{
		{&l.Header, &DefaultLimits.Header}, {&l.Stall, &DefaultLimits.Stall}, {&l.Idle, &DefaultLimits.Idle},
	} {
		if *f.p == 0 {
			*f.p = *f.d
		}
	}
	for _, f := range []struct{ p, d *int }{
		{&l.Requests, &DefaultLimits.Requests}, {&l.Connections, &DefaultLimits.Connections},
		{&l.ConnectionsPerSource, &DefaultLimits.ConnectionsPerSource}, {&l.PerAccount, &DefaultLimits.PerAccount},
	} {
		if *f.p == 0 {
			*f.p = *f.d
		}
	}
	return nil
}

// maxHeader bounds a request's header, in bytes.
const maxHeader = 32 << 10

// Server serves HTTP. It is safe for concurrent use.
type Server struct {
	cfg      Config
	http     *http.Server
	sealer   *sealer
	commands *inside.Commands // what support runs by the page
	closing  chan struct{}    // closed by Shutdown: streams without an end end
	once     sync.Once        // the closing
	turns    chan struct{}    // one element for each running request
	wg       sync.WaitGroup   // of running requests
}

// New checks the Config and returns a Server that serves nothing yet.
func New(cfg Config) (*Server, error) {
	if cfg.Auth == nil || cfg.View == nil {
		return nil, errors.New("new http server: Auth and View must be set")
	}
	if err := cfg.Limits.complete(); err != nil {
		return nil, fmt.Errorf("new http server: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.SessionKey == nil {
		cfg.SessionKey = newKey()
	}
	sealer, err := newSealer(cfg.SessionKey)
	if err != nil {
		return nil, fmt.Errorf("new http server: %w", err)
	}
	s := &Server{cfg: cfg, sealer: sealer, closing: make(chan struct{}), turns: make(chan struct{}, cfg.Limits.Requests)}
	s.commands = inside.New(inside.Config{Time: 10 * time.Minute, Output: maxOutput, Commands: []string{"grep", "info"}})
	s.http = &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: cfg.Limits.Header,
		IdleTimeout:       cfg.Limits.Idle,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withLast,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve serves connections of l until Shutdown, which gives nil, or until l is
// broken. It closes l.
func (s *Server) Serve(l net.Listener) error {
	var err error
	l = s.bounded(l)
	if s.cfg.TLS != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

// Shutdown stops listening and waits for running requests; what still runs when
// ctx ends is cut, and its upload kept. It returns when every request has ended.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(func() { close(s.closing) })
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	s.wg.Wait()
	return err
}
