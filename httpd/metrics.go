package httpd

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bundleup/vfs"
)

// Metrics count what happens, for Prometheus. No label holds a name that a peer
// or a tenant chose: their number has no bound. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	connections *prometheus.CounterVec
	sessions    *prometheus.GaugeVec
	logins      *prometheus.CounterVec
	uploads     *prometheus.CounterVec
	rejects     *prometheus.CounterVec
	resumes     *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	size        prometheus.Histogram
	handshake   *prometheus.HistogramVec
	checkTime   prometheus.Counter
	checkLag    prometheus.Histogram
	visible     prometheus.Histogram
	storage     *prometheus.HistogramVec
	legacy      *prometheus.CounterVec
	draining    prometheus.Gauge
	lastBundle  prometheus.Gauge
	webhook     webhookMetrics
}

// durationBuckets go from a small bundle on a LAN to 200 GB on a bad line, in
// seconds; sizeBuckets from 16 KiB to 2 TiB, in bytes.
// lagBuckets are for the check of one piece, waitBuckets for what a person waits
// for; 2 and 30 s are objectives of configs/prometheus.
var (
	durationBuckets = []float64{.1, .3, 1, 3, 10, 30, 100, 300, 1000, 3600, 4 * 3600, 24 * 3600}
	sizeBuckets     = prometheus.ExponentialBuckets(16<<10, 8, 10)
	storageBuckets  = []float64{.0001, .001, .003, .01, .03, .1, .3, 1, 3, 10, 30}
	lagBuckets      = []float64{.0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10}
	waitBuckets     = []float64{.01, .03, .1, .3, .5, 1, 2, 5, 10, 30, 60, 300}
)

// NewMetrics makes the metrics of one daemon of that version. The sources are asked
// at each scrape.
func NewMetrics(version string, from Sources) *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		connections: counters("connections_total", "Connections, by what became of them: accepted or dropped by a limit.", "result"),
		sessions:    gauges("sessions_active", "Connections that are logged in.", "protocol"),
		logins:      counters("auth_attempts_total", "Tries to log in.", "method", "result"),
		uploads:     counters("uploads_total", "Uploads that ended: accepted, repeated, refused, suspended by the client, failed by the server, removed.", "protocol", "result"),
		rejects:     counters("upload_rejects_total", "Refused bundles, by the rule that they broke.", "rule"),
		resumes:     counters("upload_resumes_total", "Uploads of which bytes were kept: continued behind them, restarted by the client, or lost.", "result"),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bundleup_upload_duration_seconds",
			Help: "From the first open to the receipt of an accepted bundle.", Buckets: durationBuckets}, []string{"protocol"}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bundleup_upload_size_bytes",
			Help: "Compressed size of accepted bundles.", Buckets: sizeBuckets}),
		storage: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bundleup_storage_request_duration_seconds",
			Help: "What the storage took for an operation.", Buckets: storageBuckets}, []string{"op", "result"}),
		handshake: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "bundleup_handshake_duration_seconds",
			Help: "From the connection to the login, by its method; with what a person types.", Buckets: waitBuckets}, []string{"method"}),
		checkTime: prometheus.NewCounter(prometheus.CounterOpts{Name: "bundleup_check_seconds_total", Help: "Time spent on checks and digests."}),
		checkLag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bundleup_check_lag_seconds",
			Help: "How far the verdict on a piece of an upload is behind its bytes.", Buckets: lagBuckets}),
		visible: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bundleup_upload_visible_seconds",
			Help: "From the last byte of a bundle until it is durable and can be seen.", Buckets: waitBuckets}),
		webhook:  newWebhookMetrics(),
		legacy:   counters("legacy_algorithms_total", "Logins over algorithms that only the legacy listener has.", "algorithm"),
		draining: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bundleup_drain_state", Help: "1 while the daemon stops and running uploads go on."}),
		lastBundle: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bundleup_last_accepted_timestamp_seconds",
			Help: "When a bundle was last accepted, Unix time; 0: not since the start."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bundleup_build_info", Help: "1, by version.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(info, m.connections, m.sessions, m.logins, m.uploads, m.rejects, m.resumes, m.duration, m.size,
		m.handshake, m.checkTime, m.checkLag, m.visible, m.storage, m.legacy, m.draining, m.lastBundle, &sourceCollector{from},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.webhook.register(m.registry)
	m.prepare()
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "bundleup_" + name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "bundleup_" + name, Help: help}, labels)
}

// Connection counts a connection: "accepted" or "dropped".
func (m *Metrics) Connection(result string) { m.connections.WithLabelValues(result).Inc() }

// Login counts a try: method is "publickey", "password", "http", ...; result "ok"
// or "failed". Methods are the server's, never a peer's words.
func (m *Metrics) Login(method, result string) { m.logins.WithLabelValues(method, result).Inc() }

// Session counts the connections that are logged in, by 1 or -1.
func (m *Metrics) Session(protocol string, by int) {
	m.sessions.WithLabelValues(protocol).Add(float64(by))
}

// Legacy counts a login over an algorithm of the legacy listener.
func (m *Metrics) Legacy(algorithm string) { m.legacy.WithLabelValues(algorithm).Inc() }

// storageRequest counts an operation of the storage and what it took.
func (m *Metrics) storageRequest(op, result string, took time.Duration) {
	m.storage.WithLabelValues(op, result).Observe(took.Seconds())
}

// Handshake tells what a connection took until its login by that method.
func (m *Metrics) Handshake(method string, took time.Duration) {
	m.handshake.WithLabelValues(method).Observe(took.Seconds())
}

// Meter counts what storage and checks take.
func (m *Metrics) Meter() vfs.Meter {
	return vfs.Meter{
		Storage: m.storageRequest,
		Check: func(took time.Duration) {
			m.checkTime.Add(took.Seconds())
			m.checkLag.Observe(took.Seconds())
		},
		Visible:   func(took time.Duration) { m.visible.Observe(took.Seconds()) },
		Continued: func(how string) { m.resumes.WithLabelValues(how).Inc() },
	}
}

// Draining says that the daemon stops.
func (m *Metrics) Draining() { m.draining.Set(1) }

// Events count the ends of uploads.
func (m *Metrics) Events() vfs.Events {
	return vfs.Events{
		Accepted: m.accepted,
		Refused: func(p vfs.Peer, r *vfs.Receipt) {
			m.uploads.WithLabelValues(p.Protocol, "refused").Inc()
			m.rejects.WithLabelValues(string(r.Rejection.Rule)).Inc()
		},
		Suspended: func(p vfs.Peer, _ vfs.UploadID, _ int64, cause error) {
			result := "suspended"
			if vfs.Fault(cause) {
				result = "failed"
			}
			m.uploads.WithLabelValues(p.Protocol, result).Inc()
		},
		Removed: func(p vfs.Peer, _ vfs.UploadID) { m.uploads.WithLabelValues(p.Protocol, "removed").Inc() },
	}
}

func (m *Metrics) accepted(p vfs.Peer, r *vfs.Receipt) {
	if r.Repeated {
		m.uploads.WithLabelValues(p.Protocol, "repeated").Inc()
		return
	}
	m.uploads.WithLabelValues(p.Protocol, "accepted").Inc()
	m.duration.WithLabelValues(p.Protocol).Observe(r.Finished.Sub(r.Started).Seconds())
	m.size.Observe(float64(r.Size))
	m.lastBundle.Set(float64(r.Finished.Unix()))
}

// handler answers a scrape.
func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: 4})
}
