package httpd

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bundleup/vfs"
)

var hookTime = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// hookSecrets sign in tests; the first is the one of the Standard Webhooks' examples.
var hookSecrets = [][]byte{mustBase64("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), bytes.Repeat([]byte("k"), 32)}

func mustBase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestSign is the example of the Standard Webhooks' libraries.
func TestSign(t *testing.T) {
	got := sign(hookSecrets[:1], "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func hookReceipt(n int, verdict vfs.Verdict) *vfs.Receipt {
	r := &vfs.Receipt{ID: fmt.Sprintf("upload%04d", n), Verdict: verdict, Name: "diag.tgz", Tenant: "acme", Finished: hookTime}
	if verdict == vfs.Accepted {
		r.StoredAs = "diag~2.tgz"
	}
	return r
}

// hook is a Webhook with what its log said.
type hook struct {
	*Webhook
	metrics *Metrics
	log     *bytes.Buffer
}

// newHook sends what f answers through a pipe: there is no network in a bubble.
func newHook(t *testing.T, dir string, f http.RoundTripper, change func(*WebhookConfig)) *hook {
	t.Helper()
	h := &hook{metrics: NewMetrics("", Sources{}), log: &bytes.Buffer{}}
	cfg := WebhookConfig{
		URL: "https://example.com/hook/s3cret", Queue: dir, Metrics: h.metrics,
		Secrets: func() ([][]byte, error) { return hookSecrets, nil },
		Log:     slog.New(slog.NewTextHandler(h.log, nil)),
		Now:     func() time.Time { return hookTime.Add(time.Minute) },
	}
	if change != nil {
		change(&cfg)
	}
	w, err := NewWebhook(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f != nil {
		w.client.Transport = f
	}
	h.Webhook = w
	t.Cleanup(func() { w.Close() })
	return h
}

// run delivers until stop is called, which waits.
func (h *hook) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// receiver collects what arrives; answer decides about each try.
type receiver struct {
	mu     sync.Mutex
	answer func(try int) (*http.Response, error)
	tries  int
	got    []string // IDs that were answered with 2xx
	last   *http.Request
	body   []byte
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	r.last, r.body = req, body
	resp, err := r.answer(r.tries)
	if err == nil && resp.StatusCode/100 == 2 {
		r.got = append(r.got, req.Header.Get("Webhook-Id"))
	}
	return resp, err
}

func (r *receiver) has() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.got, " ")
}

func answerOf(code int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("thanks"))}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

func fine(int) (*http.Response, error) { return answerOf(204), nil }

func TestWebhookDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: fine}
		h := newHook(t, t.TempDir(), r, nil)
		stop := h.run(t)
		e := h.Events()
		e.Accepted(vfs.Peer{}, hookReceipt(1, vfs.Accepted))
		again := hookReceipt(1, vfs.Accepted)
		again.Repeated = true
		e.Accepted(vfs.Peer{}, again)
		e.Refused(vfs.Peer{}, hookReceipt(2, vfs.Rejected))
		synctest.Wait()
		stop()
		if got := r.has(); got != "upload0001 upload0002" {
			t.Errorf("got %s", got)
		}
		checkSigned(t, r)
		var event map[string]any
		if err := json.Unmarshal(r.body, &event); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]any{
			"specversion": "1.0", "id": "upload0002", "source": "bundleup", "type": "bundleup.upload.refused",
			"subject": "acme/diag.tgz", "time": "2026-11-24T12:00:00Z", "datacontenttype": "application/json",
		} {
			if event[key] != want {
				t.Errorf("%s: got %v, want %v", key, event[key], want)
			}
		}
		if data, _ := event["data"].(map[string]any); data["verdict"] != "refused" {
			t.Errorf("data: got %v", event["data"])
		}
	})
}

// checkSigned verifies the last request as a receiver does.
func checkSigned(t *testing.T, r *receiver) {
	t.Helper()
	header := r.last.Header
	for _, signature := range strings.Split(header.Get("Webhook-Signature"), " ") {
		ok := false
		for _, secret := range hookSecrets {
			mac := hmac.New(sha256.New, secret)
			fmt.Fprintf(mac, "%s.%s.%s", header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), r.body)
			ok = ok || signature == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}
		if !ok {
			t.Errorf("signature %s is no secret's", signature)
		}
	}
	if got := strings.Count(header.Get("Webhook-Signature"), "v1,"); got != len(hookSecrets) {
		t.Errorf("%d signatures, want %d", got, len(hookSecrets))
	}
	if got := header.Get("Content-Type"); !strings.HasPrefix(got, "application/cloudevents+json") {
		t.Errorf("content type: got %s", got)
	}
	if header.Get("Webhook-Timestamp") != fmt.Sprint(hookTime.Add(time.Minute).Unix()) {
		t.Errorf("timestamp: got %s", header.Get("Webhook-Timestamp"))
	}
}

// TestWebhookRetries: whatever goes wrong, order is kept and nothing is skipped.
func TestWebhookRetries(t *testing.T) {
	bad := []func() (*http.Response, error){
		func() (*http.Response, error) { return answerOf(500), nil },
		func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		func() (*http.Response, error) {
			return answerOf(302, "Location", "https://elsewhere.example.com/"), nil
		},
		func() (*http.Response, error) { return answerOf(429, "Retry-After", "1800"), nil },
		func() (*http.Response, error) { return answerOf(410), nil },
	}
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(try int) (*http.Response, error) {
			if try <= len(bad) {
				return bad[try-1]()
			}
			return answerOf(200), nil
		}}
		h := newHook(t, t.TempDir(), r, nil)
		stop := h.run(t)
		begun := time.Now()
		for n := range 3 {
			h.Events().Accepted(vfs.Peer{}, hookReceipt(n, vfs.Accepted))
		}
		time.Sleep(2 * time.Hour)
		stop()
		if got := r.has(); got != "upload0000 upload0001 upload0002" || r.tries != len(bad)+3 {
			t.Errorf("after %v: %d tries, got %s", time.Since(begun), r.tries, got)
		}
		log := h.log.String()
		if strings.Count(log, "webhook fails") != 1 || strings.Count(log, "webhook works again") != 1 {
			t.Errorf("the log says\n%s", log)
		}
		if strings.Contains(log, "s3cret") {
			t.Errorf("the log has the URL:\n%s", log)
		}
	})
}

// TestWebhookPauses: doubled, bounded, never all at once, and at least what the
// receiver asks for.
func TestWebhookPauses(t *testing.T) {
	for failures, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1000: 5 * time.Minute} {
		for range 20 {
			if d := pause(failures); d < most/2 || d > most {
				t.Errorf("%d failures: got %v, want %v to %v", failures, d, most/2, most)
			}
		}
	}
	for text, want := range map[string]time.Duration{"": 0, "-1": 0, "120": 2 * time.Minute, "99999999999": time.Hour, "Wed, 21 Oct 2026 07:28:00 GMT": 0} {
		if got := retryAfter(text); got != want {
			t.Errorf("Retry-After %q: got %v, want %v", text, got, want)
		}
	}
}

// TestWebhookSurvivesRestart: what waits is delivered by the next process, in order
// and before what is new, though a crash left half a file.
func TestWebhookSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := &receiver{answer: func(try int) (*http.Response, error) {
			if try == 1 {
				return answerOf(200), nil
			}
			return answerOf(503), nil
		}}
		h := newHook(t, dir, r, nil)
		stop := h.run(t)
		for n := range 5 {
			h.Events().Refused(vfs.Peer{}, hookReceipt(n, vfs.Rejected))
		}
		time.Sleep(time.Minute)
		stop()
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"new.tmp": "{half", "notes.txt": "not ours", "7.json": "not ours either"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.answer = fine
		h = newHook(t, dir, r, nil)
		h.Events().Refused(vfs.Peer{}, hookReceipt(5, vfs.Rejected))
		stop = h.run(t)
		synctest.Wait()
		stop()
		if got, want := r.has(), "upload0000 upload0001 upload0002 upload0003 upload0004 upload0005"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 2 {
			t.Errorf("left: %v, %v", files, err)
		}
	})
}

// TestWebhookQueueIsBounded: what finds no room is told once and counted.
func TestWebhookQueueIsBounded(t *testing.T) {
	for what, change := range map[string]func(*WebhookConfig){
		"events": func(c *WebhookConfig) { c.MaxEvents = 2 },
		"bytes":  func(c *WebhookConfig) { c.MaxBytes = 1000 },
	} {
		t.Run(what, func(t *testing.T) {
			r := &receiver{answer: fine}
			h := newHook(t, t.TempDir(), r, change)
			for n := range 50 {
				h.Events().Accepted(vfs.Peer{}, hookReceipt(n, vfs.Accepted))
			}
			events, size, oldest := h.queue.state()
			if events != 2 || size > 1000 || oldest.IsZero() {
				t.Errorf("%d events of %d bytes wait since %v", events, size, oldest)
			}
			_, text := get(t, Ops(h.metrics, nil), "/metrics")
			for _, want := range []string{`bundleup_webhook_dropped_total{reason="full"} 48`, "bundleup_webhook_queue_events 2"} {
				if !strings.Contains(text, want) {
					t.Errorf("metrics: %q is missing", want)
				}
			}
			if got := strings.Count(h.log.String(), "webhook events are dropped"); got != 1 {
				t.Errorf("told %d times", got)
			}
		})
	}
}

// TestWebhookGivesUp what is too old or damaged, and goes on behind it.
func TestWebhookGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := &receiver{answer: fine}
		h := newHook(t, dir, r, func(c *WebhookConfig) { c.GiveUp = time.Hour })
		old := hookReceipt(1, vfs.Accepted)
		old.Finished = hookTime.Add(-2 * time.Hour)
		h.Events().Accepted(vfs.Peer{}, old)
		h.Events().Accepted(vfs.Peer{}, hookReceipt(2, vfs.Accepted))
		h.Events().Accepted(vfs.Peer{}, hookReceipt(3, vfs.Accepted))
		if err := os.WriteFile(filepath.Join(dir, "0000000000000002.json"), []byte("{torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		stop := h.run(t)
		synctest.Wait()
		stop()
		if got := r.has(); got != "upload0003" {
			t.Errorf("got %s", got)
		}
		_, text := get(t, Ops(h.metrics, nil), "/metrics")
		for _, want := range []string{`{reason="expired"} 1`, `{reason="damaged"} 1`, "bundleup_webhook_queue_events 0"} {
			if !strings.Contains(text, want) {
				t.Errorf("metrics: %q is missing", want)
			}
		}
	})
}

// TestWebhookHostileReceivers are real ones: one that hangs, one that sends without
// an end, one that redirects. None gets hold of the sender, and none is believed.
func TestWebhookHostileReceivers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for what, c := range map[string]struct {
		handle http.HandlerFunc
		want   bool
	}{
		"hangs": {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, false},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, false},
		"header": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 100_000)) }, false},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, true},
	} {
		t.Run(what, func(t *testing.T) {
			server := httptest.NewServer(c.handle)
			defer server.Close()
			h := newHook(t, t.TempDir(), nil, func(cfg *WebhookConfig) { cfg.URL, cfg.Timeout = server.URL, 500*time.Millisecond })
			event, err := newEvent("bundleup", hookReceipt(1, vfs.Accepted))
			if err != nil {
				t.Fatal(err)
			}
			_, err = h.deliver(t.Context(), "upload0001", event)
			if (err == nil) != c.want {
				t.Errorf("got %v", err)
			}
			server.CloseClientConnections()
		})
	}
}

func TestWebhookURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://example.com/hook": true, "http://127.0.0.1:80/": true, "http://[::1]/": true, "http://localhost/x": true,
		"http://example.com/": false, "http://10.0.0.1/": false, "http://localhost.example.com/": false, "ftp://localhost/": false,
		"https://": false, "example.com": false, "": false, "https://user:pw@example.com/": false, "https://example.com/#x": false,
	} {
		if err := CheckWebhookURL(url); (err == nil) != ok {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestLoadWebhookSecrets(t *testing.T) {
	one := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
	for text, want := range map[string]int{
		one: 1, one + "\n  " + one: 2, one + one + one: 3, one + one + one + one: 0, "": 0, "\n": 0,
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": 0, "whsec_short": 0, "whsec_****": 0, "whsec_" + strings.Repeat("A", 120): 0,
	} {
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secrets, err := LoadWebhookSecrets(file)
		if len(secrets) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v", text, len(secrets), err)
		}
		if err != nil && strings.Contains(text, "_") && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("the error has the secret: %v", err)
		}
	}
	if _, err := LoadWebhookSecrets(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file: got no error")
	}
}
