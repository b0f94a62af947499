package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// wayward is a proxy in front of a gateway that can stop to answer, and counts.
type wayward struct {
	url  string
	down atomic.Bool
	gets atomic.Int64
}

func newWayward(t *testing.T, gateway string) *wayward {
	t.Helper()
	u, err := url.Parse(gateway)
	if err != nil {
		t.Fatal(err)
	}
	w := &wayward{}
	// The host stays the one that the request is signed for.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host }}
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if w.down.Load() {
			out.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			w.gets.Add(1)
		}
		proxy.ServeHTTP(out, r)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// TestGatewayStories is what a customer, support and an operator do with a storage in
// S3, one after the other.
func TestGatewayStories(t *testing.T) {
	list := gatewayList(t)
	w := newWayward(t, list[0])
	n := newNodes(t, []string{w.url, list[len(list)-1]})
	n.start(0)
	t.Run("outage", func(t *testing.T) { n.with(t).outage(w) })
	t.Run("inside", func(t *testing.T) { n.with(t).inside(w) })
	t.Run("copy", func(t *testing.T) { n.with(t).copies() })
}

// with makes a subtest the one that fails.
func (n *nodes) with(t *testing.T) *nodes {
	n.T = t
	return n
}

// outage: the storage stops to answer in the middle of an upload; the customer reads
// how much is kept, and goes on there when it answers again.
func (n *nodes) outage(w *wayward) {
	n.bundle(60_000_000)
	ended := make(chan struct{})
	var out string
	var err error
	go func() {
		out, err = n.sftp(0, "acme", "put "+n.file+" big.tgz\n")
		close(ended)
	}()
	for n.wire.Load() < 40_000_000 {
		time.Sleep(5 * time.Millisecond)
	}
	w.down.Store(true)
	<-ended
	w.down.Store(false)
	m := regexp.MustCompile(`storage is not answering: nothing was lost, ([\d,]+) bytes of big\.tgz are kept: try again later`).FindStringSubmatch(out)
	if err == nil || m == nil {
		n.Fatalf("%v\n%s", err, out)
	}
	n.Log(m[0])
	if kept := fmt.Sprint(n.listed(0)); kept != strings.ReplaceAll(m[1], ",", "") || kept == "0" {
		n.Errorf("%s bytes are kept, the customer read %s", kept, m[1])
	}
	if out, err = n.sftp(0, "acme", "reput "+n.file+" big.tgz\n"); err != nil {
		n.Fatalf("reput: %v\n%s", err, out)
	}
	if got := n.sum(0); got != n.want {
		n.Errorf("support reads a bundle with the SHA-256 %s, want %s", got, n.want)
	}
}

// inside: support lists, fetches and searches what is in a bundle; one entry costs a
// handful of requests.
func (n *nodes) inside(w *wayward) {
	want := n.pack("logs.tgz")
	if out, err := n.sftp(0, "acme", "put "+n.dir+"/logs.tgz\n"); err != nil {
		n.Fatalf("put: %v\n%s", err, out)
	}
	index := filepath.Join(os.Getenv("BUNDLEUP_S3_ROOT"), n.prefix, "records/acme/logs.tgz/index")
	for range 600 {
		if _, err := os.Stat(index); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	n.kill(n.run[0]) // what it has read is forgotten
	n.start(0)
	before := w.gets.Load()
	out, err := n.sftp(0, "desk", "get acme/logs.tgz.d/var/log/app-7.log "+n.dir+"/got.log\n")
	cost := w.gets.Load() - before
	if err != nil {
		n.Fatalf("get: %v\n%s", err, out)
	}
	got, err := os.ReadFile(n.dir + "/got.log")
	if err != nil || !bytes.Equal(got, want) {
		n.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
	}
	n.Logf("sftp get of %d bytes inside %s: %d requests", len(got), "logs.tgz", cost)
	if cost > 16 {
		n.Errorf("one entry cost %d requests", cost)
	}
	out, err = n.sftp(0, "desk", "ls -l acme/logs.tgz.d/var/log\n")
	if err != nil || strings.Count(out, ".log") != 40 || !strings.Contains(out, fmt.Sprint(" ", len(want), " ")) {
		n.Errorf("ls: %v\n%s", err, out)
	}
	before = w.gets.Load()
	if got := n.ssh(0, "grep -n needle /acme/logs.tgz.d"); got != "/acme/logs.tgz.d/var/log/app-7.log:20001:the needle\n" {
		n.Errorf("grep: %s", got)
	}
	n.Logf("ssh grep through all of it: %d requests", w.gets.Load()-before)
}

// pack makes a bundle of logs and gives the content of var/log/app-7.log.
func (n *nodes) pack(name string) []byte {
	n.Helper()
	f, err := os.Create(filepath.Join(n.dir, name))
	if err != nil {
		n.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	var seven []byte
	for i := range 40 {
		var b bytes.Buffer
		for line := range 20_000 {
			fmt.Fprintf(&b, "%08x worker %d: request %d took %d ms\n", line*2654435761, i, line, line*i%977)
		}
		if i == 7 {
			b.WriteString("the needle\n")
			seven = bytes.Clone(b.Bytes())
		}
		h := &tar.Header{Name: fmt.Sprintf("var/log/app-%d.log", i), Mode: 0o644, Size: int64(b.Len()), ModTime: time.Now()}
		err := w.WriteHeader(h)
		if err == nil {
			_, err = b.WriteTo(w)
		}
		if err != nil {
			n.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
		n.Fatal(err)
	}
	return seven
}

// copies: an operator moves the store to a disk and back, with an interruption, and
// damage is found.
func (n *nodes) copies() {
	n.kill(n.run[0])
	run := func(args ...string) (string, error) {
		c := exec.Command(n.bin, append([]string{"storage", "copy", "--config", n.config(0)}, args...)...)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	here := filepath.Join(n.dir, "0", "disk")
	first := exec.Command(n.bin, "storage", "copy", "--config", n.config(0), "--from", "s3", "--to", "disk")
	if err := first.Start(); err != nil {
		n.Fatal(err)
	}
	for range 1000 {
		if half, _ := filepath.Glob(filepath.Join(here, "uploads", "*", "*", "data")); len(half) > 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	first.Process.Signal(syscall.SIGKILL)
	if err := first.Wait(); err == nil {
		n.Fatal("the copy ended before it was killed")
	}
	out, err := run("--from", "s3", "--to", "disk")
	if err != nil || !strings.Contains(out, "; 0 unfinished") {
		n.Fatalf("%v\n%s", err, out)
	}
	n.Logf("after a kill: %s", out)
	if got := n.digest(filepath.Join(here, "bundles/acme/big.tgz")); got != n.want {
		n.Errorf("the copy has the SHA-256 %s, want %s", got, n.want)
	}
	for _, doc := range []string{"receipt.json", "index"} {
		if _, err := os.Stat(filepath.Join(here, "records/acme/logs.tgz", doc)); err != nil {
			n.Error(err)
		}
	}

	// Back, below another prefix, with one bundle damaged on the disk.
	n.prefix += "-back"
	n.configure(0, os.Getenv("BUNDLEUP_S3_ENDPOINTS"))
	big := filepath.Join(here, "bundles/acme/big.tgz")
	n.flip(big)
	out, err = run("--from", "disk", "--to", "s3")
	if err == nil || !strings.Contains(out, "copy acme/big.tgz: the bytes have the SHA-256") {
		n.Errorf("damage was not found: %v\n%s", err, out)
	}
	n.Logf("damaged: %s", out)
	n.flip(big)
	c := exec.Command("script", "-qec", n.bin+" storage copy --config "+n.config(0)+" --from disk --to s3", os.DevNull)
	b, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(b), "100 %") || !strings.Contains(string(b), "copied ") {
		n.Fatalf("%v\n%s", err, b)
	}
	n.Logf("with a bar: %s", b[bytes.LastIndex(b, []byte("\x1b[K"))+3:])
	n.start(0)
	if got := n.sum(0); got != n.want {
		n.Errorf("the copy has the SHA-256 %s, want %s", got, n.want)
	}
	if got := n.ssh(0, "grep -c needle /acme/logs.tgz.d/var/log/app-7.log"); !strings.Contains(got, "1") {
		n.Errorf("grep: %s", got)
	}
}

// flip changes one byte in the middle of a file, or changes it back.
func (n *nodes) flip(file string) {
	n.Helper()
	if err := os.Chmod(file, 0o600); err != nil {
		n.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		n.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	_, err1 := f.ReadAt(b, n.size/2)
	b[0] ^= 0xff
	_, err2 := f.WriteAt(b, n.size/2)
	if err := errors.Join(err1, err2); err != nil {
		n.Fatal(err)
	}
}
