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
	m := NewMetrics("1.2", func() vfs.Stats { return vfs.Stats{Running: 3, Suspended: 2, Kept: 77, Received: 1000, Sent: 5} })
	e := m.Events()
	sftp := vfs.Peer{Protocol: "sftp"}
	start := time.Unix(1_800_000_000, 0)
	e.Accepted(sftp, &vfs.Receipt{Size: 100_000, Started: start, Finished: start.Add(2 * time.Second)})
	e.Accepted(sftp, &vfs.Receipt{Repeated: true})
	e.Refused(sftp, &vfs.Receipt{Rejection: &vfs.RejectionInfo{Rule: "format"}})
	e.Suspended(vfs.Peer{Protocol: "http"}, vfs.UploadID{}, 10, nil)
	e.Resumed(sftp, vfs.UploadID{}, 10)
	e.Removed(sftp, vfs.UploadID{})
	m.Connection("accepted")
	m.Connection("dropped")
	m.Login("publickey", "ok")
	m.Session("ssh", 1)
	m.Session("ssh", 1)
	m.Session("ssh", -1)
	m.Storage("seal", 5*time.Millisecond, nil)
	m.Storage("seal", time.Millisecond, errors.New("broken"))
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
		`bundleup_upload_resumes_total 1`,
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
	h := Ops(NewMetrics("", func() vfs.Stats { return vfs.Stats{} }), func(context.Context) error { return state })
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
