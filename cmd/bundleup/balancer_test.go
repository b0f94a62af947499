package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newBalanced is a daemon that is told of a balancer on the loopback, and a free port
// for that.
func newBalanced(t *testing.T) (d *scriptDaemon, front string) {
	t.Helper()
	d = &scriptDaemon{dir: t.TempDir()}
	t.Cleanup(d.cleanup)
	if err := writeServerConfig(d.dir, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUNDLEUP_SSH_BALANCERS", "127.0.0.1/32")
	writeDiag(t, filepath.Join(d.dir, "diag.tgz"), 64<<10)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return d, l.Addr().String()
}

// through makes the clients connect to a port in the daemon's place.
func (d *scriptDaemon) through(t *testing.T, front string) {
	t.Helper()
	_, direct, err := net.SplitHostPort(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(front)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ssh_config", "known_hosts"} {
		file := filepath.Join(d.dir, name)
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, bytes.ReplaceAll(text, []byte(direct), []byte(port)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestHAProxy sends a bundle through HAProxy with send-proxy-v2: the daemon knows the
// customer's address, and HAProxy's checks are no logins.
func TestHAProxy(t *testing.T) {
	needClients(t, "haproxy", "sftp")
	d, front := newBalanced(t)
	conf := fmt.Sprintf(`defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen bundleup
    bind %s
    server one %s send-proxy-v2 check check-send-proxy inter 200ms
`, front, d.addr)
	file := filepath.Join(d.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	proxy := exec.Command("haproxy", "-db", "-f", file)
	proxy.Stderr = &said
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Process.Kill(); proxy.Wait() })
	await(t, "haproxy", func() bool {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	d.through(t, front)
	if err := d.put("through.tgz", "-o", "BindAddress=127.0.0.2"); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if !strings.Contains(d.logs.String(), `"remote":"127.0.0.2:`) {
		t.Errorf("the customer's address is not known:\n%s", d.logs.String())
	}
	if n := strings.Count(d.logs.String(), `"msg":"login failed"`); n > 0 {
		t.Errorf("%d checks are logins that failed", n)
	}
}
