package sshd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/vfs"
)

// connection is one SSH connection. In order: serve, handshake (with the
// callbacks of login.go), loggedIn, run, and for each channel open.
type connection struct {
	server *Server
	net    *timedConn
	seat   *seat
	since  time.Time
	intake intake

	// ctx ends when the connection is gone or its sessions are to end.
	ctx    context.Context
	cancel context.CancelFunc

	// Set by the handshake, before any other goroutine is started.
	meta    Conn
	method  string // of the login
	proof   proof  // until then
	pace    *pace  // nil: the account's bandwidth is not bounded
	log     *slog.Logger
	ssh     *ssh.ServerConn
	account *auth.Account

	viewOnce sync.Once // guards view and viewErr
	view     vfs.View
	viewErr  error

	wg sync.WaitGroup // of the goroutines that run starts

	mu       sync.Mutex // guards all below
	sessions map[*Session]struct{}
	taken    int // sessions, with those that are being opened
	noMore   bool
	ending   bool
	idle     *time.Timer // runs while taken is 0
}

func newConnection(s *Server, nc net.Conn, seat *seat) *connection {
	l := &s.cfg.Limits
	c := &connection{
		server: s, seat: seat, since: time.Now(),
		net:      &timedConn{Conn: nc, silence: silences * l.KeepAlive, write: l.WriteTimeout},
		meta:     Conn{Session: strings.ToLower(rand.Text()[:10]), Remote: nc.RemoteAddr().String(), Since: time.Now()},
		sessions: make(map[*Session]struct{}),
	}
	c.log = s.cfg.Log.With("session", c.meta.Session, "remote", c.meta.Remote)
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// serve is the connection's life.
func (c *connection) serve() {
	defer c.seat.leave()
	defer c.cancel()
	defer c.net.Close()
	defer c.recovered()
	c.server.cfg.Events.connected(c.meta)
	chans, reqs, err := c.handshake()
	if err != nil {
		c.log.Info("handshake failed", "client", c.meta.Client, "err", printable(err.Error()))
	} else {
		c.loggedIn()
		err = c.run(chans, reqs)
		c.server.paces.leave(c.account.Name, c.pace)
		c.log.Info("connection closed", "seconds", time.Since(c.since).Seconds(), "err", printable(err.Error()))
	}
	c.server.cfg.Events.closed(c.meta, time.Since(c.since))
}

// recovered ends the connection, and nothing else, after a panic.
func (c *connection) recovered() {
	if p := recover(); p != nil {
		c.log.Error("panic", "err", fmt.Sprint(p), "stack", string(debug.Stack()))
		c.net.Close()
	}
}

// goroutine runs f as one of the connection's.
func (c *connection) goroutine(f func()) {
	c.wg.Go(func() {
		defer c.recovered()
		f()
	})
}

// handshake is key exchange and login, within one deadline. ctx ends with it so
// that a password that waits for its turn gives up.
func (c *connection) handshake() (<-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	limit := c.server.cfg.Limits.Handshake
	if err := c.net.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, nil, err
	}
	late := time.AfterFunc(limit, c.cancel)
	cfg := c.sshConfig()
	nc, theirs := overhear(&intakeConn{c.net, &c.intake, c.ctx}, cfg.ServerVersion)
	cfg.Ciphers = offerFor(cfg.Ciphers, theirs, hasAES())
	conn, chans, reqs, err := ssh.NewServerConn(nc, cfg)
	if err != nil {
		late.Stop()
		return nil, nil, err
	}
	if !late.Stop() {
		conn.Close()
		return nil, nil, context.DeadlineExceeded
	}
	c.ssh = conn
	c.account = conn.Permissions.ExtraData[accountKey{}].(*auth.Account)
	return chans, reqs, c.net.arm()
}

// loggedIn does what a login brings.
func (c *connection) loggedIn() {
	c.meta.Client = printable(string(c.ssh.ClientVersion()))
	c.meta.Account, c.meta.Tenant = c.account.Name, string(c.account.Tenant)
	c.log = c.log.With("account", c.meta.Account, "tenant", c.meta.Tenant, "client", c.meta.Client)
	c.pace = c.server.paces.join(c.account)
	c.log.Info("logged in", "method", c.method, "credential", c.meta.Credential)
	c.server.cfg.Events.loggedIn(c.meta, c.method)
}

// run serves until the peer or we close the connection, waits for everything
// it started, and says why it ended.
func (c *connection) run(chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) error {
	c.mu.Lock()
	c.idle = time.AfterFunc(c.server.cfg.Limits.Idle, c.closeIdle)
	c.mu.Unlock()
	stop := context.AfterFunc(c.ctx, func() { time.AfterFunc(linger, func() { c.net.Close() }) })
	c.goroutine(func() { c.global(reqs) })
	c.goroutine(c.keepAlive)
	for ch := range chans {
		c.open(ch)
	}
	stop()
	c.mu.Lock()
	c.ending = true
	c.idle.Stop()
	c.mu.Unlock()
	c.cancel()
	c.net.Close()
	err := c.ssh.Wait()
	c.wg.Wait()
	return err
}

// keepAlive asks for a sign of life. The deadline of timedConn's reads does the
// waiting for it: on a slow line the answer comes behind megabytes of upload.
func (c *connection) keepAlive() {
	tick := time.NewTicker(c.server.cfg.Limits.KeepAlive)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		if _, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			return
		}
	}
}

// global answers the connection's requests: no forwarding.
func (c *connection) global(reqs <-chan *ssh.Request) {
	for req := range reqs {
		noMore := req.Type == "no-more-sessions@openssh.com"
		if noMore {
			c.mu.Lock()
			c.noMore = true
			c.mu.Unlock()
		}
		if req.WantReply {
			req.Reply(noMore, nil)
		}
	}
}

// open lets a session channel in and runs it.
func (c *connection) open(nc ssh.NewChannel) {
	if nc.ChannelType() != "session" {
		nc.Reject(ssh.Prohibited, "only sessions are served here: no forwarding")
		return
	}
	if err := c.take(); err != nil {
		nc.Reject(ssh.ResourceShortage, err.Error())
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
	c.idle.Stop()
	return nil
}

func (c *connection) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken--; c.taken == 0 && !c.ending {
		c.idle.Reset(c.server.cfg.Limits.Idle)
	}
}

func (c *connection) note(s *Session, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if open {
		c.sessions[s] = struct{}{}
	} else {
		delete(c.sessions, s)
	}
}

// closeIdle is what the idle timer does.
func (c *connection) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == 0 {
		c.net.Close()
	}
}

// isQuiet says that no session is receiving.
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

// discard reads r to its end so that nothing is kept for it.
func discard(r io.Reader) { _, _ = io.Copy(io.Discard, r) }
