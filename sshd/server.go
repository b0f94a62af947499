package sshd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bundleup/auth"
)

const (
	// quiet is how long a session has moved nothing when Shutdown counts it as
	// idle: a client that waits for its user, not a transfer.
	quiet = 5 * time.Second
	// linger is how long a peer may take to read its exit status at the end.
	linger = 3 * time.Second
	// sweep is how often Shutdown looks for connections that became idle.
	sweep = 100 * time.Millisecond
	// maxAcceptPause is between two failing accepts, such as without files.
	maxAcceptPause = time.Second
)

// ErrShutdown is returned by Serve after Shutdown was called.
var ErrShutdown = errors.New("serve ssh: the server was shut down")

// Server serves SSH connections. It is safe for concurrent use.
type Server struct {
	cfg    Config
	strict *algorithms
	legacy *algorithms
	guard  *auth.Guard
	gate   *gate
	unread atomic.Int64 // bytes that the intakes of all connections hold

	// ctx ends when sessions are to end.
	ctx  context.Context
	stop context.CancelFunc

	mu        sync.Mutex // guards all below
	retired   bool       // nobody is accepted any more
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*connection]struct{}
	wg        sync.WaitGroup // of conns; added to only while not closing
	accepting sync.WaitGroup // of listeners; added to only while not retired
}

// New checks the Config and returns a Server that serves nothing yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("new ssh server: %w", err)
	}
	cfg.Commands, cfg.Balancers = maps.Clone(cfg.Commands), slices.Clone(cfg.Balancers)
	l := &cfg.Limits
	s := &Server{
		cfg:       cfg,
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*connection]struct{}),
	}
	var err error
	sources := auth.Sources{IPv4: l.IPv4Prefix, IPv6: l.IPv6Prefix, Exempt: slices.Clone(cfg.Exempt)}
	if s.guard, err = auth.NewGuard(sources, l.Penalties, time.Now); err != nil {
		return nil, fmt.Errorf("new ssh server: %w", err)
	}
	s.gate = newGate(cfg.Limits, func() int { return rand.IntN(100) }, time.Now, s.guard)
	if s.strict, err = newAlgorithms(cfg.HostKeys, nil); err == nil {
		s.legacy, err = newAlgorithms(cfg.HostKeys, slices.Clone(cfg.Legacy))
	}
	if err != nil {
		return nil, fmt.Errorf("new ssh server: %w", err)
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Serve accepts connections from l until ctx ends, which gives nil, until Retire or
// Shutdown is called, which gives nil, or until l is broken. It closes l. The
// connections go on until they end or Shutdown ends them. After Shutdown it
// returns ErrShutdown.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s.strict)
}

// ServeLegacy is Serve with the algorithms of Config.Legacy as well. Logins that
// use one are logged as warnings and are an event.
func (s *Server) ServeLegacy(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s.legacy)
}

func (s *Server) serve(ctx context.Context, l net.Listener, a *algorithms) error {
	defer l.Close()
	if !s.listen(l) {
		return ErrShutdown
	}
	defer s.forget(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(c, a)
		case ctx.Err() != nil || s.isRetired():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve ssh: %w", err)
		default:
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptPause)
			s.cfg.Log.Error("accept failed", "err", err, "pause", pause.String())
			sleep(ctx, pause)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// listen notes l for Retire, and is false after it.
func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.retired {
		s.listeners[l] = struct{}{}
		s.accepting.Add(1)
	}
	return !s.retired
}

func (s *Server) forget(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.accepting.Done()
}

func (s *Server) isRetired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// start serves c where the limits let it in.
func (s *Server) start(c net.Conn, a *algorithms) {
	seat, err := s.admit(c)
	if err != nil {
		remote := c.RemoteAddr().String()
		c.Close()
		s.cfg.Log.Debug("connection dropped", "remote", remote, "err", err)
		s.cfg.Events.dropped(remote, err)
		return
	}
	conn := newConnection(s, c, a, seat)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		conn.cancel()
		seat.leave()
		c.Close()
		return
	}
	s.conns[conn] = struct{}{}
	s.wg.Go(func() {
		conn.serve()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	})
}

// admit gives c a seat. For whom a balancer's connection is shows later.
func (s *Server) admit(c net.Conn) (*seat, error) {
	remote := c.RemoteAddr()
	source := s.guard.Sources.Of(addrOf(remote))
	st := ordinary
	switch {
	case s.isBalancer(remote):
		st = relay
	case s.guard.Sources.IsExempt(addrOf(remote)):
		st = exempt
	case s.guard.Penalties.IsShut(source):
		return nil, errPenalised
	}
	return s.gate.enter(source, st, func() { c.Close() })
}

// isBalancer says that a must begin with a PROXY header.
func (s *Server) isBalancer(a net.Addr) bool { return auth.Within(addrOf(a), s.cfg.Balancers) }

// Guard is what the server knows of sources and accounts, for another door to share.
func (s *Server) Guard() *auth.Guard { return s.guard }

// Retire stops listening, while another process goes on with the same sockets, and
// returns when nobody is accepted any more. Who had been accepted is served as before;
// Shutdown may follow when he has had the time to log in and to begin.
func (s *Server) Retire() {
	s.mu.Lock()
	s.retired = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.accepting.Wait()
}

// Shutdown stops listening and closes every connection as soon as no session of
// it is moving data. What still runs when ctx ends is told to end: uploads are
// suspended, and peers have 3 seconds to read why. It returns when every
// goroutine of the server has ended: nil if that was before ctx ended, else
// ctx's error. A handler that waits for its storage is waited for.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.Retire()
	err := s.settle(ctx)
	s.stop()
	s.eachConn(func(c *connection) { c.end() })
	s.wg.Wait()
	return err
}

// settle ends connections as they become quiet, until none is left or ctx ends.
func (s *Server) settle(ctx context.Context) error {
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		n := s.eachConn(func(c *connection) {
			if c.isQuiet() {
				c.end()
			}
		})
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// eachConn calls f for every connection and returns how many there are.
func (s *Server) eachConn(f func(*connection)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
	return len(s.conns)
}
