//go:build torture && linux

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// mountSmallDisk puts the store on a disk of its own, which can be made too small
// without harm to anybody else. It is in memory: a killed process loses as little of
// that as of any other disk. It takes the right to mount.
func (w *torture) mountSmallDisk() {
	data := filepath.Join(w.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		w.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "mode=0700,"+ample); err != nil {
		w.Logf("no disk of its own can be mounted (%v): the disk will not be full", err)
		return
	}
	w.small = data
	w.Cleanup(func() {
		if err := syscall.Unmount(data, 0); err != nil {
			w.Error(err)
		}
	})
}

// ample are the limits of the disk between two episodes, as mount options.
const ample = "size=8g,nr_inodes=1000000"

// wait waits for at least min and at most twice min; false says that the run is
// over.
func (w *torture) wait(stop chan struct{}, min time.Duration) bool {
	select {
	case <-stop:
		return false
	case <-time.After(min + time.Duration(w.random(int(min)))):
		return true
	}
}

// killer kills the daemon every few seconds, or stops it as an operator does, and
// starts it anew.
func (w *torture) killer(stop chan struct{}) {
	for w.wait(stop, 3*time.Second) {
		if w.random(4) == 0 {
			w.daemon.cmd.Process.Signal(syscall.SIGTERM)
			<-w.daemon.done
			w.stops.Add(1)
		} else {
			w.daemon.cleanup()
			w.kills.Add(1)
		}
		if err := w.daemon.start(); err != nil {
			w.Errorf("restart: %v", err)
			return
		}
	}
}

// cutter cuts one connection after the other.
func (w *torture) cutter(stop chan struct{}) {
	for w.wait(stop, 200*time.Millisecond) {
		w.mu.Lock()
		for c := range w.conns {
			c.Close()
			delete(w.conns, c)
			w.cuts.Add(1)
			break
		}
		w.mu.Unlock()
	}
}

// filler takes all free blocks or all free inodes away, and gives them back a moment
// later.
func (w *torture) filler(stop chan struct{}) {
	for w.small != "" && w.wait(stop, 4*time.Second) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(w.small, &st); err != nil {
			w.Error(err)
			return
		}
		limits := fmt.Sprintf("size=%d", int64(st.Blocks-st.Bfree+16)*st.Bsize)
		if w.random(3) == 0 {
			limits = fmt.Sprintf("nr_inodes=%d", st.Files-st.Ffree+1)
		}
		// Somebody may have used more meanwhile: then it stays as it is.
		if syscall.Mount("tmpfs", w.small, "tmpfs", syscall.MS_REMOUNT, limits) == nil {
			w.fills.Add(1)
		}
		w.wait(stop, 700*time.Millisecond)
		if err := syscall.Mount("tmpfs", w.small, "tmpfs", syscall.MS_REMOUNT, ample); err != nil {
			w.Errorf("give the room back: %v", err)
			return
		}
	}
}

func (w *torture) serveProxy() {
	for {
		c, err := w.proxy.Accept()
		if err != nil {
			return
		}
		go w.pipe(c)
	}
}

// pipe carries one connection, slowly enough to be cut in the middle. Where cuts
// begin is at random, or most of them would hit a handshake.
func (w *torture) pipe(c net.Conn) {
	defer c.Close()
	d, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer d.Close()
	go func() {
		io.Copy(c, d)
		c.Close()
	}()
	buf := make([]byte, 64<<10)
	for left := w.random(128 << 10); ; {
		n, err := c.Read(buf)
		w.sent.Add(int64(n))
		if left -= n; left <= 0 {
			w.mu.Lock()
			w.conns[c] = true
			w.mu.Unlock()
		}
		if _, werr := d.Write(buf[:n]); err != nil || werr != nil {
			break
		}
		time.Sleep(4 * time.Millisecond)
	}
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}
