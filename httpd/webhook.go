package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bundleup/vfs"
)

// WebhookConfig is what NewWebhook needs. URL, Secrets and Queue must be set.
type WebhookConfig struct {
	// URL receives the events: https, or http to a loopback address.
	URL string
	// Source is the events' attribute of that name. Default "bundleup".
	Source string
	// Secrets gives what signs; it is asked for each delivery.
	Secrets func() ([][]byte, error)
	// Queue is the directory of the events that wait.
	Queue string
	// MaxEvents and MaxBytes bound the queue. Defaults 10,000 and 64 MiB.
	MaxEvents int
	MaxBytes  int64
	// Shared says that another process may put events into the queue now, which
	// this one then looks for every few seconds. Default: no.
	Shared func() bool
	// GiveUp is the age at which an event is no longer tried. Default 3 days.
	GiveUp time.Duration
	// Timeout bounds one delivery. Default 15 s.
	Timeout time.Duration
	// Metrics count deliveries. Nil: none.
	Metrics *Metrics
	// Log takes one line for each change between working and failing, and for
	// each event that is given up. Default: no log.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

const (
	firstPause     = time.Second
	longestPause   = 5 * time.Minute
	longestAsked   = time.Hour // that a receiver may ask for by Retry-After
	maxWebhookBody = 64 << 10
	lookEvery      = 5 * time.Second // for what another process put into the queue
)

// Webhook tells a receiver of every bundle that is accepted or refused, in order,
// at least once: an event is on the disk before the customer has his answer, and
// stays there until the receiver has answered with a status of 2xx. While it does
// not, the events behind wait as well. A bundle that was accepted before and is
// sent again is no event.
//
// What it does not promise: an event whose queue is full or cannot be written is
// dropped, logged and counted, and so is one that got too old; and of a verdict at
// which the machine lost power before the event was on the disk none is sent. The
// receipts tell of all.
type Webhook struct {
	cfg    WebhookConfig
	queue  *queue
	client *http.Client
	losing atomic.Bool // the last event found no room
}

// NewWebhook opens the queue. Run must be called, and Close at the end.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	if err := CheckWebhookURL(cfg.URL); err != nil {
		return nil, err
	}
	if cfg.Secrets == nil || cfg.Queue == "" {
		return nil, errors.New("new webhook: Secrets and Queue must be set")
	}
	if _, err := cfg.Secrets(); err != nil {
		return nil, err
	}
	cfg.complete()
	q, err := openQueue(cfg.Queue, cfg.MaxEvents, cfg.MaxBytes, cfg.Shared())
	if err != nil {
		return nil, fmt.Errorf("open webhook queue: %w", err)
	}
	w := &Webhook{cfg: cfg, queue: q, client: newWebhookClient(cfg.Timeout)}
	if cfg.Metrics != nil {
		cfg.Metrics.webhook.queue.Store(q)
	}
	return w, nil
}

func (c *WebhookConfig) complete() {
	if c.Source == "" {
		c.Source = "bundleup"
	}
	if c.MaxEvents == 0 {
		c.MaxEvents = 10_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.GiveUp == 0 {
		c.GiveUp = 3 * 24 * time.Hour
	}
	if c.Shared == nil {
		c.Shared = func() bool { return false }
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics("", Sources{})
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// CheckWebhookURL reports why events may not be sent there: they name customers and
// what they send.
func CheckWebhookURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("webhook URL: want https://HOST/PATH, without a user or a fragment")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("webhook URL: want https, or http to a loopback address")
	}
	return nil
}

// newWebhookClient follows no redirects: where events go is the operator's word.
func newWebhookClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment, // never for loopback
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConns:           1,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		},
	}
}

// Events put verdicts into the queue.
func (w *Webhook) Events() vfs.Events {
	return vfs.Events{
		Accepted: func(_ vfs.Peer, r *vfs.Receipt) {
			if !r.Repeated {
				w.put(r)
			}
		},
		Refused: func(_ vfs.Peer, r *vfs.Receipt) { w.put(r) },
	}
}

// put queues an event, or says once that it cannot.
func (w *Webhook) put(r *vfs.Receipt) {
	event, err := newEvent(w.cfg.Source, r)
	if err == nil {
		err = w.queue.put(event, w.cfg.Now())
	}
	if err == nil {
		w.losing.Store(false)
		return
	}
	reason := "failed"
	if errors.Is(err, errQueueFull) {
		reason = "full"
	}
	w.cfg.Metrics.webhook.dropped.WithLabelValues(reason).Inc()
	if !w.losing.Swap(true) {
		w.cfg.Log.Error("webhook events are dropped", "upload", r.ID, "tenant", r.Tenant, "err", err)
	}
}

// Run delivers until ctx is done. What is not delivered then stays in the queue.
func (w *Webhook) Run(ctx context.Context) {
	failures := 0
	for {
		e, event, ok, err := w.queue.head()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-w.queue.wake:
			case <-time.After(lookEvery):
			}
			w.look()
			continue
		}
		var again time.Duration
		if err == nil {
			again, err = w.handle(ctx, e, event)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if failures > 0 {
				w.cfg.Log.Info("webhook works again", "failures", failures)
			}
			failures = 0
			continue
		}
		if failures++; failures == 1 {
			w.cfg.Log.Warn("webhook fails: events wait", "err", err)
		}
		if !sleep(ctx, max(pause(failures), again)) {
			return
		}
	}
}

// look finds what another process has put into the queue.
func (w *Webhook) look() {
	if !w.cfg.Shared() {
		return
	}
	if err := w.queue.scan(); err != nil {
		w.cfg.Log.Error("webhook queue cannot be read", "err", err)
	}
}

// Look finds what another process that has ended had put into the queue. It is called
// when Shared has become false.
func (w *Webhook) Look() error {
	err := w.queue.scan()
	w.queue.rouse()
	return err
}

// handle brings the oldest event to its end, if it can; again is what the receiver
// asks for before the next try.
func (w *Webhook) handle(ctx context.Context, e queued, event []byte) (again time.Duration, err error) {
	id, at, err := eventID(event)
	switch {
	case err != nil:
		return 0, w.giveUp(e, "damaged", e.name(), e.since)
	case w.cfg.Now().Sub(at) > w.cfg.GiveUp:
		return 0, w.giveUp(e, "expired", id, at)
	}
	again, err = w.deliver(ctx, id, event)
	if err != nil {
		if ctx.Err() == nil {
			w.cfg.Metrics.webhook.deliveries.WithLabelValues("failed").Inc()
		}
		return again, err
	}
	w.cfg.Metrics.webhook.deliveries.WithLabelValues("ok").Inc()
	return 0, w.drop(e)
}

func (w *Webhook) giveUp(e queued, reason, id string, at time.Time) error {
	w.cfg.Metrics.webhook.dropped.WithLabelValues(reason).Inc()
	w.cfg.Log.Error("webhook event is given up", "event", id, "reason", reason, "time", at)
	return w.drop(e)
}

// drop removes an event. One whose file stays is told and not kept: it would
// be sent without an end.
func (w *Webhook) drop(e queued) error {
	if err := w.queue.drop(e); err != nil {
		w.cfg.Log.Error("webhook event stays in the queue and will come again", "err", err)
	}
	return nil
}

// deliver sends an event once.
func (w *Webhook) deliver(ctx context.Context, id string, event []byte) (again time.Duration, err error) {
	secrets, err := w.cfg.Secrets()
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(event))
	if err != nil {
		return 0, err
	}
	now := w.cfg.Now()
	r.Header.Set("Content-Type", cloudEventType)
	r.Header.Set("User-Agent", "bundleup")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", sign(secrets, id, now, event))
	resp, err := w.client.Do(r)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxWebhookBody) // lets the connection be used again
	if resp.StatusCode/100 == 2 {
		return 0, nil
	}
	return retryAfter(resp.Header.Get("Retry-After")), fmt.Errorf("deliver webhook: the receiver answers with status %d", resp.StatusCode)
}

// withoutURL leaves the URL out of an error: its path may hold a secret.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("deliver webhook: %w", err)
}

// retryAfter reads RFC 9110, 10.2.3 in seconds; the form with a date is ignored.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(min(n, 86400))*time.Second, longestAsked)
}

// pause is for so many failures in a row: doubled each time, and half of it by
// chance, so that many daemons do not come at once.
func pause(failures int) time.Duration {
	d := min(firstPause<<min(failures-1, 20), longestPause)
	return d/2 + rand.N(d/2)
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

// Close releases the queue, after Run has returned.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return w.queue.close()
}

// webhookMetrics count deliveries; the queue is that of the Webhook, once there is
// one.
type webhookMetrics struct {
	deliveries *prometheus.CounterVec
	dropped    *prometheus.CounterVec
	queue      *atomic.Pointer[queue]
}

func newWebhookMetrics() webhookMetrics {
	m := webhookMetrics{
		deliveries: counters("webhook_deliveries_total", "Tries to deliver an event.", "result"),
		dropped:    counters("webhook_dropped_total", "Events that will not be delivered: full or failed queue, expired or damaged event.", "reason"),
		queue:      &atomic.Pointer[queue]{},
	}
	for _, result := range []string{"ok", "failed"} {
		m.deliveries.WithLabelValues(result)
	}
	for _, reason := range []string{"full", "failed", "expired", "damaged"} {
		m.dropped.WithLabelValues(reason)
	}
	return m
}

func (m *webhookMetrics) register(r prometheus.Registerer) {
	gauge := func(name, help string, value func(q *queue) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "bundleup_webhook_" + name, Help: help}, func() float64 {
			if q := m.queue.Load(); q != nil {
				return value(q)
			}
			return 0
		})
	}
	r.MustRegister(m.deliveries, m.dropped,
		gauge("queue_events", "Events that wait for the receiver.", func(q *queue) float64 { n, _, _ := q.state(); return float64(n) }),
		gauge("queue_bytes", "Bytes of the events that wait.", func(q *queue) float64 { _, n, _ := q.state(); return float64(n) }),
		gauge("oldest_timestamp_seconds", "Since when the oldest event waits, Unix time; 0: none does.", func(q *queue) float64 {
			if _, _, t := q.state(); !t.IsZero() {
				return float64(t.Unix())
			}
			return 0
		}))
}
