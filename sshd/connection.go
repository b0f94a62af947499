package sshd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/vfs"
)

// connection is one SSH connection. In order: serve, introduce where a balancer
// is in front, handshake (with the callbacks of login.go), loggedIn, run, and for
// each channel open.
type connection struct {
	server     *Server
	algorithms *algorithms
	net        *timedConn
	seat       *seat
	since      time.Time
	intake     intake

	// Set by introduce, before the handshake.
	source netip.Prefix
	capped bool // limits and penalties per source apply
	meta   Conn
	log    *slog.Logger

	// ctx ends when the connection is gone or its sessions are to end.
	ctx    context.Context
	cancel context.CancelFunc

	// Set by the handshake, before any other goroutine is started.
	method    string // of the login
	signature string // its algorithm, of a key
	proof     proof  // until then
	fault     auth.Fault
	proven    bool       // a login that was right and had no room
	pace      *auth.Pace // nil: the account's bandwidth is not bounded
	ssh       *ssh.ServerConn
	account   *auth.Account

	viewOnce sync.Once // guards view and viewErr
	view     vfs.View
	viewErr  error

	wg sync.WaitGroup // of the goroutines after the login; added to only while not ending

	mu       sync.Mutex // guards all below
	sessions map[*Session]struct{}
	taken    int       // sessions, with those that are being opened
	unused   time.Time // since when taken is 0
	noMore   bool
	ending   bool
	asking   bool // a keepalive waits for its answer
	pulse    *time.Timer
}

func newConnection(s *Server, nc net.Conn, a *algorithms, seat *seat) *connection {
	l := &s.cfg.Limits
	c := &connection{
		server: s, algorithms: a, seat: seat, since: time.Now(), capped: seat.standing == ordinary,
		net:  newTimedConn(nc, silences*l.KeepAlive, l.WriteTimeout),
		meta: Conn{Session: strings.ToLower(rand.Text()[:10]), Since: time.Now()}, intake: intake{all: &s.unread},
	}
	c.net.look, c.net.hello = c.lookUnread, func() { seat.reach(exchanges) }
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.net.gone = c.cancel
	c.nameRemote(nc.RemoteAddr())
	return c
}

// nameRemote says who the peer is from now on.
func (c *connection) nameRemote(a net.Addr) {
	c.source = c.server.guard.Sources.Of(addrOf(a))
	c.meta.Remote = a.String()
	c.log = c.server.cfg.Log.With("session", c.meta.Session, "remote", c.meta.Remote)
}

// serve is the connection's life.
func (c *connection) serve() {
	defer c.seat.leave()
	defer c.intake.forget()
	defer c.cancel()
	defer c.net.Close()
	defer c.recovered()
	if err := c.introduce(); err != nil {
		c.log.Debug("connection dropped", "err", printable(err.Error()))
		c.server.cfg.Events.dropped(c.meta.Remote, err)
		return
	}
	c.server.cfg.Events.connected(c.meta)
	chans, reqs, err := c.handshake()
	if err != nil {
		c.refused(err)
	} else {
		c.loggedIn()
		err = c.run(chans, reqs)
		c.server.guard.Paces.Leave(c.account.Name, c.pace)
		c.log.Info("connection closed", "seconds", time.Since(c.since).Seconds(), "err", printable(err.Error()))
	}
	c.server.cfg.Events.closed(c.meta, time.Since(c.since))
}

// introduce lets a balancer say who its client is.
func (c *connection) introduce() error {
	nc := c.net.Conn
	if !c.server.isBalancer(nc.RemoteAddr()) {
		return nil
	}
	if err := nc.SetDeadline(c.since.Add(c.server.cfg.Limits.KeyExchange)); err != nil {
		return err
	}
	proxied, err := greet(nc, c.server.cfg.Version)
	if err != nil {
		return err
	}
	c.net.Conn = proxied
	if proxied.remote == nc.RemoteAddr() {
		return nil
	}
	c.nameRemote(proxied.remote)
	st := ordinary
	if c.server.guard.Sources.IsExempt(addrOf(proxied.remote)) {
		st = exempt
	}
	c.capped = st == ordinary
	if c.capped && c.server.guard.Penalties.IsShut(c.source) {
		return errPenalised
	}
	return c.seat.name(c.source, st)
}

// recovered ends the connection, and nothing else, after a panic.
func (c *connection) recovered() {
	if p := recover(); p != nil {
		c.log.Error("panic", "err", fmt.Sprint(p), "stack", string(debug.Stack()))
		c.penaliseFor(auth.FaultCrash)
		c.net.Close()
	}
}

// goroutine runs f as one of the connection's. It is called by goroutines that
// the connection waits for.
func (c *connection) goroutine(f func()) {
	c.wg.Go(func() {
		defer c.recovered()
		f()
	})
}

// handshake is key exchange and login, each within its time. ctx ends with it so
// that a password that waits for its turn gives up.
func (c *connection) handshake() (<-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	l := &c.server.cfg.Limits
	end := c.since.Add(l.Handshake)
	if err := c.net.SetDeadline(earlier(end, c.since.Add(l.KeyExchange))); err != nil {
		return nil, nil, err
	}
	late := time.AfterFunc(time.Until(end), c.cancel)
	cfg := c.handshakeConfig(end)
	nc, theirs := overhear(&intakeConn{c.net, &c.intake, c.ctx}, cfg.ServerVersion)
	cfg.Ciphers = offerFor(cfg.Ciphers, theirs, hasAES())
	conn, chans, reqs, err := ssh.NewServerConn(nc, cfg)
	if err != nil {
		late.Stop()
		return nil, nil, err
	}
	if !late.Stop() {
		conn.Close()
		return nil, nil, os.ErrDeadlineExceeded
	}
	c.ssh = conn
	c.account = conn.Permissions.ExtraData[accountKey{}].(*auth.Account)
	c.net.arm()
	return chans, reqs, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// handshakeConfig is sshConfig with what the connection itself learns on the way.
func (c *connection) handshakeConfig(end time.Time) *ssh.ServerConfig {
	cfg := c.sshConfig()
	cfg.PreAuthConnCallback = func(ssh.ServerPreAuthConn) {
		c.seat.reach(logsIn)
		_ = c.net.SetDeadline(end)
	}
	return cfg
}

// refused ends a connection that did not log in.
func (c *connection) refused(err error) {
	if evicted, shut := c.seat.leave(); evicted {
		err = errEvicted
		c.sayShut(shut)
	}
	c.log.Info("handshake failed", "client", c.meta.Client, "err", printable(err.Error()))
	c.penalise(err)
}

// loggedIn does what a login brings.
func (c *connection) loggedIn() {
	c.meta.Client = printable(string(c.ssh.ClientVersion()))
	c.meta.Account, c.meta.Tenant = c.account.Name, string(c.account.Tenant)
	c.log = c.log.With("account", c.meta.Account, "tenant", c.meta.Tenant, "client", c.meta.Client)
	c.pace = c.server.guard.Paces.Join(c.account)
	c.log.Info("logged in", "method", c.method, "credential", c.meta.Credential)
	c.server.cfg.Events.loggedIn(c.meta, c.method)
	if names := c.legacy(); len(names) > 0 {
		c.log.Warn("legacy algorithms are in use", "algorithms", strings.Join(names, ","))
		c.server.cfg.Events.legacy(c.meta, names)
	}
}

// legacy names what is old in the connection.
func (c *connection) legacy() []string {
	meta, ok := c.ssh.Conn.(ssh.AlgorithmsConnMetadata)
	if !ok {
		return nil
	}
	names := c.algorithms.used(meta.Algorithms())
	if slices.Contains(c.algorithms.legacy, c.signature) && !slices.Contains(names, c.signature) {
		names = append(names, c.signature)
	}
	return names
}

// run serves until the peer or we close the connection, waits for everything
// it started, and says why it ended.
func (c *connection) run(chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) error {
	c.startPulse()
	stop := context.AfterFunc(c.ctx, func() { time.AfterFunc(linger, func() { c.net.Close() }) })
	for chans != nil {
		select {
		case ch, ok := <-chans:
			if !ok {
				chans = nil
				continue
			}
			c.open(ch)
		case req, ok := <-reqs:
			if !ok {
				reqs = nil
				continue
			}
			c.answer(req)
		}
	}
	stop()
	c.stopPulse()
	c.cancel()
	c.net.Close()
	err := c.ssh.Wait()
	c.wg.Wait()
	if why := c.net.meter.failure(); why != nil {
		return why
	}
	return err
}

// answer answers a request to the connection: no forwarding.
func (c *connection) answer(req *ssh.Request) {
	noMore := req.Type == "no-more-sessions@openssh.com"
	if noMore {
		c.mu.Lock()
		c.noMore = true
		c.mu.Unlock()
	}
	if req.WantReply {
		_ = req.Reply(noMore, nil)
	}
}

// open lets a session channel in and runs it. Errors mean that the peer has gone.
func (c *connection) open(nc ssh.NewChannel) {
	if nc.ChannelType() != "session" {
		_ = nc.Reject(ssh.Prohibited, "only sessions are served here: no forwarding")
		return
	}
	if err := c.take(); err != nil {
		_ = nc.Reject(ssh.ResourceShortage, err.Error())
		return
	}
	c.goroutine(func() {
		defer c.release()
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		s := newSession(c, ch)
		c.intake.opened()
		defer c.intake.closed()
		c.note(s, true)
		defer c.note(s, false)
		s.serve(reqs)
	})
}

// take counts a session that is to be opened.
func (c *connection) take() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.noMore:
		return errors.New("this client has said that it opens no more sessions")
	case c.ending || c.ctx.Err() != nil || c.server.isClosing():
		return errors.New("the server is stopping")
	case c.taken >= c.server.cfg.Limits.SessionsPerConnection:
		return errors.New("too many sessions on this connection")
	}
	c.taken++
	return nil
}

func (c *connection) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken--; c.taken == 0 {
		c.unused = time.Now()
	}
}

func (c *connection) note(s *Session, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if open {
		if c.sessions == nil {
			c.sessions = make(map[*Session]struct{})
		}
		c.sessions[s] = struct{}{}
		c.net.meter.sessions(1)
	} else {
		delete(c.sessions, s)
		c.net.meter.sessions(-1)
	}
}

// isQuiet says that no session is moving data.
func (c *connection) isQuiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		if time.Since(time.Unix(0, s.active.Load())) < quiet {
			return false
		}
	}
	return len(c.sessions) == c.taken
}

// end lets the sessions end, or closes a connection that has none.
func (c *connection) end() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == 0 {
		c.net.Close()
	}
}

// viewFor makes the connection's View at its first use. A later protocol gets
// the same View: what one channel refused, no other may show.
func (c *connection) viewFor(protocol string) (vfs.View, error) {
	c.viewOnce.Do(func() {
		c.view, c.viewErr = c.server.cfg.View(c.account, vfs.Peer{
			Session: c.meta.Session, Remote: c.meta.Remote, Client: c.meta.Client, Protocol: protocol,
		})
		if c.view == nil && c.viewErr == nil {
			c.viewErr = errors.New("no view")
		}
	})
	return c.view, c.viewErr
}
