package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
)

// Sockets that are handed over, see sd_listen_fds(3): they outlive the daemon, so
// that while one ends and the next one starts connections wait in the kernel's
// queue and none is refused.
const (
	firstSocket = 3 // SD_LISTEN_FDS_START
	maxSockets  = 64
)

// sockets are listeners that were open before the daemon started.
type sockets struct {
	waiting []net.Listener
	spare   bool // what no address asks for is closed: the configuration has changed
}

// inheritSockets takes what was handed to this process, and only to it.
func inheritSockets(getenv func(string) string) (*sockets, error) {
	s := &sockets{}
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return s, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxSockets {
		return s, fmt.Errorf("take sockets: LISTEN_FDS is %q, want 0 to %d", getenv("LISTEN_FDS"), maxSockets)
	}
	return s, s.inherit(firstSocket, n)
}

// inherit takes n sockets, all or none.
func (s *sockets) inherit(first, n int) error {
	for i := range n {
		l, err := inheritSocket(first + i)
		if err != nil {
			s.close()
			return fmt.Errorf("take sockets: %w", err)
		}
		s.waiting = append(s.waiting, l)
	}
	return nil
}

func (d *daemon) inherit(context.Context) (err error) {
	if d.older, d.sockets, err = inheritOlder(os.Getenv(handoverVar)); err != nil || d.older.ready != nil {
		return err
	}
	d.sockets, err = inheritSockets(os.Getenv)
	return err
}

func inheritSocket(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "socket "+strconv.Itoa(fd))
	l, err := net.FileListener(f) // a duplicate
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if _, ok := l.(*net.TCPListener); !ok {
		l.Close()
		return nil, fmt.Errorf("socket %d is %s, want a listening TCP socket", fd, l.Addr().Network())
	}
	return l, nil
}

// listenAll takes the sockets of one key, all or none. The configuration says where
// the daemon listens; a socket for such an address that was handed over is used
// instead of a new one.
func (s *sockets) listenAll(key string, addrs []string) (list []net.Listener, err error) {
	for _, addr := range addrs {
		l := s.take(addr)
		if l == nil {
			l, err = net.Listen("tcp", addr)
		}
		if err != nil {
			closeAll(list)
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		list = append(list, l)
	}
	return list, nil
}

func (s *sockets) take(addr string) net.Listener {
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(s.waiting, func(l net.Listener) bool { return sameAddress(l.Addr().(*net.TCPAddr), want) })
	if i < 0 {
		return nil
	}
	l := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	return l
}

// sameAddress holds ":22", "0.0.0.0:22" and "[::]:22" for the same.
func sameAddress(a, b *net.TCPAddr) bool {
	everywhere := func(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
	return a.Port == b.Port && (a.IP.Equal(b.IP) || everywhere(a.IP) && everywhere(b.IP))
}

// done fails where a socket is left: its connections would wait for ever.
func (s *sockets) done() error {
	if s.spare {
		s.close()
	}
	if len(s.waiting) == 0 {
		return nil
	}
	return fmt.Errorf("socket %s was handed over, but no listen key of the configuration names it", s.waiting[0].Addr())
}

func (s *sockets) close() {
	closeAll(s.waiting)
	s.waiting = nil
}
