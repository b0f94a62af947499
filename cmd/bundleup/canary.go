package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"bundleup/configs"
	"bundleup/httpd"
)

// canaryOptions are the flags of "bundleup canary".
type canaryOptions struct {
	probe    sshProbe
	key      string
	known    string
	name     string
	fresh    bool
	once     bool
	interval time.Duration
	timeout  time.Duration
	listen   string
}

func canaryCommand() *cobra.Command {
	var o canaryOptions
	cmd := &cobra.Command{
		Use:   "canary --address HOST:PORT --user NAME --key FILE --known-hosts FILE",
		Short: "Upload a small bundle again and again, and tell Prometheus how it fares",
		Long:  "canary sends a small sound bundle over SSH, as a customer would, and serves what came\nof it on --listen. The same bytes go under the same name: the daemon answers from the\nfirst receipt and nothing piles up. With --fresh each bundle is a new one, which tests\nthe storage as well and fills it: give its tenant a retention.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.interval < time.Second || o.timeout < time.Second {
				return errors.New("--interval and --timeout: want at least 1s")
			}
			if err := o.load(); err != nil {
				return failed(err)
			}
			log, err := newLogger(cmd.ErrOrStderr(), configs.Log{Level: "info", Format: "auto"})
			if err != nil {
				return failed(err)
			}
			if o.once {
				took, err := o.upload(cmd.Context())
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %s in %s\n", o.name, took.Round(time.Millisecond))
				}
				return failed(err)
			}
			return failed(o.run(cmd.Context(), log))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.probe.address, "address", "127.0.0.1:2222", "the daemon's `HOST:PORT`")
	f.StringVar(&o.probe.user, "user", "", "a customer account's `NAME`")
	f.StringVar(&o.key, "key", "", "its private key, `FILE`")
	f.StringVar(&o.known, "known-hosts", "", "known_hosts `FILE` with the daemon's host key")
	f.StringVar(&o.name, "name", "canary.tgz", "`NAME` of the bundle")
	f.BoolVar(&o.fresh, "fresh", false, "send other bytes under another name each time")
	f.BoolVar(&o.once, "once", false, "upload once; exit 1 if it fails")
	f.DurationVar(&o.interval, "interval", time.Minute, "between two uploads")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "of one upload")
	f.StringVar(&o.listen, "listen", "127.0.0.1:9121", "`HOST:PORT` that serves /metrics")
	for _, name := range []string{"user", "key", "known-hosts"} {
		// The flag is defined above.
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// load reads the key and the host keys.
func (o *canaryOptions) load() (err error) {
	if o.probe.signer, err = readSigner(o.key); err != nil {
		return err
	}
	o.probe.hosts, err = readKnownHosts(o.known, o.probe.address)
	return err
}

// upload sends one bundle and says what that took.
func (o *canaryOptions) upload(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	start := time.Now()
	name, seed := o.name, uint64(1)
	if o.fresh {
		seed = uint64(start.UnixNano())
		ext := filepath.Ext(name)
		name = fmt.Sprintf("%s-%s%s", name[:len(name)-len(ext)], start.UTC().Format("20060102T150405.000000000Z"), ext)
	}
	bundle, err := canaryBundle(seed)
	if err == nil {
		err = o.probe.send(ctx, name, bundle)
	}
	if err != nil {
		return 0, fmt.Errorf("canary: %w", err)
	}
	return time.Since(start), nil
}

// run uploads until ctx is done, and serves the metrics meanwhile.
func (o *canaryOptions) run(ctx context.Context, log *slog.Logger) error {
	metrics := httpd.NewCanaryMetrics()
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: metrics.Handler(), ReadTimeout: opsTimeout, WriteTimeout: opsTimeout, MaxHeaderBytes: 16 << 10}
	log.Info("listening for operators", "address", l.Addr().String())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var broken error
	wg.Go(func() {
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			broken = err
		}
	})
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		o.try(ctx, metrics, log)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	server.Close()
	wg.Wait()
	return broken
}

// try uploads once and counts it.
func (o *canaryOptions) try(ctx context.Context, m *httpd.CanaryMetrics, log *slog.Logger) {
	took, err := o.upload(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		m.Failed()
		log.Error("canary failed", "address", o.probe.address, "err", err)
	default:
		m.Succeeded(time.Now(), took)
		log.Info("canary succeeded", "seconds", took.Seconds())
	}
}
