package httpd

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
)

// request is one request of somebody who has logged in.
type request struct {
	*http.Request
	w       http.ResponseWriter
	server  *Server
	account *auth.Account
	view    vfs.View
	log     *slog.Logger
	pace    *auth.Pace // nil: the account's bandwidth is not bounded
}

// handler answers a request. Its error becomes the answer, unless one has begun.
type handler func(*request) error

// Handler is the whole of the server's paths.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.Handle(pattern, s.loggedIn(h, s.turnAway))
	}
	for pattern, h := range pageRoutes {
		mux.Handle(pattern, s.loggedIn(h, s.askLogin))
	}
	mux.HandleFunc("POST /login", s.logIn)
	mux.HandleFunc("POST /logout", s.logOut)
	mux.HandleFunc("GET /static/{name}", static)
	mux.HandleFunc("OPTIONS /tus/{rest...}", tusOptions)
	mux.HandleFunc("GET /openapi.json", serveOpenAPI)
	// A cookie alone must not make another site's request ours. Clients that
	// are no browsers send none of what this looks at.
	return s.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard bounds and survives every request, and sets the headers that all answers
// have.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if s.cfg.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		s.forwarded(r)
		s.wg.Add(1)
		defer s.wg.Done()
		in := s.receive(w, r)
		s.inTurn(w, r, next)
		in.drain()
	})
}

// inTurn answers a request if not too many are running.
func (s *Server) inTurn(w http.ResponseWriter, r *http.Request, next http.Handler) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	default:
		w.Header().Set("Retry-After", "5")
		writeProblem(w, problem{Status: http.StatusServiceUnavailable, Title: "the server is busy: try again in a few seconds"})
		return
	}
	defer s.recovered(w, r)
	next.ServeHTTP(w, r)
}

// recovered answers a panic of ours; http.ErrAbortHandler is a wish.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.cfg.Log.Error("panic in a request", "method", r.Method, "panic", p, "stack", string(debug.Stack()))
	writeProblem(w, problem{Status: http.StatusInternalServerError, Title: internalText})
}

// maxClient bounds what a receipt keeps of a User-Agent, in bytes.
const maxClient = 200

// loggedIn lets a request of somebody who has proven who he is through; others go
// to away.
func (s *Server) loggedIn(next handler, away func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		account, err := s.login(r)
		if err != nil {
			away(w, r, err)
			return
		}
		peer := s.peer(r)
		log := s.cfg.Log.With("session", peer.Session, "account", account.Name, "remote", r.RemoteAddr)
		view, err := s.cfg.View(account, peer)
		if err != nil {
			log.Error("no view for account", "err", err)
			writeProblem(w, problem{Status: http.StatusForbidden, Title: "this account may do nothing here"})
			return
		}
		q := &request{Request: r, w: w, server: s, account: account, view: view, log: log}
		if err := next(q); err != nil && !errors.Is(err, errAnswered) {
			q.fail(err)
		}
	})
}

// errNoCredentials asks for a login.
var errNoCredentials = errors.New("no credentials")

// login proves who asks: by Basic (RFC 7617), by Bearer (RFC 6750) with
// NAME:PASSWORD, for tools that know only that, or by the page's session.
func (s *Server) login(r *http.Request) (*auth.Account, error) {
	user, password, ok := r.BasicAuth()
	if !ok && r.Header.Get("Authorization") == "" {
		a, err := s.resumed(r)
		if err != nil {
			return nil, errNoCredentials
		}
		return a, nil
	}
	if !ok {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if user, password, ok = strings.Cut(token, ":"); !found || !ok {
			return nil, errNoCredentials
		}
	}
	return s.prove(r, user, password)
}

// prove asks whether a name and its secret are right.
func (s *Server) prove(r *http.Request, user, password string) (*auth.Account, error) {
	if len(user) > maxUser || len(password) > auth.MaxPassword {
		return nil, auth.ErrDenied
	}
	if err := s.shut(r); err != nil {
		return nil, err
	}
	a, err := s.cfg.Auth.Password(r.Context(), user, []byte(password))
	if err == nil {
		err = s.admit(r, a)
	}
	if m := s.cfg.Metrics; m != nil {
		m.Login("http", map[bool]string{true: "ok", false: "failed"}[err == nil])
	}
	if err != nil {
		s.penalise(r, user)
		return nil, err
	}
	if s.cfg.LoggedIn != nil && isFirst(r, a) {
		s.cfg.LoggedIn(s.peer(r), a)
	}
	return a, nil
}

// peer describes a request to views and the trail.
func (s *Server) peer(r *http.Request) vfs.Peer {
	return vfs.Peer{Session: newID(), Remote: r.RemoteAddr, Client: vfs.Printable(r.UserAgent(), maxClient), Protocol: "http"}
}

const maxUser = 255

// turnAway answers a request without a login. What comes with it is not read.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	if wait, ok := asWait(err); ok {
		writeProblem(w, wait.problem(w))
		return
	}
	if !errors.Is(err, errNoCredentials) {
		user, _, _ := r.BasicAuth()
		s.refused(r, user, err)
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="bundleup", charset="UTF-8"`)
	writeProblem(w, problem{Status: http.StatusUnauthorized, Title: "a name and its secret are needed: see your account"})
}

// refused tells of a login that failed.
func (s *Server) refused(r *http.Request, user string, err error) {
	user = vfs.Printable(user, maxUser)
	if s.cfg.Refused != nil {
		s.cfg.Refused(r.RemoteAddr, user)
	}
	s.cfg.Log.Info("login failed", "user", user, "remote", r.RemoteAddr, "method", "http", "err", err)
}

// askLogin shows the login page to a person without a session.
func (s *Server) askLogin(w http.ResponseWriter, _ *http.Request, _ error) {
	s.rendered(w, showLogin(w, http.StatusOK, ""))
}

// newID names a request in the log.
func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

// body reads the request's body at the account's bandwidth. A peer that sends nothing
// for Limits.Stall is gone.
type body struct {
	io.Reader
	control *http.ResponseController
	stall   time.Duration
	now     func() time.Time
	ctx     context.Context
	pace    *auth.Pace
}

func (q *request) body() *body {
	return &body{ctx: q.Context(), pace: q.pace, Reader: q.Request.Body, control: http.NewResponseController(q.w), stall: q.server.cfg.Limits.Stall, now: time.Now}
}

// Read extends the deadline first. A writer without deadlines, as in tests, has
// none.
func (b *body) Read(p []byte) (int, error) {
	if err := b.control.SetReadDeadline(b.now().Add(b.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := b.Reader.Read(b.pace.Chunk(p))
	return n, cmp.Or(err, b.pace.Received(b.ctx, n))
}

// after is a context for what must be done although the peer has gone.
func (q *request) after() context.Context { return context.WithoutCancel(q.Context()) }
