//go:build peers

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	crowd      = 500      // uploads at once
	crowdBytes = 20 << 20 // each
)

// crowdLimits let one source and one account open that many connections.
const crowdLimits = "limits: {connections: 1024, connections_per_account: 1024, connections_per_source: 1024, startups: \"1000:30:1024\"}\n"

// footprint has many uploads begin at the same moment.
func (p *peers) footprint() string {
	c, d := startBundleup(p.T, p.binary, p.scratch("bundleup"), crowdLimits)
	var file bytes.Buffer
	if err := writeBundle(&file, crowdBytes, 4); err != nil {
		p.Fatal(err)
	}
	clients := p.connectAll(d, crowd)
	begin := make(chan struct{})
	took := make([]time.Duration, crowd)
	errs := make([]error, crowd)
	var all sync.WaitGroup
	for i, client := range clients {
		all.Go(func() {
			<-begin
			start := time.Now()
			errs[i] = sendTo(client, fmt.Sprintf("/up-%d.tgz", i), file.Bytes())
			took[i] = time.Since(start)
		})
	}
	start := time.Now()
	close(begin)
	all.Wait()
	whole := time.Since(start)
	for _, client := range clients {
		client.Close()
	}
	if err := errors.Join(errs...); err != nil {
		p.Fatal(err)
	}
	accepted, err := filepath.Glob(filepath.Join(c.dir, "data", "bundles", "acme", "up-*.tgz"))
	if err != nil {
		p.Fatal(err)
	}
	rows := [][]string{
		{"accepted", fmt.Sprintf("%d of %d", len(accepted), crowd)},
		{"peak memory of the daemon", mebibytes(p.peak(c.pid))},
		{"median upload", seconds(median(took)) + " s"},
		{"slowest upload", seconds(slices.Max(took)) + " s"},
		{"slowest : median", times(slices.Max(took), median(took))},
		{"all together", fmt.Sprintf("%.0f MB/s", float64(crowd*file.Len())/1e6/whole.Seconds())},
	}
	return fmt.Sprintf("%d connections with one upload of %d MiB each, all begun at once by a load generator on the\nsame machine, into one tenant's area.\n\n", crowd, crowdBytes>>20) +
		table([]string{"", ""}, rows)
}

// connectAll logs in, some at a time: the login is not what is measured.
func (p *peers) connectAll(d *scriptDaemon, count int) []*sftp.Client {
	key, err := os.ReadFile(filepath.Join(d.dir, "acme_key"))
	if err != nil {
		p.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		p.Fatal(err)
	}
	conf := &ssh.ClientConfig{User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	clients, errs := make([]*sftp.Client, count), make([]error, count)
	var all sync.WaitGroup
	turn := make(chan struct{}, 16)
	for i := range clients {
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			var conn *ssh.Client
			if conn, errs[i] = ssh.Dial("tcp", d.addr, conf); errs[i] == nil {
				clients[i], errs[i] = sftp.NewClient(conn, sftp.UseConcurrentWrites(true))
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		p.Fatal(err)
	}
	return clients
}

func sendTo(c *sftp.Client, name string, data []byte) error {
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.ReadFromWithConcurrency(bytes.NewReader(data), 64)
	return errors.Join(err, f.Close())
}

// peak is VmHWM, the most memory that a process has had, in KiB.
func (p *peers) peak(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		p.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		p.Fatal(err)
	}
	return kib
}

func mebibytes(kib int64) string { return fmt.Sprintf("%.0f MiB", float64(kib)/1024) }

// memory sends one bundle after the other, each to a fresh daemon.
func (p *peers) memory() string {
	var rows [][]string
	for _, size := range []int64{1 << 20, 100 << 20, 1 << 30, 10 << 30, 100 << 30} {
		dir := p.scratch("bundleup")
		file := filepath.Join(dir, "huge.tgz")
		var b bytes.Buffer
		if err := errors.Join(hugeBundle(&b, size), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
			p.Fatal(err)
		}
		c, d := startBundleup(p.T, p.binary, dir, "check: {max_ratio: 1032, max_members: 1000000}\n")
		idle := p.peak(c.pid)
		took := c.put(p.T, file, transfer{})
		rows = append(rows, []string{fmt.Sprintf("%d MiB", size>>20), fmt.Sprintf("%.1f MB", megabytes(file)), mebibytes(idle), mebibytes(p.peak(c.pid)), seconds(took) + " s"})
		d.cleanup()
		d.cmd = nil
	}
	return "One bundle of zeros over SFTP to a daemon that was just started.\n\n" +
		table([]string{"unpacked", "sent", "daemon's peak before", "after", "took"}, rows)
}

// start measures from exec to the line that says where it listens.
func (p *peers) start() string {
	var first, later []time.Duration
	for range 2*p.rounds + 1 {
		dir := p.scratch("bundleup")
		_, d := startBundleup(p.T, p.binary, dir, "")
		first = append(first, d.took)
		for range 2 {
			d.cleanup()
			d.cmd = nil
			if err := d.start(); err != nil {
				p.Fatal(err)
			}
			later = append(later, d.took)
		}
		d.cleanup()
		d.cmd = nil
	}
	rows := [][]string{
		{"start, host keys present: median", milliseconds(median(later))},
		{"slowest", milliseconds(slices.Max(later))},
		{"first start, makes three host keys: median", milliseconds(median(first))},
		{"slowest", milliseconds(slices.Max(first))},
		{"size of the binary", fmt.Sprintf("%.1f MB", megabytes(p.binary))},
	}
	return "From exec to listening, an empty store. The first start looks for the primes of an RSA key.\n\n" + table([]string{"", ""}, rows)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1000) }
