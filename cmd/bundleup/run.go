package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// janitorEvery is how often expired uploads and receipts are removed.
const janitorEvery = 15 * time.Minute

// run serves until ctx is done or a newer daemon serves, then lets running uploads go
// on for the grace and suspends the rest.
func (d *daemon) run(ctx context.Context) error {
	defer d.close()
	for _, k := range d.keys {
		d.log.Info("host key", "type", k.PublicKey().Type(), "fingerprint", ssh.FingerprintSHA256(k.PublicKey()))
	}
	upgrade := make(chan os.Signal, 1)
	signal.Notify(upgrade, syscall.SIGUSR2)
	defer signal.Stop(upgrade)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	// What only the newest daemon does.
	newest, retire := context.WithCancel(background)
	defer retire()
	var wg sync.WaitGroup
	d.startWork(background, newest, &wg)
	broken := d.serve(background, &wg)
	d.announce()
	replaced, err := d.untilEnd(ctx, upgrade, broken)
	if replaced {
		retire()
		d.web.closeOps()
	} else {
		d.tell(d.manager.stopping(time.Duration(d.cfg.Uploads.ShutdownGrace)))
	}
	d.draining.Store(true)
	d.metrics.Draining()
	err = errors.Join(err, d.shutdown(ctx, replaced))
	d.web.close()
	stop()
	wg.Wait()
	return err
}

// startWork starts what goes on beside serving.
func (d *daemon) startWork(background, newest context.Context, wg *sync.WaitGroup) {
	wg.Go(func() { d.watchAccounts(background) })
	wg.Go(func() { d.expire(newest) })
	wg.Go(func() { d.settle(newest) })
	wg.Go(func() { d.tree.Index(background, d.notIndexed) })
	if d.webhook != nil {
		wg.Go(func() { d.webhook.Run(newest) })
	}
	if agent := os.Getenv("ECS_AGENT_URI"); agent != "" {
		wg.Go(func() { d.protection(agent).run(background) })
	}
}

// serve starts to accept on all sockets; broken gets one result of each.
func (d *daemon) serve(background context.Context, wg *sync.WaitGroup) (broken chan error) {
	broken = make(chan error, len(d.listeners)+len(d.legacy)+len(d.web.doors)+len(d.web.opss))
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
	return broken
}

// announce says that the daemon serves: to an older one, which then tells the service
// manager, or to the manager itself.
func (d *daemon) announce() {
	if d.older.ready == nil {
		d.tell(d.manager.ready())
		return
	}
	d.log.Info("taking over from an older daemon", "version", versionLine())
	if err := d.older.tell(); err != nil {
		d.log.Warn("the older daemon cannot be told that this one serves", "err", err)
	}
}

// untilEnd waits for the reason to end; replaced says that it is a newer daemon.
func (d *daemon) untilEnd(ctx context.Context, upgrade <-chan os.Signal, broken <-chan error) (replaced bool, err error) {
	for {
		select {
		case <-ctx.Done():
			d.log.Info("stopping", "grace", time.Duration(d.cfg.Uploads.ShutdownGrace).String())
			return false, nil
		case err := <-broken:
			return false, err
		case <-upgrade:
			pid, err := d.handOver(ctx)
			if err == nil {
				d.server.Retire()
				d.log.Info("a newer daemon serves, running uploads go on here", "newer", pid, "grace", time.Duration(d.cfg.Uploads.HandoverGrace).String())
				d.tell(d.manager.replacedBy(pid))
				return true, nil
			}
			d.log.Error("no newer daemon, this one goes on", "err", err)
		}
	}
}

// settling is for those whom a daemon accepted just before it was replaced: to log in and
// to begin.
const settling = 5 * time.Second

// shutdown lets uploads go on for the grace of a shutdown or, while a newer daemon
// serves, for that of a handover, which ends at SIGTERM as a shutdown does.
func (d *daemon) shutdown(stopping context.Context, replaced bool) error {
	grace := time.Duration(d.cfg.Uploads.ShutdownGrace)
	if replaced {
		grace = time.Duration(d.cfg.Uploads.HandoverGrace)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if replaced {
		stop := context.AfterFunc(stopping, func() {
			sleep(ctx, time.Duration(d.cfg.Uploads.ShutdownGrace))
			cancel()
		})
		defer stop()
	}
	// The doors close side by side: both have the whole grace.
	web := make(chan error, 1)
	go func() { web <- d.web.shutdown(ctx) }()
	if replaced {
		sleep(ctx, settling)
	}
	errs := []error{d.server.Shutdown(ctx), <-web}
	for i, err := range errs {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			d.log.Info("grace is over, uploads are suspended")
			errs[i] = nil
		}
	}
	return errors.Join(errs...)
}

// sleep reports whether it slept so long before ctx was done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// notIndexed logs that an accepted bundle has no index yet.
func (d *daemon) notIndexed(name string, err error) {
	d.log.Error("bundle not indexed, it will be at its first use", "name", name, "err", err)
}

// expire runs the janitor until ctx is done, but not while another daemon uses the
// same disk.
func (d *daemon) expire(ctx context.Context) {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	for {
		if !d.shared() {
			d.tidy(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *daemon) tidy(ctx context.Context) {
	if err := d.tree.Expire(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("expire", "err", err)
	}
	t, ok := d.store.(tidier)
	if !ok {
		return
	}
	if err := t.Tidy(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("tidy", "err", err)
	}
}
