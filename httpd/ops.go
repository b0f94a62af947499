package httpd

import (
	"context"
	"net/http"
	"time"
)

// Ready reports why the daemon should get no new connections; nil means that it
// should. It is called for every question and must be quick.
type Ready func(ctx context.Context) error

// readyTimeout bounds one question: a storage that hangs is not ready.
const readyTimeout = 5 * time.Second

// Ops answers operators, on a listener of its own that no customer reaches:
// /metrics, /healthz (the process serves) and /readyz (it should be sent
// connections). Nothing of it needs a login.
func Ops(m *Metrics, ready Ready) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { sayState(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := ready(ctx); err != nil {
			sayState(w, http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
			return
		}
		sayState(w, http.StatusOK, "ready\n")
	})
	return mux
}

func sayState(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the peer has gone
}
