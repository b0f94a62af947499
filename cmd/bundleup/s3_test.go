package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestGatewayTwoNodes sends one bundle with OpenSSH's sftp to two daemons over one
// storage; the daemon at hand is killed twice, and the other one goes on each time.
func TestGatewayTwoNodes(t *testing.T) {
	endpoints := os.Getenv("BUNDLEUP_S3_ENDPOINTS")
	if endpoints == "" {
		t.Skip("BUNDLEUP_S3_ENDPOINTS is not set: make test-s3 sets it")
	}
	n := newNodes(t, strings.Split(endpoints, ","))
	n.start(0)
	n.start(1)
	n.send("put", 0, n.size/4)
	n.send("reput", 1, n.size/2)
	n.start(0)
	n.send("reput", 0, 0)
	if got := n.sum(0); got != n.want {
		t.Errorf("support reads a bundle with the SHA-256 %s, want %s", got, n.want)
	}
	twice := n.wire.Load() - n.size
	t.Logf("%d bytes sent, %d of the bundle, %d twice or for the protocol", n.wire.Load(), n.size, twice)
	// Twice the part that is filled and the one on its way; SSH and SFTP cost less
	// than one in a hundred.
	if limit := 2*2*(16<<20) + n.size/100 + 1<<20; twice > limit {
		t.Errorf("%d bytes were sent beyond the bundle, want at most %d", twice, limit)
	}
}

// nodes are two daemons and the bundle that they get.
type nodes struct {
	*testing.T
	dir   string
	bin   string
	ports [2]string
	run   [2]*exec.Cmd
	size  int64
	want  string
	wire  atomic.Int64 // bytes that clients sent, through the counting doors
	doors [2]string
}

func newNodes(t *testing.T, endpoints []string) *nodes {
	t.Helper()
	n := &nodes{T: t, dir: t.TempDir()}
	n.bin = filepath.Join(n.dir, "bundleup")
	n.do("go", "build", "-o", n.bin, ".")
	for _, key := range []string{"key", "host"} {
		n.do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(n.dir, key))
	}
	accounts := filepath.Join(n.dir, "accounts.yaml")
	n.do(n.bin, "account", "add", "acme", "--accounts", accounts, "--role", "customer", "--tenant", "acme", "--key", n.dir+"/key.pub")
	n.do(n.bin, "account", "add", "desk", "--accounts", accounts, "--role", "support", "--key", n.dir+"/key.pub")
	prefix := fmt.Sprint("nodes-", time.Now().UnixNano())
	for i := range n.ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		n.ports[i] = l.Addr().String()
		l.Close()
		n.doors[i] = n.count(n.ports[i])
		cfg := fmt.Sprintf("ssh: {listen: [%q], host_keys: [%q]}\ndata_dir: %s/%d\naccounts: %s\nhttp: {listen: []}\nmetrics: {listen: []}\n"+
			"storage: {kind: s3, s3: {bucket: test, prefix: %s, endpoint: %q, path_style: true, lease: 2s}}\n",
			n.ports[i], n.dir+"/host", n.dir, i, accounts, prefix, endpoints[i%len(endpoints)])
		if err := os.WriteFile(n.config(i), []byte(cfg), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.bundle()
	t.Cleanup(func() {
		for _, c := range n.run {
			n.kill(c)
		}
	})
	return n
}

func (n *nodes) config(i int) string { return fmt.Sprintf("%s/%d.yaml", n.dir, i) }

func (n *nodes) do(name string, args ...string) {
	n.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// bundle makes one that does not compress.
func (n *nodes) bundle() {
	n.Helper()
	data, err := os.Create(filepath.Join(n.dir, "dump.bin"))
	if err != nil {
		n.Fatal(err)
	}
	_, err = io.CopyN(data, rand.Reader, 150<<20)
	if err := data.Close(); err != nil {
		n.Fatal(err)
	}
	if err != nil {
		n.Fatal(err)
	}
	file := filepath.Join(n.dir, "big.tgz")
	n.do("tar", "-C", n.dir, "-czf", file, "dump.bin")
	b, err := os.ReadFile(file)
	if err != nil {
		n.Fatal(err)
	}
	n.size, n.want = int64(len(b)), fmt.Sprintf("%x", sha256.Sum256(b))
}

// count is a door to a daemon that counts what clients send.
func (n *nodes) count(to string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			go func() { defer c.Close(); io.Copy(c, d) }()
			go func() { defer d.Close(); io.Copy(&counted{d, &n.wire}, c) }()
		}
	}()
	return l.Addr().String()
}

type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// start runs a daemon and waits until it listens.
func (n *nodes) start(i int) {
	n.Helper()
	c := exec.Command(n.bin, "serve", "--config", n.config(i))
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		n.Fatal(err)
	}
	n.run[i] = c
	for range 200 {
		if conn, err := net.Dial("tcp", n.ports[i]); err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	n.Fatal("the daemon does not listen")
}

func (n *nodes) kill(c *exec.Cmd) {
	if c != nil && c.ProcessState == nil {
		c.Process.Kill()
		c.Wait()
	}
}

// send runs sftp, and kills its daemon when so many bytes came through the doors
// altogether; 0 lets it end.
func (n *nodes) send(command string, i int, until int64) {
	n.Helper()
	_, port, _ := net.SplitHostPort(n.doors[i])
	c := exec.Command("sftp", "-b", "-", "-P", port, "-i", n.dir+"/key", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "acme@127.0.0.1")
	c.Stdin = strings.NewReader(command + " " + n.dir + "/big.tgz big.tgz\n")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		n.Fatal(err)
	}
	for until > 0 && n.wire.Load() < until {
		time.Sleep(5 * time.Millisecond)
	}
	if until > 0 {
		n.kill(n.run[i])
	}
	if err := c.Wait(); (err == nil) != (until == 0) {
		n.Fatalf("%s: %v\n%s", command, err, &out)
	}
}

// sum reads the bundle as support and gives its digest.
func (n *nodes) sum(i int) string {
	n.Helper()
	_, port, _ := net.SplitHostPort(n.ports[i])
	file := filepath.Join(n.dir, "got.tgz")
	n.do("scp", "-q", "-P", port, "-i", n.dir+"/key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "LogLevel=ERROR", "desk@127.0.0.1:/acme/big.tgz", file)
	b, err := os.ReadFile(file)
	if err != nil {
		n.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}
