//go:build torture && linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
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

// torture is one run: a daemon that is killed, a proxy that cuts, a disk that fills
// up, clients that try for ever.
type torture struct {
	*testing.T
	dir    string
	daemon *scriptDaemon
	proxy  net.Listener
	target string
	lftp   bool   // there is one
	small  string // the disk of its own; empty where it cannot be filled up

	mu    sync.Mutex // guards rng and conns
	rng   *rand.Rand
	conns map[net.Conn]bool

	acked                     sync.Map // name -> SHA-256 of its content
	kills, stops, cuts, fills atomic.Int64
	begun, doubles, tries     atomic.Int64
	told                      atomic.Int64 // clients that read that the disk is full
	sent, size                atomic.Int64 // bytes on the wire, and of the bundles
}

// TestTorture sends bundles of random sizes with stock clients through a proxy that
// cuts connections, to a daemon that is killed and stopped at random and whose disk
// runs out of blocks and inodes, and retries each until the client says success.
// Some names are sent by several clients at once. At the end every acknowledged
// bundle is there byte for byte, and nothing else.
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
	faults.Go(func() { w.filler(stop) })
	until := time.Now().Add(*tortureTime)
	for worker := range 6 {
		clients.Go(func() {
			for n := 0; time.Now().Before(until); n++ {
				w.upload(fmt.Sprintf("w%d-%d.tgz", worker, n))
			}
		})
	}
	time.Sleep(time.Until(until))
	close(stop) // who is still trying comes to an end
	faults.Wait()
	clients.Wait()
	w.verify()
}

func newTorture(t *testing.T, seed uint64) *torture {
	w := &torture{T: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)), conns: map[net.Conn]bool{}}
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, err = exec.LookPath("lftp")
	w.lftp = err == nil
	w.target = reserved.Addr().String()
	reserved.Close()
	if err := writeServerConfig(w.dir, w.target); err != nil {
		t.Fatal(err)
	}
	w.mountSmallDisk()
	// A kill may cost no more than this of an upload.
	t.Setenv("BUNDLEUP_UPLOADS_CHECKPOINT", "1MiB")
	// The disk is to be full to the last block, not to its reserve.
	t.Setenv("BUNDLEUP_STORAGE_DISK_RESERVE", "0")
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

// upload makes a bundle and lets one client try until it is told success, or
// several at once, as a script does that is started again while it still runs.
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
	clients := 1
	if w.random(6) == 0 {
		clients = 2 + w.random(2)
		w.doubles.Add(1)
	}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() { w.insist(name) })
	}
	wg.Wait()
	w.acked.Store(name, sha256.Sum256(content))
}

// insist tries until a client says that the bundle is there.
func (w *torture) insist(name string) {
	for range 1000 {
		w.tries.Add(1)
		if w.try(name) {
			return
		}
		time.Sleep(time.Duration(50+w.random(100)) * time.Millisecond)
	}
	w.Errorf("%s: 1000 tries and no success", name)
}

// try runs one client once, mostly one that resumes. A resume falls back to a fresh
// start where there is nothing to continue.
func (w *torture) try(name string) bool {
	account := []string{"acme", "acme", "acme", "acme-ci"}[w.random(4)]
	args, input := []string{"sftp", "-F", "proxied_ssh_config", "-b", "-", account}, "reput "+name+"\n"
	switch w.random(10) {
	case 0:
		input = "put " + name + "\n"
	case 1:
		args = []string{"scp", "-F", "proxied_ssh_config", name, account + ":"}
	case 2:
		args = []string{"scp", "-O", "-F", "proxied_ssh_config", name, account + ":"}
	case 3, 4:
		if w.lftp {
			args, input = []string{"lftp", "-c", fmt.Sprintf(`set sftp:connect-program "ssh -a -x -F proxied_ssh_config"; set net:max-retries 1; set net:timeout 20; open sftp://%s:@%s; put -c %s`, account, account, name)}, ""
		}
	}
	out, ok := w.run(args, input)
	// What sftp says where the server has nothing of the file, or all of it.
	if strings.Contains(out, "No such file") || strings.Contains(out, "bigger or same size") || strings.Contains(out, "not found") {
		out, ok = w.run([]string{"sftp", "-F", "proxied_ssh_config", "-b", "-", account}, "put "+name+"\n")
	}
	return ok
}

func (w *torture) run(args []string, input string) (out string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = w.dir
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second // an ssh of its own may have its output open
	text, err := cmd.CombinedOutput()
	out = string(text)
	if strings.Contains(out, "refused at byte") {
		w.Errorf("%v was refused: %s", args, out)
	}
	if strings.Contains(out, "the server's disk is full: nothing was lost") {
		w.told.Add(1)
	}
	return out, err == nil
}

// verify holds what is stored against what was acknowledged.
func (w *torture) verify() {
	want := map[string][sha256.Size]byte{}
	w.acked.Range(func(k, v any) bool {
		want[k.(string)] = v.([sha256.Size]byte)
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
		if sum, ok := want[e.Name()]; !ok || sha256.Sum256(got) != sum {
			w.Errorf("%s: %d bytes are stored that nobody was told of (acknowledged under that name: %v)", e.Name(), len(got), ok)
		}
		delete(want, e.Name())
		n, err := w.receiptResumes(e.Name())
		resumes += n
		return err
	})
	if err != nil {
		w.Error(err)
	}
	for name := range want {
		w.Errorf("%s was acknowledged and is lost", name)
	}
	w.wantNoLitter()
	w.Logf("uploads %d, of them by several clients at once %d; tries %d; kills %d, stops %d, cuts %d, disk full %d (told to clients %d), resumes %d",
		w.begun.Load(), w.doubles.Load(), w.tries.Load(), w.kills.Load(), w.stops.Load(), w.cuts.Load(), w.fills.Load(), w.told.Load(), resumes)
	w.Logf("bytes of bundles %d, on the wire %d, sent twice %d (with the protocol)", w.size.Load(), w.sent.Load(), w.sent.Load()-w.size.Load())
}

func (w *torture) receiptResumes(name string) (int, error) {
	doc, err := os.ReadFile(filepath.Join(w.dir, "data", "records", "acme", name, "receipt.json"))
	if err != nil {
		return 0, err
	}
	var r struct{ Resumes int }
	return r.Resumes, json.Unmarshal(doc, &r)
}

// wantNoLitter starts the daemon once more: all uploads have ended, so nothing of
// one may be left.
func (w *torture) wantNoLitter() {
	w.daemon.cleanup()
	if err := w.daemon.start(); err != nil {
		w.Error(err)
	}
	for _, pattern := range []string{"uploads/*/*", "records/.tmp/*", "records/*/*/.*"} {
		left, err := filepath.Glob(filepath.Join(w.dir, "data", pattern))
		if err != nil || len(left) > 0 {
			w.Errorf("litter in %s: %q, %v", pattern, left, err)
		}
	}
}

// tortureBundle is a sound bundle of about n incompressible bytes.
func tortureBundle(t *testing.T, n int, seed uint64) []byte {
	var buf bytes.Buffer
	if err := writeBundle(&buf, n, seed); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
