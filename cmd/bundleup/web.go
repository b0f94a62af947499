package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"bundleup/configs"
	"bundleup/httpd"
	"bundleup/sshd"
	"bundleup/vfs/store"
)

// opsTimeout bounds what an operator's tool may take for a request or an answer.
const opsTimeout = 30 * time.Second

// web is what of the daemon speaks HTTP: the customers' second door and the
// operators'. Each is there only where it has an address.
type web struct {
	door  *httpd.Server
	certs *httpd.Certificates // nil: none
	ops   *http.Server
	doors []net.Listener
	opss  []net.Listener
	probe probe
}

// openWeb builds both and takes their sockets.
func (d *daemon) openWeb(context.Context) (err error) {
	if len(d.cfg.HTTP.Listen) > 0 {
		if d.web.door, err = d.newDoor(); err != nil {
			return err
		}
	}
	d.web.ops = &http.Server{Handler: httpd.Ops(d.metrics, d.ready), ReadTimeout: opsTimeout, WriteTimeout: opsTimeout, MaxHeaderBytes: 16 << 10}
	if d.web.doors, err = d.sockets.listenAll("http.listen", d.cfg.HTTP.Listen); err != nil {
		return err
	}
	d.web.opss, err = d.sockets.listenAll("metrics.listen", d.cfg.Metrics.Listen)
	return err
}

func (d *daemon) newDoor() (*httpd.Server, error) {
	cfg := httpd.Config{
		Auth: d.registry, View: d.tree.View, Log: d.log,
		LoggedIn: auditHTTPLogins(d.record), Refused: auditRefusals(d.record),
		Guard: d.server.Guard(), Metrics: d.metrics, Arrivals: d.arrivals,
		BehindTLS: d.cfg.HTTP.Plain, SSHPort: portOf(d.cfg.SSH.Listen[0]),
		Limits: httpd.Limits{Connections: d.cfg.Limits.Connections, ConnectionsPerSource: d.cfg.Limits.ConnectionsPerSource},
	}
	cfg.Limits.PerAccount = d.cfg.Limits.ConnectionsPerAccount
	var err error
	if cfg.Balancers, err = configs.Networks("http.balancers", d.cfg.HTTP.Balancers); err != nil {
		return nil, err
	}
	if cfg.SessionKey, err = loadOrMakeSecret(filepath.Join(d.cfg.DataDir, "keys", "http_session_key"), httpd.SessionKeySize); err != nil {
		return nil, err
	}
	if d.cfg.HTTP.Certificate != "" {
		certs, err := httpd.LoadCertificates(d.cfg.HTTP.Certificate, d.cfg.HTTP.Key)
		if err != nil {
			return nil, fmt.Errorf("http.certificate: %w", err)
		}
		d.web.certs, cfg.TLS = certs, certs.Config()
	}
	return httpd.New(cfg)
}

// portOf is the port of an address; 0 where it is chosen when it is listened on.
func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return n
}

// loadOrMakeSecret reads size random bytes, which are made on the first start.
func loadOrMakeSecret(file string, size int) ([]byte, error) {
	secret, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, size)
		rand.Read(secret) // never fails, by its documentation
		if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
			err = os.WriteFile(file, secret, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	if len(secret) != size {
		return nil, fmt.Errorf("session key %s: it has %d bytes, want %d: remove it for a new one", file, len(secret), size)
	}
	return secret, nil
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		l.Close()
	}
}

// serve starts a goroutine for each listener; broken gets one result of each.
func (w *web) serve(start func(func()), broken chan<- error, say func(what string, l net.Listener)) {
	for _, l := range w.doors {
		say("listening for http", l)
		start(func() { broken <- w.door.Serve(l) })
	}
	for _, l := range w.opss {
		say("listening for operators", l)
		start(func() {
			err := w.ops.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			}
			broken <- err
		})
	}
}

// shutdown ends the customers' door within ctx. The operators' stays: they watch.
func (w *web) shutdown(ctx context.Context) error {
	if w.door == nil {
		return nil
	}
	return w.door.Shutdown(ctx)
}

// closeOps ends the operators' door.
func (w *web) closeOps() {
	closeAll(w.opss)
	w.ops.Close()
}

// close ends what is left.
func (w *web) close() {
	closeAll(w.doors)
	closeAll(w.opss)
	if w.ops != nil {
		w.ops.Close()
	}
}

// ready reports why no new connection should come.
func (d *daemon) ready(ctx context.Context) error {
	if d.draining.Load() {
		return errors.New("the daemon is stopping")
	}
	if d.registry.Directory().Len() == 0 {
		return errors.New("there are no accounts")
	}
	return d.web.probe.ask(ctx, d.store)
}

// probe asks the storage for something that costs little. One question runs at a
// time: a storage that hangs must not collect goroutines.
type probe struct{ busy atomic.Bool }

var errSilent = errors.New("the storage does not answer")

func (p *probe) ask(ctx context.Context, s store.Store) error {
	if !p.busy.CompareAndSwap(false, true) {
		return errSilent
	}
	done := make(chan error, 1)
	go func() {
		defer p.busy.Store(false)
		done <- firstError(s.List(ctx, ""))
	}()
	select {
	case err := <-done:
		if err != nil {
			return errors.New("the storage fails")
		}
		return nil
	case <-ctx.Done():
		return errSilent
	}
}

func firstError(list iter.Seq2[store.Info, error]) error {
	for _, err := range list {
		return err
	}
	return nil
}

// sshMetrics counts what the SSH server tells.
func sshMetrics(m *httpd.Metrics) sshd.Events {
	return sshd.Events{
		Connected:  func(sshd.Conn) { m.Connection("accepted") },
		Dropped:    func(string, error) { m.Connection("dropped") },
		AuthFailed: func(_ sshd.Conn, method string) { m.Login(knownMethod(method), "failed") },
		LoggedIn: func(c sshd.Conn, method string) {
			m.Login(knownMethod(method), "ok")
			m.Handshake(knownMethod(method), time.Since(c.Since))
			m.Session("ssh", 1)
		},
		Closed: func(c sshd.Conn, _ time.Duration) {
			if c.Account != "" {
				m.Session("ssh", -1)
			}
		},
		Legacy: func(_ sshd.Conn, algorithms []string) {
			for _, name := range algorithms {
				m.Legacy(name)
			}
		},
	}
}

// knownMethod bounds a label that a peer chooses (RFC 4252, 5).
func knownMethod(method string) string {
	switch method {
	case "publickey", "password", "keyboard-interactive":
		return method
	}
	return "other"
}
