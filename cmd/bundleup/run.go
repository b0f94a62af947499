package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// janitorEvery is how often expired uploads and receipts are removed.
const janitorEvery = 15 * time.Minute

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
