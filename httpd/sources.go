package httpd

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bundleup/vfs"
)

// Sources are asked for the numbers of the moment at each scrape, and must be
// quick. The metrics of a nil one are not there.
type Sources struct {
	// Uploads counts uploads and their bytes.
	Uploads func() vfs.Stats
	// Space is what the medium has left and has in all, in bytes; without ok it
	// does not tell.
	Space func() (free, size uint64, ok bool)
	// Stuck counts uploads that could not be repaired when the storage was
	// opened: the bytes are safe, but not visible.
	Stuck func() int64
	// AuditLost counts events that the audit trail had no room for.
	AuditLost func() int64
	// CertificateEnd is when the TLS certificate is over; zero: there is none.
	CertificateEnd func() time.Time
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("bundleup_"+name, help, nil, nil)
}

var (
	runningDesc     = describe("uploads_in_progress", "Uploads at this moment.")
	suspendedDesc   = describe("uploads_suspended", "Unfinished uploads that can be resumed.")
	keptDesc        = describe("uploads_suspended_bytes", "Bytes of the unfinished uploads.")
	orphansDesc     = describe("uploads_orphaned", "Unfinished uploads of tenants that are gone: nobody can continue them.")
	receivedDesc    = describe("upload_received_bytes_total", "Bytes of uploads that came in.")
	sentDesc        = describe("download_sent_bytes_total", "Bytes handed out to support.")
	freeDesc        = describe("storage_free_bytes", "Bytes that the storage has left.")
	sizeDesc        = describe("storage_size_bytes", "Bytes that the storage has in all.")
	stuckDesc       = describe("uploads_stuck", "Uploads that could not be repaired at the start and were left alone.")
	auditDesc       = describe("audit_lost_total", "Events that the audit trail had no room for.")
	certificateDesc = describe("certificate_not_after_timestamp_seconds", "When the TLS certificate is over, Unix time.")
)

// sourceCollector turns Sources into metrics.
type sourceCollector struct{ from Sources }

// Describe gives nothing: which metrics there are shows at a scrape.
func (c *sourceCollector) Describe(chan<- *prometheus.Desc) {}

// Collect asks for the numbers of the moment.
func (c *sourceCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter := func(d *prometheus.Desc, v int64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	if c.from.Uploads != nil {
		s := c.from.Uploads()
		gauge(runningDesc, float64(s.Running))
		gauge(suspendedDesc, float64(s.Suspended))
		gauge(keptDesc, float64(s.Kept))
		gauge(orphansDesc, float64(s.Orphans))
		counter(receivedDesc, s.Received)
		counter(sentDesc, s.Sent)
	}
	if c.from.Space != nil {
		if free, size, ok := c.from.Space(); ok {
			gauge(freeDesc, float64(free))
			if size > 0 {
				gauge(sizeDesc, float64(size))
			}
		}
	}
	if c.from.Stuck != nil {
		gauge(stuckDesc, float64(c.from.Stuck()))
	}
	if c.from.AuditLost != nil {
		counter(auditDesc, c.from.AuditLost())
	}
	if c.from.CertificateEnd != nil {
		if end := c.from.CertificateEnd(); !end.IsZero() {
			gauge(certificateDesc, float64(end.Unix()))
		}
	}
}

// prepare makes the series whose labels are known: a rate needs a first value of 0,
// or the first event of its kind is not seen.
func (m *Metrics) prepare() {
	for _, result := range []string{"accepted", "dropped"} {
		m.connections.WithLabelValues(result)
	}
	m.sessions.WithLabelValues("ssh")
	for _, method := range []string{"publickey", "password", "keyboard-interactive", "http", "other"} {
		m.logins.WithLabelValues(method, "ok")
		m.logins.WithLabelValues(method, "failed")
	}
	m.handshake.WithLabelValues("publickey")
	for _, protocol := range []string{"sftp", "scp", "http"} {
		for _, result := range []string{"accepted", "repeated", "refused", "suspended", "failed", "removed"} {
			m.uploads.WithLabelValues(protocol, result)
		}
		m.duration.WithLabelValues(protocol)
	}
	for _, how := range []string{vfs.ContinuedBehind, vfs.StartedAnew, vfs.KeptLost} {
		m.resumes.WithLabelValues(how)
	}
	for _, op := range []string{"create", "write", "save", "seal", "open", "read", "put_record"} {
		for _, result := range []string{vfs.ResultOK, vfs.ResultFull, vfs.ResultError} {
			m.storage.WithLabelValues(op, result)
		}
	}
}
