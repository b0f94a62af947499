package httpd

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"bundleup/auth"
)

// forwarded gives a request that came through a balancer the address of the client:
// the last one of X-Forwarded-For that no balancer of ours has. What stands before it
// was written by the client.
func (s *Server) forwarded(r *http.Request) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !auth.Within(peer.Addr(), s.cfg.Balancers) {
		return
	}
	list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		ip, err := netip.ParseAddr(strings.TrimSpace(list[i]))
		if err != nil {
			return
		}
		r.RemoteAddr = netip.AddrPortFrom(ip.Unmap(), 0).String()
		if !auth.Within(ip, s.cfg.Balancers) {
			return
		}
	}
}

// address is where a request comes from; zero if that cannot be read.
func address(r *http.Request) netip.Addr {
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	return remote.Addr()
}

// source is whom a request is counted for. It is zero where many clients have one
// address: behind a balancer that is not known, or that does not say for whom it asks.
func (s *Server) source(r *http.Request) netip.Addr {
	ip := address(r)
	if s.cfg.TLS == nil && len(s.cfg.Balancers) == 0 || auth.Within(ip, s.cfg.Balancers) {
		return netip.Addr{}
	}
	return ip
}

// shut refuses a try to log in from a source that is shut out, before anything is
// computed for it. Sessions that have begun go on.
func (s *Server) shut(r *http.Request) error {
	g, ip := s.cfg.Guard, s.source(r)
	if g == nil || !ip.IsValid() || !g.IsShut(ip) {
		return nil
	}
	left := g.Penalties.Left(g.Sources.Of(ip))
	return &waitError{seconds: int(math.Ceil(left.Seconds()))}
}

// waitError tells a client to come back.
type waitError struct{ seconds int }

func (e *waitError) Error() string {
	return fmt.Sprintf("too many logins from your address have failed: try again in %d seconds", e.seconds)
}

// problem is what the client is told.
func (e *waitError) problem(w http.ResponseWriter) problem {
	w.Header().Set("Retry-After", strconv.Itoa(e.seconds))
	return problem{Status: http.StatusTooManyRequests, Title: e.Error()}
}

// penalise counts a failed login against its source.
func (s *Server) penalise(r *http.Request, user string) {
	g, ip := s.cfg.Guard, s.source(r)
	if g == nil || !ip.IsValid() || r.Context().Err() != nil {
		return
	}
	fault := auth.FaultAuth
	if s.cfg.Auth.Account(user) == nil {
		fault = auth.FaultUser
	}
	if g.Penalise(ip, fault) {
		s.cfg.Log.Warn("source shut out", "source", g.Sources.Of(ip).String())
	}
}

// admit says why a proven account is not let in now from where the request comes.
func (s *Server) admit(r *http.Request, a *auth.Account) error {
	// An address that cannot be read is in no network.
	return a.AdmitAlone(auth.Password, address(r), s.cfg.Now())
}

// transfer counts a request that moves bytes among what its account has at once, over
// this door and the others, and gives it the account's bandwidth. What a page asks for
// beside is not counted: a person has several at once without knowing.
func transfer(next handler) handler {
	return func(q *request) error {
		leave, err := q.seat()
		if err != nil {
			return err
		}
		defer leave()
		return next(q)
	}
}

var errTooMany = &problem{Status: http.StatusTooManyRequests, Title: "this account has as much open at once as it may: wait for another transfer to end"}

// seat takes the account's place for one transfer; leave gives it back.
func (q *request) seat() (leave func(), err error) {
	g := q.server.cfg.Guard
	if g == nil {
		return func() {}, nil
	}
	most := q.account.MaxSessions
	if most == 0 {
		most = q.server.cfg.Limits.PerAccount
	}
	if !g.Sessions.Take(q.account.Name, most) {
		q.w.Header().Set("Retry-After", "5")
		return nil, errTooMany
	}
	q.pace = g.Paces.Join(q.account)
	return func() {
		g.Paces.Leave(q.account.Name, q.pace)
		g.Sessions.Give(q.account.Name)
	}, nil
}

// asWait finds a waitError.
func asWait(err error) (*waitError, bool) {
	var w *waitError
	return w, errors.As(err, &w)
}
