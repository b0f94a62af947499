package httpd

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// CanaryMetrics tell how uploads fare that are tried from outside. It is safe for
// concurrent use.
type CanaryMetrics struct {
	registry *prometheus.Registry
	last     prometheus.Gauge
	failures prometheus.Counter
	duration prometheus.Histogram
}

// NewCanaryMetrics makes the metrics of one canary.
func NewCanaryMetrics() *CanaryMetrics {
	m := &CanaryMetrics{
		registry: prometheus.NewRegistry(),
		last: prometheus.NewGauge(prometheus.GaugeOpts{Name: "bundleup_canary_last_success_timestamp_seconds",
			Help: "When an upload last succeeded, Unix time; 0: not since the start."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "bundleup_canary_failures_total", Help: "Uploads that failed."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "bundleup_canary_duration_seconds",
			Help: "From the connection to the answer, of uploads that succeeded.", Buckets: waitBuckets}),
	}
	m.registry.MustRegister(m.last, m.failures, m.duration)
	return m
}

// Succeeded counts an upload that was answered at now, after took.
func (m *CanaryMetrics) Succeeded(now time.Time, took time.Duration) {
	m.last.Set(float64(now.Unix()))
	m.duration.Observe(took.Seconds())
}

// Failed counts an upload that failed.
func (m *CanaryMetrics) Failed() { m.failures.Inc() }

// Handler answers /metrics.
func (m *CanaryMetrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}
