package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bundleup/auth/audit"
	"bundleup/configs"
)

// accountsPoll is how often the accounts file is looked at for changes.
const accountsPoll = 2 * time.Second

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
