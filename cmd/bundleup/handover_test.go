package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// daemonLine is what the tests look for in the daemons' common log.
type daemonLine struct {
	Msg     string
	PID     int
	Newer   int
	Account string
	Err     string
	Level   string
}

func (d *scriptDaemon) lines() (list []daemonLine) {
	for _, text := range strings.Split(d.logs.String(), "\n") {
		var l daemonLine
		if json.Unmarshal([]byte(text), &l) == nil {
			list = append(list, l)
		}
	}
	return list
}

// logged reports a line with these words by a process; 0 is the one that was started
// by the test.
func (d *scriptDaemon) logged(pid int, msg string) bool {
	for _, l := range d.lines() {
		if l.PID == pid && l.Msg == msg {
			return true
		}
	}
	return false
}

// upgrade sends SIGUSR2 and gives the newer daemon's process, which the test kills at
// its end.
func (d *scriptDaemon) upgrade(t *testing.T, old *os.Process) *os.Process {
	t.Helper()
	known := len(d.newer())
	if err := old.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	await(t, "a newer daemon", func() bool { return len(d.newer()) > known })
	p, err := os.FindProcess(d.newer()[known])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

func (d *scriptDaemon) newer() (pids []int) {
	for _, l := range d.lines() {
		if l.Newer > 0 {
			pids = append(pids, l.Newer)
		}
	}
	return pids
}

// newGenerations is a running daemon on fixed ports.
func newGenerations(t *testing.T) *scriptDaemon {
	t.Helper()
	needClients(t, "sftp")
	d := &scriptDaemon{dir: t.TempDir()}
	t.Cleanup(d.cleanup)
	var addrs []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		defer l.Close()
	}
	if err := writeServerConfig(d.dir, addrs[0]); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BUNDLEUP_HTTP_LISTEN", addrs[1])
	t.Setenv("BUNDLEUP_METRICS_LISTEN", addrs[2])
	t.Setenv("BUNDLEUP_UPLOADS_CHECKPOINT", "1MiB")
	writeDiag(t, filepath.Join(d.dir, "diag.tgz"), 1<<20)
	return d
}

func (d *scriptDaemon) startGenerations(t *testing.T) {
	t.Helper()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
}

func writeDiag(t *testing.T, file string, size int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeBundle(f, size, 1); err != nil {
		t.Fatal(err)
	}
}

// TestGenerations replaces the daemon under 20 running uploads: who logs in meanwhile
// is served by the newer one at once, an upload that was suspended before goes on
// there, and everything is accepted.
func TestGenerations(t *testing.T) {
	const uploads = 20
	d := newGenerations(t)
	d.startGenerations(t)
	first := d.cmd.Process
	// Cut off in the middle: 8 MB take 8 s.
	writeDiag(t, filepath.Join(d.dir, "large.tgz"), 8<<20)
	cut := exec.Command("sftp", "-l", "8000", "-F", filepath.Join(d.dir, "ssh_config"), "-b", "-", "acme")
	cut.Stdin, cut.Dir = strings.NewReader("put large.tgz\n"), d.dir
	if err := cut.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a saved state", func() bool { return d.glob("uploads/acme/*/state") == 1 })
	cut.Process.Kill()
	cut.Wait()
	await(t, "the cut", func() bool { return d.logged(0, "suspended") })

	results := make(chan error, uploads)
	for n := range uploads {
		go func() { results <- d.put(fmt.Sprintf("running%02d.tgz", n), "-l", "1000") }()
	}
	await(t, "uploads", func() bool { return d.glob("uploads/acme/*/data") == uploads+1 })
	second := d.upgrade(t, first)
	if err := d.put("meanwhile.tgz"); err != nil {
		t.Error(err)
	}
	if !d.logged(second.Pid, "accepted") {
		t.Errorf("the newer daemon has accepted nothing:\n%s", d.logs.String())
	}
	if n := d.glob("uploads/acme/*/data"); n < uploads {
		t.Errorf("%d uploads run while somebody else is served, want %d", n-1, uploads)
	}
	if err := d.reput("large.tgz", "large.tgz"); err != nil {
		t.Error(err)
	}
	if !d.logged(second.Pid, "resumed") {
		t.Error("the newer daemon has resumed nothing")
	}
	for range uploads {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	await(t, "the end of the older daemon", func() bool { return d.logged(second.Pid, "store opened") && d.countLog("store opened") == 3 })
	if n := d.glob("bundles/acme/*.tgz"); n != uploads+2 {
		t.Errorf("%d bundles were accepted, want %d", n, uploads+2)
	}
	if n := d.glob("uploads/acme/*"); n != 0 {
		t.Errorf("%d uploads are left", n)
	}
	if d.countLog("grace is over, uploads are suspended") > 0 {
		t.Errorf("uploads were cut off:\n%s", d.logs.String())
	}
	// Once more, when the first handover is over.
	third := d.upgrade(t, second)
	if err := d.put("third.tgz"); err != nil || !d.logged(third.Pid, "accepted") {
		t.Errorf("the third daemon: %v", err)
	}
}

// reput goes on with an upload.
func (d *scriptDaemon) reput(file, name string) error {
	cmd := exec.Command("sftp", "-F", filepath.Join(d.dir, "ssh_config"), "-b", "-", "acme")
	cmd.Stdin, cmd.Dir = strings.NewReader("reput "+file+" "+name+"\n"), d.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("reput %s: %w: %s", name, err, out)
	}
	return nil
}

func (d *scriptDaemon) glob(pattern string) int {
	found, err := filepath.Glob(filepath.Join(d.dir, "data", filepath.FromSlash(pattern)))
	if err != nil {
		panic(err)
	}
	return len(found)
}

func (d *scriptDaemon) countLog(msg string) (n int) {
	for _, l := range d.lines() {
		if l.Msg == msg {
			n++
		}
	}
	return n
}

// TestGenerationsKilled kills either of two daemons while uploads run in both: what
// was kept is continued by the one that is there, or by the next.
func TestGenerationsKilled(t *testing.T) {
	for _, victim := range []string{"older", "newer"} {
		t.Run(victim, func(t *testing.T) {
			d := newGenerations(t)
			d.startGenerations(t)
			writeDiag(t, filepath.Join(d.dir, "diag.tgz"), 4<<20)
			old := make(chan error, 1)
			go func() { old <- d.put("old.tgz", "-l", "8000") }()
			await(t, "a state in the older one", func() bool { return d.glob("uploads/acme/*/state") == 1 })
			second := d.upgrade(t, d.cmd.Process)
			young := make(chan error, 1)
			go func() { young <- d.put("new.tgz", "-l", "8000") }()
			await(t, "a state in the newer one", func() bool { return d.glob("uploads/acme/*/state") == 2 })
			cut := "old.tgz"
			if victim == "older" {
				d.cmd.Process.Kill()
				if err := <-old; err == nil {
					t.Error("an upload was finished by a daemon that was killed")
				}
				if err := <-young; err != nil {
					t.Errorf("the newer daemon's upload: %v", err)
				}
				await(t, "the newer daemon to be alone", func() bool { return d.countLog("store opened") == 3 })
			} else {
				cut = "new.tgz"
				second.Kill()
				if err := <-old; err != nil {
					t.Errorf("the older daemon's upload: %v", err)
				}
				if err := <-young; err == nil {
					t.Error("an upload was finished by a daemon that was killed")
				}
				<-d.done
				d.startGenerations(t)
			}
			if err := d.reput("diag.tgz", cut); err != nil {
				t.Error(err)
			}
			if n := d.glob("bundles/acme/*.tgz"); n != 2 {
				t.Errorf("%d bundles, want 2:\n%s", n, d.logs.String())
			}
			if d.countLog("resumed") != 1 {
				t.Errorf("%d uploads were resumed, want 1", d.countLog("resumed"))
			}
		})
	}
}

// TestNoNewerDaemon: one that does not come up leaves the older one as it was.
func TestNoNewerDaemon(t *testing.T) {
	d := newGenerations(t)
	d.startGenerations(t)
	good, err := os.ReadFile(filepath.Join(d.dir, "bundleup.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.dir, "bundleup.yaml")
	if err := os.WriteFile(file, append([]byte("nonsense: 1\n"), good...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	await(t, "the failure", func() bool { return d.logged(0, "no newer daemon, this one goes on") })
	await(t, "to be alone again", func() bool { return d.countLog("store opened") == 2 })
	if err := d.put("after.tgz"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	second := d.upgrade(t, d.cmd.Process)
	if err := d.put("second.tgz"); err != nil || !d.logged(second.Pid, "accepted") {
		t.Errorf("the newer daemon: %v", err)
	}
}

// TestStopWhileReplaced: SIGTERM shortens the grace of a daemon that was replaced.
func TestStopWhileReplaced(t *testing.T) {
	d := newGenerations(t)
	d.startGenerations(t)
	writeDiag(t, filepath.Join(d.dir, "diag.tgz"), 4<<20)
	sent := make(chan error, 1)
	go func() { sent <- d.put("slow.tgz", "-l", "2000") }()
	await(t, "a state", func() bool { return d.glob("uploads/acme/*/state") == 1 })
	d.upgrade(t, d.cmd.Process)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err == nil {
		t.Error("an upload went on beyond the grace")
	}
	await(t, "the suspended upload", func() bool { return d.logged(0, "suspended") })
	await(t, "the newer daemon to be alone", func() bool { return d.countLog("store opened") == 3 })
}

func TestInheritOlder(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"nothing", "", ""},
		{"no numbers", "x", `take over: BUNDLEUP_HANDOVER is "x"`},
		{"too few", "1 2", `take over: BUNDLEUP_HANDOVER is "1 2"`},
		{"by a stranger", "1 1 1 1", `take over: BUNDLEUP_HANDOVER is "1 1 1 1": it was not handed to this process`},
		{"negative", fmt.Sprintf("%d -1 1 1", os.Getppid()), fmt.Sprintf(`take over: BUNDLEUP_HANDOVER is "%d -1 1 1": it was not handed to this process`, os.Getppid())},
		{"too many", fmt.Sprintf("%d 9 1 1", os.Getppid()), fmt.Sprintf(`take over: BUNDLEUP_HANDOVER is "%d 9 1 1": it was not handed to this process`, os.Getppid())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, s, err := inheritOlder(tt.value)
			if got := errorText(err); got != tt.want {
				t.Errorf("error is %q, want %q", got, tt.want)
			}
			if o.ready != nil || len(s.waiting) > 0 {
				t.Error("something was taken")
			}
		})
	}
}
