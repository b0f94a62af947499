package httpd

import (
	"context"
	"net"
	"net/http"
	"sync"

	"bundleup/auth"
)

// last is who logged in last on a connection. Every request proves itself anew; it is
// a login like one of SSH when it is the first of its connection.
type last struct {
	mu              sync.Mutex // requests of HTTP/2 go beside each other
	account, remote string
}

type lastKey struct{}

// withLast gives a connection its last.
func withLast(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, lastKey{}, new(last))
}

// isFirst reports whether r is by another than the request before on its connection,
// which a balancer may share among clients.
func isFirst(r *http.Request, a *auth.Account) bool {
	l, ok := r.Context().Value(lastKey{}).(*last)
	if !ok {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	same := l.account == a.Name && l.remote == r.RemoteAddr
	l.account, l.remote = a.Name, r.RemoteAddr
	return !same
}
