package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// handOver makes a command take socket as systemd would: the shell's process
// number is that of the program which it becomes.
func handOver(cmd *exec.Cmd, socket *os.File) {
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
	cmd.Args[3] = filepath.Join(cmd.Dir, cmd.Args[3])
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "BUNDLEUP_UPLOADS_SHUTDOWN_GRACE=2m")
	cmd.ExtraFiles = []*os.File{socket}
}

// TestHandOver restarts the daemon under 20 running uploads, as an upgrade does: all
// are accepted, and who connects in between waits and is served by the new one.
func TestHandOver(t *testing.T) {
	needClients(t, "sftp")
	const uploads = 20
	d := newHandOver(t)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	// 1 Mbit/s: they take about 8 s.
	results := make(chan error, uploads+1)
	for n := range uploads {
		go func() { results <- d.put(fmt.Sprintf("running%02d.tgz", n), "-l", "1000") }()
	}
	d.awaitRunning(t, uploads)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, "stopping", func() bool { return strings.Contains(d.logs.String(), `"stopping"`) })
	go func() { results <- d.put("meanwhile.tgz") }()
	if err := <-d.done; err != nil {
		t.Fatalf("the old daemon: %v\n%s", err, d.logs.String())
	}
	if strings.Contains(d.logs.String(), "uploads are suspended") {
		t.Errorf("uploads were cut off:\n%s", d.logs.String())
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	for range uploads + 1 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	found, err := filepath.Glob(filepath.Join(d.dir, "data", "bundles", "acme", "*.tgz"))
	if err != nil || len(found) != uploads+1 {
		t.Errorf("%d bundles were accepted (%v), want %d", len(found), err, uploads+1)
	}
}

// newHandOver is a daemon that is not started yet, on a socket that is there
// already, and a bundle of a megabyte to send.
func newHandOver(t *testing.T) *scriptDaemon {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := &scriptDaemon{dir: dir}
	if d.socket, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cleanup(); d.socket.Close() })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "bundleup")); err != nil {
		t.Fatal(err)
	}
	if err := writeServerConfig(dir, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "diag.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeBundle(f, 1<<20, 1); err != nil {
		t.Fatal(err)
	}
	return d
}

// put sends the bundle with the stock client.
func (d *scriptDaemon) put(name string, flags ...string) error {
	cmd := exec.Command("sftp", append(flags, "-F", filepath.Join(d.dir, "ssh_config"), "-b", "-", "acme")...)
	cmd.Stdin = strings.NewReader("put diag.tgz " + name + "\n")
	cmd.Dir = d.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("put %s: %w: %s", name, err, out)
	}
	return nil
}

// awaitRunning waits until n uploads have bytes on the disk.
func (d *scriptDaemon) awaitRunning(t *testing.T, n int) {
	t.Helper()
	await(t, "uploads", func() bool {
		found, err := filepath.Glob(filepath.Join(d.dir, "data", "uploads", "acme", "*", "data"))
		return err == nil && len(found) == n
	})
}

// await polls until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestInheritSockets(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	for _, tt := range []struct {
		name, pid, fds, want string
	}{
		{"nothing", "", "", ""},
		{"for another process", "1", "1", ""},
		{"none", pid, "0", ""},
		{"no number", pid, "x", `take sockets: LISTEN_FDS is "x", want 0 to 64`},
		{"negative", pid, "-1", `take sockets: LISTEN_FDS is "-1", want 0 to 64`},
		{"too many", pid, "65", `take sockets: LISTEN_FDS is "65", want 0 to 64`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := inheritSockets(func(key string) string {
				return map[string]string{"LISTEN_PID": tt.pid, "LISTEN_FDS": tt.fds}[key]
			})
			if got := errorText(err); got != tt.want {
				t.Errorf("error is %q, want %q", got, tt.want)
			}
			if len(s.waiting) != 0 {
				t.Errorf("took %d sockets", len(s.waiting))
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestSocketsListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sockets{waiting: []net.Listener{l}}
	defer s.close()
	if err := s.done(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("a socket is left: %v", err)
	}
	list, err := s.listenAll("ssh.listen", []string{"127.0.0.1:0", l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(list)
	if list[1] != l || list[0] == l {
		t.Errorf("listens on %v, want a new socket and the one handed over", list)
	}
	if err := s.done(); err != nil {
		t.Errorf("all are taken: %v", err)
	}
	if _, err := s.listenAll("ssh.listen", []string{l.Addr().String()}); err == nil {
		t.Error("an address was taken twice")
	}
}

func TestSameAddress(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"[::]:22", ":22", true},
		{"0.0.0.0:22", "[::]:22", true},
		{"127.0.0.1:22", "127.0.0.1:22", true},
		{"127.0.0.1:22", "127.0.0.1:23", false},
		{"127.0.0.1:22", "0.0.0.0:22", false},
		{"[::1]:22", "127.0.0.1:22", false},
	} {
		a, err := net.ResolveTCPAddr("tcp", tt.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := net.ResolveTCPAddr("tcp", tt.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := sameAddress(a, b); got != tt.want {
			t.Errorf("sameAddress(%s, %s) = %v", tt.a, tt.b, got)
		}
	}
}
