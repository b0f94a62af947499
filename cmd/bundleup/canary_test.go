package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCanaryLoop lets a canary watch a daemon that is killed and comes back.
func TestCanaryLoop(t *testing.T) {
	t.Parallel()
	d := &scriptDaemon{dir: t.TempDir()}
	if err := writeServerConfig(d.dir, freeAddress(t)); err != nil { // the port stays over the restart
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cleanup)
	c := startCanary(t, d)
	c.await("a first success", func(m map[string]float64) bool {
		return m["last_success_timestamp_seconds"] > 0 && m["duration_seconds_count"] > 0 && m["failures_total"] == 0
	})
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.done
	before := c.await("failures", func(m map[string]float64) bool { return m["failures_total"] >= 2 })
	if age := float64(time.Now().Unix()) - before["last_success_timestamp_seconds"]; age < 1 {
		t.Errorf("the last success is %v s old while there is no daemon", age)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	c.await("recovery", func(m map[string]float64) bool {
		return m["last_success_timestamp_seconds"] > before["last_success_timestamp_seconds"] && m["duration_seconds_count"] > before["duration_seconds_count"]
	})
	if _, err := os.Stat(filepath.Join(d.dir, "data", "bundles", "acme", "canary.tgz")); err != nil {
		t.Error(err)
	}
	if list, err := filepath.Glob(filepath.Join(d.dir, "data", "bundles", "acme", "*")); err != nil || len(list) != 1 {
		t.Errorf("there are %q: the canary piles up", list)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the canary ends with %v", err)
	}
}

// canaryRun is a running "bundleup canary".
type canaryRun struct {
	*testing.T
	cmd *exec.Cmd
	url string
}

func startCanary(t *testing.T, d *scriptDaemon) *canaryRun {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// testscript.Main dispatches on the name that the binary is called by.
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = []string{"bundleup", "canary", "--interval", "1s", "--timeout", "10s", "--listen", "127.0.0.1:0", "--address", d.addr,
		"--user", "acme", "--key", filepath.Join(d.dir, "acme_key"), "--known-hosts", filepath.Join(d.dir, "known_hosts")}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &canaryRun{T: t, cmd: cmd}
	lines := bufio.NewScanner(stderr)
	for c.url == "" && lines.Scan() {
		var l struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "listening for operators" {
			c.url = "http://" + l.Address + "/metrics"
		}
	}
	if c.url == "" {
		t.Fatalf("the canary does not listen: %v", cmd.Wait())
	}
	go func() {
		for lines.Scan() { // its log must not stop it; Wait ends this
		}
	}()
	return c
}

var canarySample = regexp.MustCompile(`(?m)^bundleup_canary_(\w+) (\S+)$`)

// await scrapes until the metrics are right, and gives them.
func (c *canaryRun) await(what string, right func(map[string]float64) bool) map[string]float64 {
	c.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		text := fetch(c.T, c.url)
		m := map[string]float64{}
		for _, s := range canarySample.FindAllStringSubmatch(text, -1) {
			m[s[1]], _ = strconv.ParseFloat(s[2], 64)
		}
		if right(m) {
			return m
		}
		if time.Now().After(end) {
			c.Fatalf("%s: not within %v: %s", what, patience, strings.Join(canarySample.FindAllString(text, -1), "\n"))
		}
	}
}
