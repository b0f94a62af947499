package main

import (
	"context"
	"fmt"
	"time"

	"bundleup/httpd"
	"bundleup/vfs"
)

// spaceTimeout bounds how long a scrape waits for the storage's free space.
const spaceTimeout = 5 * time.Second

// sources are what a scrape asks for; the daemon is whole by then.
func (d *daemon) sources() httpd.Sources {
	return httpd.Sources{
		Uploads: func() vfs.Stats { return d.tree.Stats() },
		Space: func() (free, size uint64, ok bool) {
			ctx, cancel := context.WithTimeout(context.Background(), spaceTimeout)
			defer cancel()
			return d.tree.Space(ctx)
		},
		Stuck: func() int64 { return int64(d.stuck) },
		AuditLost: func() int64 {
			if d.audit == nil {
				return 0
			}
			return d.audit.Lost()
		},
		CertificateEnd: func() time.Time {
			if d.web.certs == nil {
				return time.Time{}
			}
			return d.web.certs.End()
		},
	}
}

// openWebhook opens the queue of events, where they have a receiver.
func (d *daemon) openWebhook(context.Context) (err error) {
	c := &d.cfg.Webhook
	if c.URL == "" {
		return nil
	}
	d.webhook, err = httpd.NewWebhook(httpd.WebhookConfig{
		URL: c.URL, Source: c.Source, Queue: c.QueueDir(d.cfg.DataDir),
		Secrets:   func() ([][]byte, error) { return httpd.LoadWebhookSecrets(c.SecretFile) },
		MaxEvents: c.MaxEvents, MaxBytes: int64(c.MaxBytes), GiveUp: time.Duration(c.GiveUp),
		Shared: d.shared, Metrics: d.metrics, Log: d.log,
	})
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

func (d *daemon) webhookEvents() vfs.Events {
	if d.webhook == nil {
		return vfs.Events{}
	}
	return d.webhook.Events()
}

func (d *daemon) closeWebhook() {
	if d.webhook == nil {
		return
	}
	if err := d.webhook.Close(); err != nil {
		d.log.Error("close webhook queue", "err", err)
	}
}
