package main

import (
	"context"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/auth/audit"
	"bundleup/configs"
	"bundleup/sshd"
	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

// cacheShare is the part of limits.memory that inflated data may have.
const cacheShare = 5

// maxHashes is the most that auth.NewRegistry takes.
const maxHashes = 64

// passwordHashes is how many passwords are hashed at once: as many as are set, or
// half the cores. Somebody who guesses keeps the other half free for uploads.
func passwordHashes(set, cores int) int {
	if set > 0 {
		return set
	}
	return min(max(1, cores/2), maxHashes)
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
	if d.registry, err = auth.NewRegistry(dir, passwordHashes(d.cfg.Limits.PasswordHashes, runtime.GOMAXPROCS(0))); err != nil {
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
	if d.cfg.Audit.Log {
		cfg.Written = func(line string) { d.log.Info("audit", "line", line) }
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

func (d *daemon) openStore(ctx context.Context) (err error) {
	d.store, d.stuck, err = openMedium(ctx, d.cfg, d.older.lock, d.log)
	d.older.lock = nil // the store's
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
	cfg.Commands, cfg.Log, cfg.Events = commands(d.cfg.Limits), d.log, auditLogins(d.record).Tee(sshMetrics(d.metrics))
	d.server, err = sshd.New(cfg)
	return err
}

// commands are all that can be run over ssh beside scp.
func commands(l configs.Limits) map[string]sshd.Command {
	all := sshd.SumCommands()
	maps.Copy(all, sshd.InsideCommands(time.Duration(l.CommandTime), int64(l.CommandOutput)))
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
	doors := uint64(1)
	if len(d.cfg.HTTP.Listen) > 0 {
		doors++
	}
	want := doors*uint64(d.cfg.Limits.Connections) + filesPerUpload*uint64(d.cfg.Limits.HandlesPerAccount) + 64
	if have.Cur < want {
		d.log.Warn("the limit of open files is low", "limit", have.Cur, "want", want, "mend", "raise LimitNOFILE or lower limits.connections")
	}
}
