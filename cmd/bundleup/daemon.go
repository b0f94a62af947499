package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/configs"
	"bundleup/httpd"
	"bundleup/sshd"
	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

const (
	// accountsPoll is how often the accounts file is looked at for changes.
	accountsPoll = 2 * time.Second
	// janitorEvery is how often expired uploads and receipts are removed.
	janitorEvery = 15 * time.Minute
)

// cacheShare is the part of limits.memory that inflated data may have.
const cacheShare = 5

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
}

// newDaemon builds everything and takes the listening sockets; run serves them.
func newDaemon(ctx context.Context, cfg configs.Config, log *slog.Logger) (*daemon, error) {
	d := &daemon{cfg: cfg, log: log, arrivals: httpd.NewArrivals(), sockets: &sockets{}, manager: manager{os.Getenv("NOTIFY_SOCKET")}}
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

func (d *daemon) openAccounts(context.Context) error {
	dir, err := loadDirectory(d.cfg.Accounts)
	if err != nil {
		return err
	}
	trust, err := loadTrust(d.cfg)
	if err != nil {
		return err
	}
	if d.registry, err = auth.NewRegistry(dir, d.cfg.Limits.PasswordHashes); err != nil {
		return err
	}
	return d.registry.SetTrust(trust)
}

// openAudit begins to keep the trail: without it the daemon does not start.
func (d *daemon) openAudit(context.Context) (err error) {
	cfg := auditConfig(d.cfg)
	if cfg.File == "" {
		return nil
	}
	cfg.Failed = func(err error) {
		if err != nil {
			d.log.Error("audit trail cannot be written: events wait, and are counted when too many do", "err", err)
			return
		}
		d.log.Info("audit trail is written again")
	}
	d.audit, err = audit.Open(cfg, audit.Event{Type: audit.Started, By: operator()})
	return err
}

// record puts an event into the trail.
func (d *daemon) record(e audit.Event) {
	if d.audit != nil {
		d.audit.Record(e)
	}
}

func (d *daemon) openStore(ctx context.Context) (err error) {
	d.store, d.stuck, err = openMedium(ctx, d.cfg, d.log)
	return err
}

func (d *daemon) openTree(ctx context.Context) (err error) {
	d.tree, err = vfs.NewTree(ctx, vfs.Config{
		Store:       d.store,
		Check:       checkLimits(d.cfg.Check),
		Tenants:     func() []auth.Tenant { return d.registry.Directory().Tenants() },
		Terms:       d.terms,
		Reserve:     int64(d.cfg.Storage.Disk.Reserve),
		Keep:        time.Duration(d.cfg.Uploads.Keep),
		KeepRefused: time.Duration(d.cfg.Uploads.RefusedKeep),
		Checkpoint:  int64(d.cfg.Uploads.Checkpoint),
		Cache:       int64(d.cfg.Limits.Memory) / cacheShare,
		Scratch:     newScratch,
		Events:      logEvents(d.log).Tee(auditUploads(d.record)).Tee(d.metrics.Events()).Tee(d.arrivals.Events()).Tee(d.webhookEvents()),
		Meter:       d.metrics.Meter(),
	})
	return err
}

// terms of the moment; a tenant that is gone from the accounts has none.
func (d *daemon) terms(t auth.Tenant) auth.TenantInfo {
	terms, _ := d.registry.Directory().Tenant(t)
	return terms
}

func checkLimits(c configs.Check) bundle.Limits {
	return bundle.Limits{
		MaxSize: int64(c.MaxSize), MaxUnpacked: int64(c.MaxUnpacked), MaxRatio: c.MaxRatio,
		MaxEntries: c.MaxEntries, MaxMembers: c.MaxMembers,
	}
}

func (d *daemon) openServer(context.Context) (err error) {
	if len(d.cfg.SSH.HostKeys) > 0 {
		d.keys, err = sshd.LoadHostKeys(d.cfg.SSH.HostKeys)
	} else {
		d.keys, err = sshd.LoadOrMakeHostKeys(filepath.Join(d.cfg.DataDir, "keys"))
	}
	if err != nil {
		return err
	}
	certificates, err := d.hostCertificates()
	if err != nil {
		return err
	}
	cfg, err := sshConfig(d.cfg)
	if err != nil {
		return err
	}
	cfg.HostKeys, cfg.Auth, cfg.View = slices.Concat(d.keys, certificates), d.registry, d.tree.View
	cfg.KnownUser = func(user string) bool { return d.registry.Directory().Account(user) != nil }
	cfg.Commands, cfg.Log, cfg.Events = commands(), d.log, auditLogins(d.record).Tee(sshMetrics(d.metrics))
	d.server, err = sshd.New(cfg)
	return err
}

// commands are all that can be run over ssh beside scp.
func commands() map[string]sshd.Command {
	all := sshd.SumCommands()
	maps.Copy(all, sshd.InsideCommands())
	return all
}

// hostCertificates are those of the configuration. One that is over keeps nobody
// from starting, for it can be replaced later; clients refuse it.
func (d *daemon) hostCertificates() ([]ssh.Signer, error) {
	list, err := sshd.LoadHostCertificates(d.cfg.SSH.HostCertificates, d.keys)
	for _, c := range list {
		if end := sshd.CertificateEnd(c.PublicKey()); !end.IsZero() && time.Now().After(end) {
			d.log.Warn("host certificate has expired", "type", c.PublicKey().Type(), "expired", end)
		}
	}
	return list, err
}

func (d *daemon) listen(context.Context) (err error) {
	d.warnOfFiles()
	if d.listeners, err = d.sockets.listenAll("ssh.listen", d.cfg.SSH.Listen); err != nil {
		return err
	}
	if d.legacy, err = d.sockets.listenAll("ssh.legacy.listen", d.cfg.SSH.Legacy.Listen); err != nil {
		return err
	}
	return d.sockets.done()
}

// filesPerUpload is how many descriptors an upload takes: its data, its state and
// a directory.
const filesPerUpload = 3

// warnOfFiles says when the process may open fewer files than the limits allow:
// honest logins would fail. Go has raised the soft limit to the hard one.
func (d *daemon) warnOfFiles() {
	var have syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &have); err != nil {
		return
	}
	want := uint64(d.cfg.Limits.Connections) + filesPerUpload*uint64(d.cfg.Limits.HandlesPerAccount) + 64
	if have.Cur < want {
		d.log.Warn("the limit of open files is low", "limit", have.Cur, "want", want, "mend", "raise LimitNOFILE or lower limits.connections")
	}
}

// run serves until ctx is done, then lets running uploads go on for the grace
// and suspends the rest.
func (d *daemon) run(ctx context.Context) error {
	defer d.close()
	for _, k := range d.keys {
		d.log.Info("host key", "type", k.PublicKey().Type(), "fingerprint", ssh.FingerprintSHA256(k.PublicKey()))
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { d.watchAccounts(background) })
	wg.Go(func() { d.expire(background) })
	wg.Go(func() { d.tree.Index(background, d.notIndexed) })
	if d.webhook != nil {
		wg.Go(func() { d.webhook.Run(background) })
	}
	if agent := os.Getenv("ECS_AGENT_URI"); agent != "" {
		wg.Go(func() { d.protection(agent).run(background) })
	}
	broken := make(chan error, len(d.listeners)+len(d.legacy)+len(d.web.doors)+len(d.web.opss))
	say := func(what string, l net.Listener) { d.log.Info(what, "address", l.Addr().String()) }
	d.web.serve(wg.Go, broken, say)
	for _, l := range d.listeners {
		say("listening", l)
		wg.Go(func() { broken <- d.server.Serve(background, l) })
	}
	for _, l := range d.legacy {
		d.log.Warn("listening with legacy algorithms: everybody who can, should use another address",
			"address", l.Addr().String(), "algorithms", strings.Join(d.cfg.SSH.Legacy.Algorithms, ","))
		wg.Go(func() { broken <- d.server.ServeLegacy(background, l) })
	}
	d.tell(d.manager.ready())
	var err error
	select {
	case <-ctx.Done():
		d.log.Info("stopping", "grace", time.Duration(d.cfg.Uploads.ShutdownGrace).String())
	case err = <-broken:
	}
	d.tell(d.manager.stopping(time.Duration(d.cfg.Uploads.ShutdownGrace)))
	d.draining.Store(true)
	d.metrics.Draining()
	err = errors.Join(err, d.shutdown())
	d.web.close()
	stop()
	wg.Wait()
	return err
}

func (d *daemon) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(d.cfg.Uploads.ShutdownGrace))
	defer cancel()
	// The doors close side by side: both have the whole grace.
	web := make(chan error, 1)
	go func() { web <- d.web.shutdown(ctx) }()
	errs := []error{d.server.Shutdown(ctx), <-web}
	for i, err := range errs {
		if errors.Is(err, context.DeadlineExceeded) {
			d.log.Info("grace is over, uploads are suspended")
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// notIndexed logs that an accepted bundle has no index yet.
func (d *daemon) notIndexed(name string, err error) {
	d.log.Error("bundle not indexed, it will be at its first use", "name", name, "err", err)
}

// close releases what newDaemon took.
func (d *daemon) close() {
	closeAll(slices.Concat(d.listeners, d.legacy))
	d.sockets.close()
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

// expire runs the janitor until ctx is done.
func (d *daemon) expire(ctx context.Context) {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	for {
		if err := d.tree.Expire(ctx); err != nil && ctx.Err() == nil {
			d.log.Error("expire", "err", err)
		}
		if t, ok := d.store.(tidier); ok {
			if err := t.Tidy(ctx); err != nil && ctx.Err() == nil {
				d.log.Error("tidy", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchAccounts loads the accounts, and what else proves a login, anew on SIGHUP and
// when one of the files changes. A broken file is told once, and the old state
// stays in force.
func (d *daemon) watchAccounts(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(accountsPoll)
	defer tick.Stop()
	accounts := newWatch(d.cfg.Accounts)
	trust := newWatch(trustFiles(d.cfg)...)
	for {
		forced := false
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			forced = true
		case <-tick.C:
		}
		if accounts.changed() || forced {
			d.reloadAccounts()
		}
		if trust.changed() || forced {
			d.reloadTrust()
		}
	}
}

// watch tells when files change.
type watch struct {
	files []string
	marks []configs.Mark
}

func newWatch(files ...string) *watch {
	w := &watch{files: files, marks: make([]configs.Mark, len(files))}
	w.changed()
	return w
}

// changed reports whether a file is another than at the last call. One that cannot
// be looked at is as it was.
func (w *watch) changed() bool {
	any := false
	for i, file := range w.files {
		now, err := configs.Fingerprint(file)
		if err == nil && now != w.marks[i] {
			w.marks[i] = now
			any = true
		}
	}
	return any
}

func (d *daemon) reloadAccounts() {
	dir, err := loadDirectory(d.cfg.Accounts)
	if err != nil {
		d.log.Error("accounts not reloaded, the old ones stay in force", "err", err)
		d.record(audit.Event{Type: audit.Reload, Detail: "accounts: refused, the old ones stay in force"})
		return
	}
	d.registry.Set(dir)
	d.log.Info("accounts reloaded", "accounts", dir.Len(), "tenants", len(dir.Tenants()))
	d.record(audit.Event{Type: audit.Reload, Count: int64(dir.Len()), Detail: "accounts"})
}

func (d *daemon) reloadTrust() {
	trust, err := loadTrust(d.cfg)
	if err == nil {
		err = d.registry.SetTrust(trust)
	}
	if err != nil {
		d.log.Error("authorities, token keys and revocations not reloaded, the old ones stay in force", "err", err)
		d.record(audit.Event{Type: audit.Reload, Detail: "authorities, token keys and revocations: refused, the old ones stay in force"})
		return
	}
	d.log.Info("authorities, token keys and revocations reloaded", "authorities", len(trust.Authorities),
		"token_keys", len(trust.TokenKeys), "revoked_tokens", len(trust.RevokedTokens), "revoked_keys", trust.Revoked.Len())
	d.record(audit.Event{Type: audit.Reload, Detail: "authorities, token keys and revocations"})
}
