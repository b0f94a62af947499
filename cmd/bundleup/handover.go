package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bundleup/vfs/store/disk"
)

// At SIGUSR2 a daemon starts a newer one, of the program that is installed now, with
// the same arguments. The newer one inherits the listening sockets, the lock of the
// disk and a pipe that tells when the older one has ended, however; it says by another
// pipe that it serves. From then on the older one accepts nobody and ends what it has
// begun. If the newer one does not come up the older one goes on.

// handoverVar tells a daemon what it inherits; see older.
const handoverVar = "BUNDLEUP_HANDOVER"

const (
	// handoverWait is how long a newer daemon may take until it serves.
	handoverWait = 2 * time.Minute
	// maxOlder bounds the daemons that still end their uploads.
	maxOlder = 8
	// settleAgain is between two tries to take up what an older daemon left.
	settleAgain = 10 * time.Second
)

// sharer is a medium that daemons of two generations use at once, and no others.
type sharer interface {
	Share() *os.File
	Shared() bool
	Alone(known func() error) (disk.Report, error)
}

// shared says that an older or a newer daemon uses the same files now.
func (d *daemon) shared() bool {
	s, ok := d.store.(sharer)
	return ok && s.Shared() || len(d.older.alive) > 0 && !d.older.ended.Load() || d.successor.serves.Load()
}

// successor is what this daemon knows of the one after it.
type successor struct {
	mu     sync.Mutex // held while one is started, or the disk is taken over
	serves atomic.Bool
	failed chan struct{} // has an element when one did not come up
	alive  *os.File      // closed by the end of this process alone
}

// settle takes up what older daemons left once they have ended, and what a newer one
// left that did not come up.
func (d *daemon) settle(ctx context.Context) {
	if err := d.older.wait(ctx); err != nil {
		if ctx.Err() == nil {
			d.log.Error("what older daemons leave is not taken up before the next start", "err", err)
		}
		return
	}
	d.older.ended.Store(true)
	for {
		if err := d.takeOver(ctx); err != nil {
			d.log.Error("what an older daemon left is not taken up yet", "err", err)
			if !sleep(ctx, settleAgain) {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-d.successor.failed:
		}
	}
}

// takeOver makes this daemon the only one on its disk.
func (d *daemon) takeOver(ctx context.Context) error {
	d.successor.mu.Lock()
	defer d.successor.mu.Unlock()
	if d.successor.serves.Load() {
		return nil
	}
	if s, ok := d.store.(sharer); ok && s.Shared() {
		r, err := s.Alone(func() error { return d.tree.Reload(ctx) })
		if err != nil {
			return err
		}
		logRepair(d.log, r.Suspended, r.Sealed, r.RolledBack, r.Removed, r.Stuck, r.Err)
	}
	if d.webhook != nil {
		return d.webhook.Look()
	}
	return nil
}

// handOver starts a newer daemon and returns when it serves.
func (d *daemon) handOver(ctx context.Context) (pid int, err error) {
	d.successor.mu.Lock()
	defer d.successor.mu.Unlock()
	if err := d.replaceable(); err != nil {
		return 0, err
	}
	s, ok := d.store.(sharer)
	var lock *os.File
	if ok {
		lock = s.Share()
	}
	if pid, err = d.startNewer(ctx, lock); err == nil {
		d.successor.serves.Store(true)
		return pid, nil
	}
	d.successor.alive.Close()
	if ok {
		select {
		case d.successor.failed <- struct{}{}:
		default:
		}
	}
	return 0, err
}

// replaceable reports why no newer daemon can serve beside this one.
func (d *daemon) replaceable() error {
	switch {
	case os.Getpid() == 1:
		return errors.New("this is process 1, with which all others end: replace the container")
	case d.cfg.Storage.Kind == "s3" && d.cfg.Storage.S3.SingleNode:
		return errors.New("storage.s3.single_node promises that there is one daemon: restart it")
	case len(d.older.alive) >= maxOlder:
		return fmt.Errorf("%d older daemons have not ended yet", maxOlder)
	}
	return nil
}

// startNewer starts the newer daemon. What fails leaves nothing of it.
func (d *daemon) startNewer(ctx context.Context, lock *os.File) (pid int, err error) {
	alive, keep, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer alive.Close()
	d.successor.alive = keep
	ready, tell, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	defer tell.Close()
	listening, err := d.listening()
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := append([]syscall.Conn{null, os.Stdout, os.Stderr, tell}, conns(d.older.alive)...)
	files = append(files, alive)
	locks := 0
	if lock != nil {
		files = append(files, lock)
		locks = 1
	}
	value := fmt.Sprintf("%d %d %d %d", os.Getpid(), len(d.older.alive)+1, locks, len(listening))
	p, err := startWith(value, append(files, listening...))
	if err != nil {
		return 0, fmt.Errorf("start the newer daemon: %w", err)
	}
	tell.Close()
	if err := awaitReady(ctx, ready); err != nil {
		p.Kill()
		_, gone := p.Wait()
		return 0, errors.Join(err, gone)
	}
	pid = p.Pid
	return pid, p.Release()
}

// startWith runs this command line with the program that is installed now, which gets
// files as its descriptors from 0 on. os/exec, and Fd of a file, would make the sockets
// blocking for this process as well, whose Accept then cannot be ended.
func startWith(value string, files []syscall.Conn) (*os.Process, error) {
	program := os.Args[0]
	if !strings.ContainsRune(program, filepath.Separator) {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "LISTEN_") })
	fds, err := descriptors(files)
	defer closeDescriptors(fds)
	if err != nil {
		return nil, err
	}
	pid, _, err := syscall.StartProcess(program, os.Args, &syscall.ProcAttr{Env: append(env, handoverVar+"="+value), Files: fds})
	if err != nil {
		return nil, err
	}
	return os.FindProcess(pid)
}

// descriptors duplicates those of files.
func descriptors(files []syscall.Conn) (fds []uintptr, err error) {
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return fds, err
		}
		var fd uintptr
		var errno syscall.Errno
		err = raw.Control(func(from uintptr) {
			fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, from, syscall.F_DUPFD_CLOEXEC, 0)
		})
		if err == nil && errno != 0 {
			err = errno
		}
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func closeDescriptors(fds []uintptr) {
	for _, fd := range fds {
		syscall.Close(int(fd))
	}
}

func conns(files []*os.File) (list []syscall.Conn) {
	for _, f := range files {
		list = append(list, f)
	}
	return list
}

// awaitReady waits for the newer daemon's word.
func awaitReady(ctx context.Context, ready *os.File) error {
	if err := ready.SetReadDeadline(time.Now().Add(handoverWait)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	word := make([]byte, 1)
	_, err := ready.Read(word)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.New("the newer daemon was not waited for: this one is stopping")
	case errors.Is(err, io.EOF):
		return errors.New("the newer daemon ended before it served")
	}
	return fmt.Errorf("the newer daemon does not serve: %w", err)
}

// listening are the sockets, which the newer daemon gets.
func (d *daemon) listening() (list []syscall.Conn, err error) {
	for _, l := range slices.Concat(d.listeners, d.legacy, d.web.doors, d.web.opss) {
		t, ok := l.(*net.TCPListener)
		if !ok {
			return list, fmt.Errorf("socket %s cannot be handed over", l.Addr())
		}
		list = append(list, t)
	}
	return list, nil
}
