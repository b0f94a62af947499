//go:build peers

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// contender is a running server with all that a client needs to speak to it.
type contender struct {
	name    string
	dir     string // of the client
	putHost string // in ssh_config, for uploads
	getHost string // for downloads
	target  string // what an upload is called there
	source  string // what a download is called there
	stored  string // where an upload lands
	pid     int
}

// startBundleup runs the daemon with its files below dir and more configuration; its
// limits take the place of the stories'.
func startBundleup(t *testing.T, binary, dir, more string) (*contender, *scriptDaemon) {
	if err := errors.Join(writeServerConfig(dir, "127.0.0.1:0"), configure(filepath.Join(dir, "bundleup.yaml"), more)); err != nil {
		t.Fatal(err)
	}
	d := &scriptDaemon{dir: dir, path: binary}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cleanup)
	return &contender{
		name: "bundleup", dir: dir, putHost: "acme", getHost: "desk", target: "/up.tgz", source: "/acme/up.tgz",
		stored: filepath.Join(dir, "data", "bundles", "acme", "up.tgz"), pid: d.cmd.Process.Pid,
	}, d
}

func configure(file, more string) error {
	conf, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if strings.HasPrefix(more, "limits:") {
		conf = bytes.Replace(conf, []byte(exemptLoopback), nil, 1)
	}
	return os.WriteFile(file, append(conf, more...), 0o600)
}

// startOpenSSH runs Debian's sshd with its defaults, for the user who runs this.
func startOpenSSH(t *testing.T, dir string) *contender {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	line, err := writeClientKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	host, err := writeClientKey(filepath.Join(dir, "host_key"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	server := fmt.Sprintf("ListenAddress 127.0.0.1:%s\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
		port, filepath.Join(dir, "host_key"), filepath.Join(dir, "authorized_keys"))
	client := fmt.Sprintf("Host peer\n  HostName 127.0.0.1\n  Port %s\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  LogLevel ERROR\n",
		port, me.Username, filepath.Join(dir, "key"), filepath.Join(dir, "known_hosts"))
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(line+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "known_hosts"), []byte("[127.0.0.1]:"+port+" "+host+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(server), 0o600),
		os.WriteFile(filepath.Join(dir, "ssh_config"), []byte(client), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	waitFor(t, port)
	file := filepath.Join(dir, "up.tgz")
	return &contender{name: "OpenSSH", dir: dir, putHost: "peer", getHost: "peer", target: file, source: file, stored: file, pid: cmd.Process.Pid}
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func waitFor(t *testing.T, port string) {
	for range 100 {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("sshd does not listen")
}

// transfer is one way to move a file with OpenSSH's client.
type transfer struct {
	scp    bool   // legacy scp instead of SFTP
	cipher string // empty: what client and server agree on
}

func (x transfer) options() []string {
	args := []string{"-q", "-F", "ssh_config"}
	if x.cipher != "" {
		args = append(args, "-c", x.cipher)
	}
	return args
}

// put uploads file, and returns how long the client took.
func (c *contender) put(t *testing.T, file string, x transfer) time.Duration {
	if x.scp {
		return c.client(t, "", "scp", append(x.options(), "-O", file, c.putHost+":"+c.target)...)
	}
	return c.client(t, "put "+file+" "+c.target+"\n", "sftp", append(x.options(), "-b", "-", c.putHost)...)
}

// get downloads what an upload stored.
func (c *contender) get(t *testing.T, to string, x transfer) time.Duration {
	if x.scp {
		return c.client(t, "", "scp", append(x.options(), "-O", c.getHost+":"+c.source, to)...)
	}
	return c.client(t, "get "+c.source+" "+to+"\n", "sftp", append(x.options(), "-b", "-", c.getHost)...)
}

func (c *contender) client(t *testing.T, input, program string, args ...string) time.Duration {
	cmd := exec.Command(program, args...)
	cmd.Dir = c.dir
	cmd.Stdin = strings.NewReader(input)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
	return took
}

// forget removes what was uploaded and waits until no write-back disturbs what is
// measured next.
func (c *contender) forget(t *testing.T) {
	record := strings.Replace(c.stored, "/bundles/", "/records/", 1)
	if err := errors.Join(os.RemoveAll(c.stored), os.RemoveAll(record)); err != nil {
		t.Fatal(err)
	}
	syscall.Sync()
}

// clockTick is the unit of times in /proc/PID/stat on every Linux port that Go has.
const clockTick = time.Second / 100

// cpu is the CPU time of the server so far, with that of the children that ended.
func (c *contender) cpu(t *testing.T) time.Duration {
	time.Sleep(150 * time.Millisecond) // for sshd to wait for them
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	var ticks time.Duration
	for _, field := range strings.Fields(rest)[11:15] { // utime stime cutime cstime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * clockTick
}
