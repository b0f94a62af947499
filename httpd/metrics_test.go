package httpd

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"bundleup/vfs"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	rec := newRecorder()
	h.ServeHTTP(rec, mustRequest(t, "GET", path))
	return rec.Code, rec.Body.String()
}

func TestMetrics(t *testing.T) {
	m := NewMetrics("1.2", Sources{
		Uploads: func() vfs.Stats {
			return vfs.Stats{Running: 3, Suspended: 2, Kept: 77, Orphans: 1, Received: 1000, Sent: 5}
		},
		Space:          func() (free, size uint64, ok bool) { return 40, 100, true },
		AuditLost:      func() int64 { return 6 },
		Stuck:          func() int64 { return 4 },
		CertificateEnd: func() time.Time { return time.Unix(1_900_000_000, 0) },
	})
	e := m.Events()
	sftp := vfs.Peer{Protocol: "sftp"}
	start := time.Unix(1_800_000_000, 0)
	e.Accepted(sftp, &vfs.Receipt{Size: 100_000, Started: start, Finished: start.Add(2 * time.Second)})
	e.Accepted(sftp, &vfs.Receipt{Repeated: true})
	e.Refused(sftp, &vfs.Receipt{Rejection: &vfs.RejectionInfo{Rule: "format"}})
	e.Suspended(vfs.Peer{Protocol: "http"}, vfs.UploadID{}, 10, nil)
	e.Suspended(sftp, vfs.UploadID{}, 10, errors.New("broken disk"))
	m.Meter().Continued(vfs.ContinuedBehind)
	m.Meter().Check(2 * time.Millisecond)
	m.Meter().Visible(time.Second)
	m.Handshake("publickey", time.Second)
	e.Removed(sftp, vfs.UploadID{})
	m.Connection("accepted")
	m.Connection("dropped")
	m.Login("publickey", "ok")
	m.Session("ssh", 1)
	m.Session("ssh", 1)
	m.Session("ssh", -1)
	m.Meter().Storage("seal", vfs.ResultOK, 5*time.Millisecond)
	m.Meter().Storage("seal", vfs.ResultError, time.Millisecond)
	m.Legacy("ssh-rsa")
	m.Draining()
	_, text := get(t, Ops(m, func(context.Context) error { return nil }), "/metrics")
	for _, want := range []string{
		`bundleup_build_info{version="1.2"} 1`,
		`bundleup_uploads_total{protocol="sftp",result="accepted"} 1`,
		`bundleup_uploads_total{protocol="sftp",result="repeated"} 1`,
		`bundleup_uploads_total{protocol="sftp",result="refused"} 1`,
		`bundleup_uploads_total{protocol="http",result="suspended"} 1`,
		`bundleup_uploads_total{protocol="sftp",result="removed"} 1`,
		`bundleup_upload_rejects_total{rule="format"} 1`,
		`bundleup_upload_resumes_total{result="continued"} 1`,
		`bundleup_upload_resumes_total{result="lost"} 0`,
		`bundleup_uploads_total{protocol="sftp",result="failed"} 1`,
		`bundleup_uploads_total{protocol="scp",result="accepted"} 0`,
		`bundleup_check_seconds_total 0.002`,
		`bundleup_check_lag_seconds_count 1`,
		`bundleup_upload_visible_seconds_sum 1`,
		`bundleup_handshake_duration_seconds_count{method="publickey"} 1`,
		`bundleup_uploads_orphaned 1`,
		`bundleup_uploads_stuck 4`,
		`bundleup_storage_free_bytes 40`,
		`bundleup_storage_size_bytes 100`,
		`bundleup_audit_lost_total 6`,
		`bundleup_certificate_not_after_timestamp_seconds 1.9e+09`,
		`bundleup_webhook_queue_events 0`,
		`bundleup_upload_duration_seconds_sum{protocol="sftp"} 2`,
		`bundleup_upload_size_bytes_sum 100000`,
		`bundleup_last_accepted_timestamp_seconds 1.800000002e+09`,
		`bundleup_connections_total{result="accepted"} 1`,
		`bundleup_connections_total{result="dropped"} 1`,
		`bundleup_auth_attempts_total{method="publickey",result="ok"} 1`,
		`bundleup_sessions_active{protocol="ssh"} 1`,
		`bundleup_storage_request_duration_seconds_count{op="seal",result="ok"} 1`,
		`bundleup_storage_request_duration_seconds_count{op="seal",result="error"} 1`,
		`bundleup_legacy_algorithms_total{algorithm="ssh-rsa"} 1`,
		`bundleup_drain_state 1`,
		`bundleup_uploads_in_progress 3`,
		`bundleup_uploads_suspended 2`,
		`bundleup_uploads_suspended_bytes 77`,
		`bundleup_upload_received_bytes_total 1000`,
		`bundleup_download_sent_bytes_total 5`,
		`go_goroutines `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics: %q is missing", want)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	var state error
	h := Ops(NewMetrics("", Sources{}), func(context.Context) error { return state })
	if code, text := get(t, h, "/readyz"); code != 200 || text != "ready\n" {
		t.Errorf("ready: got %d %q", code, text)
	}
	state = errors.New("the storage does not answer")
	if code, text := get(t, h, "/readyz"); code != 503 || text != "not ready: the storage does not answer\n" {
		t.Errorf("not ready: got %d %q", code, text)
	}
	if code, _ := get(t, h, "/healthz"); code != 200 {
		t.Errorf("health: got %d", code)
	}
	if code, _ := get(t, h, "/tenants"); code != 404 {
		t.Errorf("another path: got %d", code)
	}
}
