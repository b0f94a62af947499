//go:build torture

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	tortureTime = flag.Duration("torture.time", 2*time.Minute, "how long new uploads are begun")
	tortureSeed = flag.Uint64("torture.seed", 0, "seed of sizes, clients and faults (0: the clock)")
)

// torture is one run: a daemon that is killed, a proxy that cuts, clients that try
// for ever.
type torture struct {
	*testing.T
	dir    string
	daemon *scriptDaemon
	proxy  net.Listener
	target string

	mu    sync.Mutex // guards rng and conns
	rng   *rand.Rand
	conns map[net.Conn]bool

	acked                     sync.Map // name -> content
	kills, cuts, tries, begun atomic.Int64
	sent, size                atomic.Int64 // bytes on the wire, and of the bundles
}

// TestTorture sends bundles of random sizes with stock clients through a proxy that
// cuts connections, to a daemon that is killed at random, and retries each until the
// client says success. At the end every acknowledged bundle is there byte for byte,
// and nothing else.
func TestTorture(t *testing.T) {
	seed := *tortureSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	w := newTorture(t, seed)
	stop := make(chan struct{})
	var faults, clients sync.WaitGroup
	faults.Go(func() { w.killer(stop) })
	faults.Go(func() { w.cutter(stop) })
	until := time.Now().Add(*tortureTime)
	for worker := range 6 {
		clients.Go(func() {
			for n := 0; time.Now().Before(until); n++ {
				w.upload(fmt.Sprintf("w%d-%d.tgz", worker, n))
			}
		})
	}
	clients.Wait()
	close(stop)
	faults.Wait()
	w.verify()
}

func newTorture(t *testing.T, seed uint64) *torture {
	w := &torture{T: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)), conns: map[net.Conn]bool{}}
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.target = reserved.Addr().String()
	reserved.Close()
	if err := writeServerConfig(w.dir, w.target); err != nil {
		t.Fatal(err)
	}
	// A kill may cost no more than this of an upload.
	t.Setenv("BUNDLEUP_UPLOADS_CHECKPOINT", "1MiB")
	w.daemon = &scriptDaemon{dir: w.dir}
	if err := w.daemon.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.daemon.cleanup)
	if w.proxy, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.proxy.Close() })
	go w.serveProxy()
	w.useProxy()
	return w
}

// useProxy points the clients at the proxy; the host key is the daemon's.
func (w *torture) useProxy() {
	_, direct, _ := net.SplitHostPort(w.target)
	_, proxied, _ := net.SplitHostPort(w.proxy.Addr().String())
	for _, file := range []string{"ssh_config", "known_hosts"} {
		path := filepath.Join(w.dir, file)
		text, err := os.ReadFile(path)
		if err != nil {
			w.Fatal(err)
		}
		// The daemon rewrites neither when it starts again: start does.
		text = bytes.ReplaceAll(text, []byte(direct), []byte(proxied))
		if err := os.WriteFile(filepath.Join(w.dir, "proxied_"+file), bytes.ReplaceAll(text, []byte("/known_hosts"), []byte("/proxied_known_hosts")), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *torture) random(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// killer kills the daemon every few seconds and starts it anew.
func (w *torture) killer(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(2000+w.random(4000)) * time.Millisecond):
		}
		w.daemon.cleanup()
		w.kills.Add(1)
		if err := w.daemon.start(); err != nil {
			w.Errorf("restart: %v", err)
			return
		}
	}
}

// cutter cuts one connection after the other.
func (w *torture) cutter(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(100+w.random(400)) * time.Millisecond):
		}
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

func (w *torture) serveProxy() {
	for {
		c, err := w.proxy.Accept()
		if err != nil {
			return
		}
		go w.pipe(c)
	}
}

// pipe carries one connection, slowly enough to be cut in the middle.
func (w *torture) pipe(c net.Conn) {
	defer c.Close()
	d, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer d.Close()
	w.mu.Lock()
	w.conns[c] = true
	w.mu.Unlock()
	go func() {
		io.Copy(c, d)
		c.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		w.sent.Add(int64(n))
		if _, werr := d.Write(buf[:n]); err != nil || werr != nil {
			break
		}
		time.Sleep(4 * time.Millisecond)
	}
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
}

// upload makes a bundle and tries until a client says that it is there.
func (w *torture) upload(name string) {
	path := filepath.Join(w.dir, name)
	content := tortureBundle(w.T, 1+w.random(1<<(12+w.random(13))), uint64(w.random(1<<30)))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		w.Error(err)
		return
	}
	defer os.Remove(path)
	w.begun.Add(1)
	w.size.Add(int64(len(content)))
	for range 1000 {
		w.tries.Add(1)
		if w.try(name) {
			w.acked.Store(name, content)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.Errorf("%s: 1000 tries and no success", name)
}

// try runs one client once. A resume falls back to a fresh start where there is
// nothing to continue.
func (w *torture) try(name string) bool {
	args, input := []string{"sftp", "-F", "proxied_ssh_config", "-b", "-", "acme"}, "reput "+name+"\n"
	switch w.random(8) {
	case 0:
		input = "put " + name + "\n"
	case 1:
		args = []string{"scp", "-F", "proxied_ssh_config", name, "acme:"}
	case 2:
		args = []string{"scp", "-O", "-F", "proxied_ssh_config", name, "acme:"}
	}
	out, ok := w.run(args, input)
	if !ok && strings.Contains(out, "refused at byte") {
		w.Errorf("%s was refused: %s", name, out)
	}
	// What sftp says where the server has nothing of the file, or all of it.
	if strings.Contains(out, "No such file") || strings.Contains(out, "bigger or same size") || strings.Contains(out, "not found") {
		_, ok = w.run(args, "put "+name+"\n")
	}
	return ok
}

func (w *torture) run(args []string, input string) (out string, ok bool) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = w.dir
	cmd.Stdin = strings.NewReader(input)
	text, err := cmd.CombinedOutput()
	return string(text), err == nil
}

// verify holds what is stored against what was acknowledged.
func (w *torture) verify() {
	want := map[string][]byte{}
	w.acked.Range(func(k, v any) bool {
		want[k.(string)] = v.([]byte)
		return true
	})
	resumes := 0
	root := filepath.Join(w.dir, "data", "bundles", "acme")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if content, ok := want[e.Name()]; !ok || !bytes.Equal(got, content) {
			w.Errorf("%s: %d bytes are stored, acknowledged: %v with %d", e.Name(), len(got), ok, len(content))
		}
		delete(want, e.Name())
		doc, err := os.ReadFile(filepath.Join(w.dir, "data", "records", "acme", e.Name(), "receipt.json"))
		if err != nil {
			return err
		}
		var r struct{ Resumes int }
		if err := json.Unmarshal(doc, &r); err != nil {
			return err
		}
		resumes += r.Resumes
		return nil
	})
	if err != nil {
		w.Error(err)
	}
	for name := range want {
		w.Errorf("%s was acknowledged and is lost", name)
	}
	w.Logf("uploads %d, tries %d, kills %d, cuts %d, resumes %d", w.begun.Load(), w.tries.Load(), w.kills.Load(), w.cuts.Load(), resumes)
	w.Logf("bytes of bundles %d, on the wire %d, sent twice %d (with the protocol)", w.size.Load(), w.sent.Load(), w.sent.Load()-w.size.Load())
}

// tortureBundle is a sound bundle of about n incompressible bytes.
func tortureBundle(t *testing.T, n int, seed uint64) []byte {
	var buf bytes.Buffer
	if err := writeBundle(&buf, n, seed); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
