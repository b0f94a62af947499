package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"bundleup/auth"
)

// requireClients makes a missing client a failure instead of a skip; CI sets it
// and installs them.
const requireClients = "BUNDLEUP_REQUIRE_CLIENTS"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"bundleup": main,
	})
}

// TestScript runs the real daemon against stock clients; each script in
// testdata/script is one story. A script's directory holds a key pair for every
// account, an ssh_config with a host for each, and bundleup.yaml.
func TestScript(t *testing.T) {
	testscript.Run(t, scriptParams("testdata/script"))
}

func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		Setup:               setupScript,
		Condition:           clientCondition,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"daemon":     daemonCmd,
			"mkbundle":   mkbundleCmd,
			"mkfile":     mkfileCmd,
			"smalldisk":  smallDiskCmd,
			"receipt":    receiptCmd,
			"same":       sameCmd,
			"eventually": eventuallyCmd,
		},
	}
}

// clientCondition is [client:NAME], a program that a script speaks with, [fuse] or
// [mount].
func clientCondition(cond string) (bool, error) {
	if cond == "mount" {
		return canMount()
	}
	if cond == "fuse" {
		// A matter of the kernel, not of what is installed.
		f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
		if err == nil {
			err = f.Close()
		}
		return err == nil, nil
	}
	name, ok := strings.CutPrefix(cond, "client:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	var err error
	if name == "paramiko" {
		err = exec.Command("/usr/bin/python3", "-c", "import paramiko").Run()
	} else {
		_, err = exec.LookPath(name)
	}
	if err != nil && os.Getenv(requireClients) == "1" {
		return false, fmt.Errorf("client %s is missing and %s=1", name, requireClients)
	}
	return err == nil, nil
}

// needClients skips a test where one of the programs is not installed, or fails it where
// they are required.
func needClients(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if ok, err := clientCondition("client:" + name); err != nil {
			t.Fatal(err)
		} else if !ok {
			t.Skipf("%s is not installed", name)
		}
	}
}

// putHTTP uploads as acme over HTTP and wants a status.
func putHTTP(t *testing.T, url string, body io.Reader, want int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("acme", scriptPassword)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		t.Fatalf("put %s: got %s, want %d", url, resp.Status, want)
	}
}

// scriptAccounts are the accounts of every script.
var scriptAccounts = []struct{ name, role, tenant string }{
	{"acme", "customer", "acme"},
	{"acme-ci", "customer", "acme"},
	{"globex", "customer", "globex"},
	{"desk", "support", ""},
}

// scriptPassword is what acme may log in with.
const scriptPassword = "correct horse"

func setupScript(env *testscript.Env) error {
	d := &scriptDaemon{dir: env.WorkDir}
	env.Values[daemonKey{}] = d
	env.Defer(d.cleanup)
	env.Setenv("PASSWORD", scriptPassword)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("DATA", filepath.Join(env.WorkDir, "data"))
	return writeServerConfig(env.WorkDir, "127.0.0.1:0")
}

// exemptLoopback lets stories fail to log in as often as they like: all their clients
// have one address.
const exemptLoopback = "limits: {exempt: [\"127.0.0.0/8\"]}\n"

// writeServerConfig writes a configuration, the accounts and their keys.
func writeServerConfig(dir, listen string) error {
	var accounts strings.Builder
	accounts.WriteString("tenants:\n  - {name: acme}\n  - {name: globex}\naccounts:\n")
	for _, a := range scriptAccounts {
		line, err := writeClientKey(filepath.Join(dir, a.name+"_key"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, a.name+"_key.pub"), []byte(line+"\n"), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(&accounts, "  - name: %s\n    role: %s\n    keys: [%q]\n", a.name, a.role, line)
		if a.tenant != "" {
			fmt.Fprintf(&accounts, "    tenant: %s\n", a.tenant)
		}
		if a.name == "acme" || a.name == "desk" {
			hash, err := testHash()
			if err != nil {
				return err
			}
			fmt.Fprintf(&accounts, "    password: %q\n", hash)
		}
	}
	conf := "ssh: {listen: [\"" + listen + "\"]}\ndata_dir: .\naccounts: accounts.yaml\nstorage: {kind: disk, disk: {root: data}}\nhttp: {listen: [\"127.0.0.1:0\"]}\nmetrics: {listen: [\"127.0.0.1:0\"]}\nlog: {level: info, format: json}\nuploads: {shutdown_grace: 2s}\n" + exemptLoopback
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "accounts.yaml"), []byte(accounts.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "bundleup.yaml"), []byte(conf), 0o600),
	)
}

// testHash is the hash of scriptPassword, made once.
var testHash = sync.OnceValues(func() (string, error) { return auth.HashPassword([]byte(scriptPassword)) })

// scriptDaemon is the daemon of one script.
type scriptDaemon struct {
	dir  string
	path string // of the bundleup to run; empty: this test's own
	cmd  *exec.Cmd
	addr string
	web  string        // address for HTTP
	ops  string        // address for operators
	took time.Duration // from exec to listening
	logs logBuffer
	done chan error
	// socket, if set, is handed over to every daemon that is started.
	socket *os.File
}

type daemonKey struct{}

// logBuffer collects the daemon's log; it is safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.WriteString(line + "\n")
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// daemonCmd is "daemon start|stop|kill|hup|log".
func daemonCmd(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(daemonKey{}).(*scriptDaemon)
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon start|stop|kill|hup|log")
	}
	switch args[0] {
	case "start":
		ts.Check(d.start())
		_, port, err := net.SplitHostPort(d.addr)
		ts.Check(err)
		ts.Setenv("PORT", port)
		ts.Setenv("WEB", "http://"+d.web)
		ts.Setenv("OPS", "http://"+d.ops)
	case "stop":
		ts.Check(d.cmd.Process.Signal(syscall.SIGTERM))
		if err := <-d.done; err != nil {
			ts.Fatalf("daemon stop: %v\n%s", err, d.logs.String())
		}
		d.cmd = nil
	case "kill":
		ts.Check(d.cmd.Process.Kill())
		<-d.done
		d.cmd = nil
	case "hup":
		ts.Check(d.cmd.Process.Signal(syscall.SIGHUP))
	case "log":
		_, err := io.WriteString(ts.Stdout(), d.logs.String())
		ts.Check(err)
	default:
		ts.Fatalf("daemon: unknown word %q", args[0])
	}
}

// start runs "bundleup serve" and waits until it listens.
func (d *scriptDaemon) start() error {
	path := d.path
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		path = self
	}
	// testscript.Main dispatches on the name that the binary is called by.
	d.cmd = &exec.Cmd{Path: path, Args: []string{"bundleup", "serve", "--config", filepath.Join(d.dir, "bundleup.yaml")}, Dir: d.dir}
	if d.socket != nil {
		handOver(d.cmd, d.socket)
	}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := d.cmd.Start(); err != nil {
		return err
	}
	listening := make(chan string, 1)
	d.done = make(chan error, 1)
	go d.follow(stderr, listening)
	select {
	case d.addr = <-listening:
		d.took = time.Since(begun)
	case <-time.After(time.Minute):
		return fmt.Errorf("the daemon does not listen:\n%s", d.logs.String())
	}
	if d.addr == "" {
		return fmt.Errorf("the daemon ended:\n%s", d.logs.String())
	}
	return d.writeClientConfig()
}

// follow reads the log until the daemon ends.
func (d *scriptDaemon) follow(r io.Reader, listening chan<- string) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		d.logs.add(lines.Text())
		var l struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		switch l.Msg {
		case "listening for http": // comes before "listening"
			d.web = l.Address
		case "listening for operators":
			d.ops = l.Address
		case "listening":
			select {
			case listening <- l.Address:
			default: // a newer daemon
			}
		}
	}
	close(listening)
	d.done <- d.cmd.Wait()
}

// writeClientConfig writes ssh_config and known_hosts for the running daemon.
func (d *scriptDaemon) writeClientConfig() error {
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		return err
	}
	var hosts, conf strings.Builder
	keys, err := filepath.Glob(filepath.Join(d.dir, "keys", "*.pub"))
	if err != nil {
		return err
	}
	for _, file := range keys {
		line, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(&hosts, "[127.0.0.1]:%s %s", port, line)
	}
	for _, a := range scriptAccounts {
		fmt.Fprintf(&conf, "Host %s\n  HostName 127.0.0.1\n  Port %s\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n  UserKnownHostsFile %s\n  LogLevel ERROR\n  StrictHostKeyChecking yes\n",
			a.name, port, a.name, filepath.Join(d.dir, a.name+"_key"), filepath.Join(d.dir, "known_hosts"))
	}
	return errors.Join(
		os.WriteFile(filepath.Join(d.dir, "known_hosts"), []byte(hosts.String()), 0o600),
		os.WriteFile(filepath.Join(d.dir, "ssh_config"), []byte(conf.String()), 0o600),
	)
}

func (d *scriptDaemon) cleanup() {
	if d.cmd != nil && d.cmd.Process != nil {
		d.cmd.Process.Kill()
		<-d.done
	}
}

// mkbundleCmd is "mkbundle FILE BYTES [SEED]": a sound bundle of about that many
// compressed bytes.
func mkbundleCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mkbundle FILE BYTES [SEED]")
	}
	size, seed := number(ts, args[1]), 1
	if len(args) > 2 {
		seed = number(ts, args[2])
	}
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o700))
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(errors.Join(writeBundle(f, size, uint64(seed)), f.Close()))
}

// writeBundle writes a sound bundle with one file of n incompressible bytes.
func writeBundle(out io.Writer, n int, seed uint64) error {
	zip := gzip.NewWriter(out)
	w := tar.NewWriter(zip)
	err := w.WriteHeader(&tar.Header{Name: "var/log/messages", Mode: 0o644, Size: int64(n), ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg})
	if err != nil {
		return err
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, err = io.CopyN(w, rand.NewChaCha8(key), int64(n))
	return errors.Join(err, w.Close(), zip.Close())
}

// mkfileCmd is "mkfile FILE BYTES FROM": the first BYTES of FROM, or all but the
// last -BYTES.
func mkfileCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: mkfile FILE BYTES FROM")
	}
	data, err := os.ReadFile(ts.MkAbs(args[2]))
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o700))
	n := number(ts, args[1])
	if args[1][0] == '-' {
		n += len(data)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data[:min(n, len(data))], 0o600))
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

// receiptCmd is "receipt TENANT/NAME KEY VALUE": one field of a bundle's record
// on the daemon's disk.
func receiptCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: receipt TENANT/NAME KEY VALUE")
	}
	doc, err := os.ReadFile(filepath.Join(ts.Getenv("DATA"), "records", args[0], "receipt.json"))
	ts.Check(err)
	var fields map[string]any
	ts.Check(json.Unmarshal(doc, &fields))
	if got := fmt.Sprint(fields[args[1]]); (got == args[2]) == neg {
		ts.Fatalf("receipt of %s: %s is %s", args[0], args[1], got)
	}
}

// sameCmd is "same A B": two files have the same bytes.
func sameCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same A B")
	}
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("%s has %d bytes, %s has %d: same is %v", args[0], len(a), args[1], len(b), !neg)
	}
}

// eventuallyCmd is "eventually PROGRAM ARG...": runs it until it succeeds, for
// what takes effect a moment later.
func eventuallyCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: eventually PROGRAM ARG...")
	}
	deadline := time.Now().Add(time.Minute)
	for {
		err := ts.Exec(args[0], args[1:]...)
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("eventually %v: still %v", args, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
