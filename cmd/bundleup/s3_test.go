package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var nodesSize = flag.Int64("nodes.size", 150_000_000, "bytes of the bundle that goes through two daemons into S3")

// costOfKill is what a killed daemon may cost of an upload of less than 7 GiB: the
// part that is filled and the one on its way, and one write that was not answered.
const costOfKill = 16<<20 + 256<<10

// TestGatewayTwoNodes sends one bundle with OpenSSH's sftp to two daemons over one
// storage; the daemon at hand is killed twice, and the other one goes on each time.
// Every byte that is sent twice is counted: by what each daemon received, and by the
// offset at which the other one goes on.
func TestGatewayTwoNodes(t *testing.T) {
	n := newNodes(t, gatewayList(t))
	n.bundle(*nodesSize)
	n.start(0)
	n.start(1)
	n.cut("put", 0, n.size/4)
	n.cut("reput", 1, n.size/2)
	out, err := n.sftp(0, "acme", "reput "+n.file+" big.tgz\nget receipts/big.tgz.json "+n.dir+"/receipt.json\n")
	if err != nil {
		t.Fatalf("reput: %v\n%s", err, out)
	}
	n.took += n.received(0)
	t.Logf("reput through the first daemon: exit 0")
	if n.took != n.size+n.twice {
		t.Errorf("the daemons received %d bytes, want %d and %d twice", n.took, n.size, n.twice)
	}
	t.Logf("%d bytes, %d received by three daemons, %d of them twice; %d on the wire", n.size, n.took, n.twice, n.wire.Load())
	receipt, err := os.ReadFile(n.dir + "/receipt.json")
	if err != nil || !bytes.Contains(receipt, []byte(n.want)) || !bytes.Contains(receipt, []byte(`"resumes": 2`)) {
		t.Errorf("receipt: %v\n%s", err, receipt)
	}
	if got := n.sum(0); got != n.want {
		t.Errorf("support reads a bundle with the SHA-256 %s, want %s", got, n.want)
	}
	t.Logf("SHA-256 as sent, in the receipt and as support reads it: %s", n.want)
}

func gatewayList(t *testing.T) []string {
	t.Helper()
	endpoints := os.Getenv("BUNDLEUP_S3_ENDPOINTS")
	if endpoints == "" {
		t.Skip("BUNDLEUP_S3_ENDPOINTS is not set: make test-s3 sets it")
	}
	return strings.Split(endpoints, ",")
}

// nodes are two daemons over one storage, and the bundle that they get.
type nodes struct {
	*testing.T
	dir     string
	bin     string
	prefix  string
	ports   [2]string
	metrics [2]string
	run     [2]*exec.Cmd
	doors   [2]string

	file string // the bundle
	size int64
	want string // its SHA-256

	gate  sync.Mutex   // held: nothing comes through the doors
	wire  atomic.Int64 // bytes that clients sent, through the counting doors
	kept  int64        // where the next daemon goes on
	took  int64        // bytes of the bundle that daemons received
	twice int64        // of them those that were received before
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
	n.prefix = fmt.Sprint("nodes-", time.Now().UnixNano())
	for i := range n.ports {
		n.ports[i], n.metrics[i] = n.unused(), n.unused()
		n.doors[i] = n.count(n.ports[i])
		n.configure(i, endpoints[i%len(endpoints)])
	}
	t.Cleanup(func() {
		for _, c := range n.run {
			n.kill(c)
		}
	})
	return n
}

// configure writes the configuration of a daemon; the first endpoint of a list counts.
func (n *nodes) configure(i int, endpoint string) {
	n.Helper()
	endpoint, _, _ = strings.Cut(endpoint, ",")
	cfg := fmt.Sprintf("ssh: {listen: [%q], host_keys: [%q]}\ndata_dir: %s/%d\naccounts: %s/accounts.yaml\nhttp: {listen: []}\nmetrics: {listen: [%q]}\n"+
		"storage: {kind: s3, disk: {root: %s/%d/disk, reserve: 0}, s3: {bucket: test, prefix: %s, endpoint: %q, path_style: true, lease: 2s}}\n",
		n.ports[i], n.dir+"/host", n.dir, i, n.dir, n.metrics[i], n.dir, i, n.prefix, endpoint)
	if err := os.WriteFile(n.config(i), []byte(cfg), 0o600); err != nil {
		n.Fatal(err)
	}
}

func (n *nodes) config(i int) string { return fmt.Sprintf("%s/%d.yaml", n.dir, i) }

func (n *nodes) do(name string, args ...string) {
	n.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// unused is an address where nobody listens.
func (n *nodes) unused() string {
	n.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// bundle makes one of about size bytes that does not compress.
func (n *nodes) bundle(size int64) {
	n.Helper()
	n.file = filepath.Join(n.dir, "big.tgz")
	f, err := os.Create(n.file)
	if err != nil {
		n.Fatal(err)
	}
	h := sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, h), gzip.NoCompression)
	if err != nil {
		n.Fatal(err)
	}
	w := tar.NewWriter(z)
	err1 := w.WriteHeader(&tar.Header{Name: "dump.bin", Mode: 0o644, Size: size, ModTime: time.Now()})
	_, err2 := io.CopyN(w, rand.Reader, size)
	if err := errors.Join(err1, err2, w.Close(), z.Close(), f.Close()); err != nil {
		n.Fatal(err)
	}
	i, err := os.Stat(n.file)
	if err != nil {
		n.Fatal(err)
	}
	n.size, n.want = i.Size(), fmt.Sprintf("%x", h.Sum(nil))
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
			go func() { defer d.Close(); io.Copy(&counted{d, n}, c) }()
		}
	}()
	return l.Addr().String()
}

type counted struct {
	io.Writer
	n *nodes
}

func (c *counted) Write(p []byte) (int, error) {
	c.n.gate.Lock()
	defer c.n.gate.Unlock()
	n, err := c.Writer.Write(p)
	c.n.wire.Add(int64(n))
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

// client gives the options of OpenSSH's clients.
func (n *nodes) client(address string, args ...string) []string {
	_, port, _ := net.SplitHostPort(address)
	return append([]string{"-o", "Port=" + port, "-i", n.dir + "/key", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"}, args...)
}

// sftp runs a batch through a door and gives what it printed.
func (n *nodes) sftp(i int, account, batch string) (string, error) {
	c := exec.Command("sftp", n.client(n.doors[i], "-b", "-", account+"@127.0.0.1")...)
	c.Stdin = strings.NewReader(batch)
	out, err := c.CombinedOutput()
	return string(out), err
}

// ssh runs one command as support.
func (n *nodes) ssh(i int, command string) string {
	n.Helper()
	out, err := exec.Command("ssh", n.client(n.doors[i], "-n", "desk@127.0.0.1", command)...).CombinedOutput()
	if err != nil {
		n.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// cut sends the bundle, and kills the daemon when so many bytes came through the
// doors altogether. What came through before is received; then it is asked what
// the other daemon has of it.
func (n *nodes) cut(command string, i int, until int64) {
	n.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := n.sftp(i, "acme", command+" "+n.file+" big.tgz\n")
		ended <- err
	}()
	for n.wire.Load() < until {
		time.Sleep(5 * time.Millisecond)
	}
	n.gate.Lock()
	got := n.received(i)
	for before := int64(-1); before != got; got = n.received(i) {
		before = got
		time.Sleep(10 * time.Millisecond)
	}
	n.kill(n.run[i])
	n.gate.Unlock()
	if err := <-ended; err == nil {
		n.Fatalf("%s: the client did not see that its daemon is dead", command)
	}
	at := n.kept + got
	n.took += got
	if n.run[1-i].ProcessState != nil {
		n.start(1 - i) // it was killed before
	}
	n.kept = n.listed(1 - i)
	n.twice += at - n.kept
	n.Logf("%s through daemon %d, killed at %d: the other one has %d, %d are sent twice", command, i+1, at, n.kept, at-n.kept)
	if at-n.kept > costOfKill {
		n.Errorf("a kill cost %d bytes, want at most %d", at-n.kept, costOfKill)
	}
}

// received is how many bytes of uploads a daemon got since it was started.
func (n *nodes) received(i int) int64 {
	n.Helper()
	return n.metric(i, "bundleup_upload_received_bytes_total")
}

// metric reads one number that has no labels.
func (n *nodes) metric(i int, name string) int64 {
	n.Helper()
	r, err := http.Get("http://" + n.metrics[i] + "/metrics")
	if err != nil {
		n.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(b)
	if err != nil || m == nil {
		n.Fatalf("%s: %v", name, err)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		n.Fatal(err)
	}
	return int64(v)
}

// listed is the size of the unfinished upload as the customer sees it.
func (n *nodes) listed(i int) int64 {
	n.Helper()
	out, err := n.sftp(i, "acme", "ls -l big.tgz\n")
	m := regexp.MustCompile(`(?m)^-\S+\s+\S+\s+\S+\s+\S+\s+(\d+)`).FindStringSubmatch(out)
	if err != nil || m == nil {
		n.Fatalf("ls: %v\n%s", err, out)
	}
	size, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		n.Fatal(err)
	}
	return size
}

// sum reads the bundle as support and gives its digest.
func (n *nodes) sum(i int) string {
	n.Helper()
	file := filepath.Join(n.dir, "got.tgz")
	n.do("scp", n.client(n.ports[i], "-q", "desk@127.0.0.1:/acme/big.tgz", file)...)
	return n.digest(file)
}

func (n *nodes) digest(file string) string {
	n.Helper()
	f, err := os.Open(file)
	if err != nil {
		n.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		n.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
