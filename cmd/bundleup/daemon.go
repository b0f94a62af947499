package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/configs"
	"bundleup/httpd"
	"bundleup/sshd"
	"bundleup/vfs"
)

// daemon is the running whole: the one place where the parts are put together.
type daemon struct {
	cfg       configs.Config
	log       *slog.Logger
	store     medium
	stuck     int // uploads that opening it could not repair
	registry  *auth.Registry
	audit     *audit.Log // nil: no trail is kept
	tree      *vfs.Tree
	server    *sshd.Server
	keys      []ssh.Signer
	sockets   *sockets
	manager   manager
	listeners []net.Listener
	legacy    []net.Listener
	web       web
	metrics   *httpd.Metrics
	arrivals  *httpd.Arrivals
	webhook   *httpd.Webhook // nil: none
	draining  atomic.Bool
	older     *older // what an older daemon handed over
	successor successor
}

// newDaemon builds everything and takes the listening sockets; run serves them.
func newDaemon(ctx context.Context, cfg configs.Config, log *slog.Logger) (*daemon, error) {
	d := &daemon{cfg: cfg, log: log, arrivals: httpd.NewArrivals(), sockets: &sockets{}, older: &older{}, successor: successor{failed: make(chan struct{}, 1)}, manager: manager{os.Getenv("NOTIFY_SOCKET")}}
	d.metrics = httpd.NewMetrics(versionLine(), d.sources())
	for _, step := range []func(context.Context) error{
		d.inherit, d.openAccounts, d.openAudit, d.openStore, d.openWebhook, d.openTree, d.openServer, d.openWeb, d.listen,
	} {
		if err := step(ctx); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// record puts an event into the trail.
func (d *daemon) record(e audit.Event) {
	if d.audit != nil {
		d.audit.Record(e)
	}
}

// close releases what newDaemon took.
func (d *daemon) close() {
	closeAll(slices.Concat(d.listeners, d.legacy))
	d.sockets.close()
	d.older.close()
	d.web.close()
	if d.tree != nil {
		d.tree.Close()
	}
	d.closeWebhook()
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.log.Error("close store", "err", err)
		}
	}
	if d.audit != nil {
		d.record(audit.Event{Type: audit.Stopped})
		if err := d.audit.Close(); err != nil {
			d.log.Error("close audit trail", "err", err)
		}
	}
}
