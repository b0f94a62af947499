package sshd

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/vfs"
)

func TestMeter(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := &meter{now: func() time.Time { return now }}
	if err := m.received(maxOverhead + 1); err != nil {
		t.Errorf("before the login: %v", err)
	}
	m.start()
	receive := func(n int, want error) {
		t.Helper()
		if got := m.received(n); got != want {
			t.Errorf("after %d bytes more: got %v, want %v", n, got, want)
		}
	}
	receive(maxOverhead, nil)
	m.delivered(1<<20, false) // allows for 8 MiB
	receive(maxOverhead-1<<20, nil)
	m.sent(perWritten << 20)
	receive(1<<20, nil)
	now = now.Add(1024 * time.Second)
	receive(1<<20, nil)
	receive(2, nil)
	receive(1<<20, errOverhead)
	m.delivered(maxOverhead, true)
	receive(1, errOverhead)
}

// raw is a session channel of a client that may do as it likes.
type raw struct {
	*testing.T
	c  *ssh.Client
	ch ssh.Channel
}

func openRaw(t *testing.T, w *world) *raw {
	t.Helper()
	c := w.dial("acme")
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	go drain(ch)
	return &raw{t, c, ch}
}

// flood sends until the connection ends, at most n times, and gives the number.
func (r *raw) flood(n int, send func() error) int {
	r.Helper()
	for i := range n {
		if err := send(); err != nil {
			return i
		}
	}
	return n
}

func (r *raw) subsystem() {
	r.Helper()
	if ok, err := r.ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
		r.Fatalf("subsystem: %v, %v", ok, err)
	}
}

// Each flood ends its connection, after a bounded number of packets, of which the
// sockets hold some hundred thousand, and says why in the log.
func TestFloods(t *testing.T) {
	one := []byte{0}
	for name, c := range map[string]struct {
		most int
		send func(*raw) func() error
		log  string
	}{
		"standard error": {1_000_000, func(r *raw) func() error {
			return func() error { _, err := r.ch.Stderr().Write(one); return err }
		}, errErrorInput.Error()},
		"requests of the connection": {1_000_000, func(r *raw) func() error {
			return func() error { _, _, err := r.c.SendRequest("x", false, nil); return err }
		}, errOverhead.Error()},
		"requests of a channel": {1_000_000, func(r *raw) func() error {
			return func() error { _, err := r.ch.SendRequest("env", false, nil); return err }
		}, errOverhead.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			r := openRaw(t, w)
			r.subsystem()
			if n := r.flood(c.most, c.send(r)); n == c.most {
				t.Fatalf("%d packets were taken", n)
			}
			r.c.Wait()
			w.settle()
			if !strings.Contains(w.log.String(), c.log) {
				t.Errorf("no %q in the log:\n%s", c.log, w.log)
			}
		})
	}
}

// settle waits until the server has no connections.
func (w *world) settle() {
	for w.server.eachConn(func(*connection) {}) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// What honest clients do is no flood: small requests, small answers, and a
// session that does nothing while another one works.
func TestBusySessionsAreNoFlood(t *testing.T) {
	w := newWorld(t, nil)
	r := openRaw(t, w)
	r.subsystem()
	other, reqs, err := r.c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	go drain(other)
	stat := binary.BigEndian.AppendUint32(nil, 10)
	stat = append(stat, 17, 0, 0, 0, 1, 0, 0, 0, 1, '/')
	if _, err := r.ch.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil {
		t.Fatal(err)
	}
	if n := r.flood(50_000, func() error { _, err := r.ch.Write(stat); return err }); n != 50_000 {
		t.Errorf("the connection ended after %d requests\n%s", n, w.log)
	}
}

func TestRekeysAreBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := rekeys{now: func() time.Time { return now }, left: rekeyBurst}
	for range rekeyBurst {
		now = now.Add(time.Millisecond)
		if err := r.take(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := r.take(); err != errRekeys {
			t.Errorf("got %v, want %v", err, errRekeys)
		}
		now = now.Add(rekeyEvery)
		if err := r.take(); err != nil {
			t.Error(err)
		}
	}
}

// quietWorld is a server in a bubble of its own time, and a client of it.
func quietWorld(t *testing.T, change func(*Limits)) (*Server, *ssh.Client) {
	user := newSigner(t)
	cfg := config(t, user)
	cfg.View = func(*auth.Account, vfs.Peer) (vfs.View, error) { return emptyView{}, nil }
	if change != nil {
		change(&cfg.Limits)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a, b := newPipe("192.0.2.1")
	s.start(newQueued(a), s.strict)
	c, chans, reqs, err := ssh.NewClientConn(newQueued(b), "", &ssh.ClientConfig{
		User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(user)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, ssh.NewClient(c, chans, reqs)
}

// queued is a net.Pipe whose writes do not wait for the peer's read: SSH sends
// from both sides at once.
type queued struct {
	net.Conn
	q    chan []byte
	done chan struct{}
	once sync.Once
}

func newQueued(c net.Conn) net.Conn {
	q := &queued{Conn: c, q: make(chan []byte, 1024), done: make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-q.q:
				if _, err := c.Write(p); err != nil {
					return
				}
			case <-q.done:
				return
			}
		}
	}()
	return q
}

func (q *queued) Write(p []byte) (int, error) {
	select {
	case q.q <- append([]byte(nil), p...):
		return len(p), nil
	case <-q.done:
		return 0, net.ErrClosed
	}
}

func (q *queued) Close() error {
	q.once.Do(func() { close(q.done) })
	return q.Conn.Close()
}

func TestWhatMovesNothingEnds(t *testing.T) {
	l := DefaultLimits()
	for name, c := range map[string]struct {
		do   func(*testing.T, *ssh.Client)
		want time.Duration
	}{
		"a connection without a session": {func(*testing.T, *ssh.Client) {}, l.Idle},
		"a session without a program": {func(t *testing.T, c *ssh.Client) {
			if _, err := c.NewSession(); err != nil {
				t.Fatal(err)
			}
		}, l.Handshake + l.Idle},
		"an idle sftp session": {func(t *testing.T, c *ssh.Client) { openSFTP(t, c) }, l.SessionIdle + l.Idle},
		"a stalled scp": {func(t *testing.T, c *ssh.Client) {
			s, err := c.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			in, err := s.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { in.Close() })
			if err := s.Start("scp -t ."); err != nil {
				t.Fatal(err)
			}
		}, l.Stalled + l.Idle},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, client := quietWorld(t, nil)
				begun := time.Now()
				c.do(t, client)
				client.Wait()
				s.wg.Wait()
				if took := time.Since(begun); took < c.want || took > c.want+3*l.KeepAlive {
					t.Errorf("it took %v, want %v and a few pulses", took, c.want)
				}
				client.Close()
			})
		})
	}
}
