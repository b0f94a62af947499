package httpd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
)

const (
	// maxArrivals is how many verdicts a new watcher is told at once.
	maxArrivals = 50
	// watcherQueue is how many verdicts may wait for a slow watcher; more are
	// lost to it.
	watcherQueue = 16
	// maxWatchers bounds the pages that watch at once.
	maxWatchers = 256
	// heartbeat keeps balancers from closing a quiet stream.
	heartbeat = 30 * time.Second
)

// arrival is a verdict as the page shows it.
type arrival struct {
	Tenant  string    `json:"tenant"`
	Name    string    `json:"name"`
	Verdict string    `json:"verdict"`
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
	Message string    `json:"message,omitempty"`
}

// Arrivals tells pages that watch what has just been accepted or refused. It is
// safe for concurrent use.
type Arrivals struct {
	mu       sync.Mutex // guards all below
	recent   []arrival  // oldest first
	watchers map[chan arrival]struct{}
}

// NewArrivals has seen nothing yet.
func NewArrivals() *Arrivals { return &Arrivals{watchers: make(map[chan arrival]struct{})} }

// Events feed it.
func (l *Arrivals) Events() vfs.Events {
	return vfs.Events{
		Accepted: func(_ vfs.Peer, r *vfs.Receipt) {
			if !r.Repeated {
				l.add(arrival{Tenant: r.Tenant, Name: r.StoredAs, Verdict: string(r.Verdict), Size: r.Size, Time: r.Finished})
			}
		},
		Refused: func(_ vfs.Peer, r *vfs.Receipt) {
			l.add(arrival{Tenant: r.Tenant, Name: r.Name, Verdict: string(r.Verdict), Size: r.Size, Time: r.Finished, Message: r.Rejection.Message})
		},
	}
}

func (l *Arrivals) add(a arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) == maxArrivals {
		l.recent = slices.Delete(l.recent, 0, 1)
	}
	l.recent = append(l.recent, a)
	for w := range l.watchers {
		select {
		case w <- a:
		default:
		}
	}
}

// watch gives what was there and a channel of what comes; leave ends it. It is nil
// where too many watch.
func (l *Arrivals) watch() (recent []arrival, next chan arrival, leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watchers) == maxWatchers {
		return nil, nil, nil
	}
	next = make(chan arrival, watcherQueue)
	l.watchers[next] = struct{}{}
	return slices.Clone(l.recent), next, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, next)
	}
}

// arrivals is GET /arrivals: a stream of server-sent events (HTML, 9.2) for
// support.
func arrivals(q *request) error {
	if q.account.Role != auth.Support || q.server.cfg.Arrivals == nil {
		return &problem{Status: http.StatusForbidden, Title: "only support watches arrivals"}
	}
	recent, next, leave := q.server.cfg.Arrivals.watch()
	if next == nil {
		return &problem{Status: http.StatusServiceUnavailable, Title: "too many watch already"}
	}
	defer leave()
	q.w.Header().Set("Content-Type", "text/event-stream")
	for _, a := range recent {
		if err := q.tell(a); err != nil {
			return errAnswered
		}
	}
	control := http.NewResponseController(q.w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		if err := control.Flush(); err != nil {
			return errAnswered
		}
		select {
		case a := <-next:
			if err := q.tell(a); err != nil {
				return errAnswered
			}
		case <-beat.C:
			if _, err := fmt.Fprint(q.w, ": \n\n"); err != nil {
				return errAnswered
			}
		case <-q.Context().Done():
			return errAnswered
		case <-q.server.closing:
			return errAnswered
		}
	}
}

// tell sends one arrival, if the account may see it.
func (q *request) tell(a arrival) error {
	if t := q.account.Tenants; len(t) > 0 && !slices.Contains(t, auth.Tenant(a.Tenant)) {
		return nil
	}
	doc, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(q.out(), "data: %s\n\n", doc)
	return err
}
