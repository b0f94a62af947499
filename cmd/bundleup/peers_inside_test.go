//go:build peers

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

const (
	// insideHosts times 16 logs of 32 MiB are in the bundle: 4.3 GB.
	insideHosts = 8
	insideSmall = "diag/etc/small.conf"                // an entry in the middle
	insideLog   = "host-4/var/log/diag-service-8.log"  // one of 32 MiB
	insideWord  = "checkpoint written at offset 12345" // in a few lines
)

// makeInside writes a bundle with the logs of several hosts, each log a gzip member, and
// a small file in the middle. The hosts' logs are alike, so that making it does not take
// longer than what is measured.
func makeInside(file string) error {
	const logs, size = 16, corpusBytes / 16
	r := rand.New(corpusRandom(10))
	var members [logs][]byte
	for i := range members {
		var text bytes.Buffer
		for text.Len() < size {
			text.WriteString(logLine(r))
		}
		var err error
		if members[i], err = gzipped(text.Bytes()[:size]); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	add := func(name string, size int64, body []byte) error {
		var head bytes.Buffer
		if err := tar.NewWriter(&head).WriteHeader(corpusHeader(name, size)); err != nil {
			return err
		}
		packed, err := gzipped(head.Bytes())
		out.Write(packed)
		out.Write(body)
		return err
	}
	small, err := gzipped(make([]byte, 512))
	for host := range insideHosts {
		for i, m := range members {
			err = errors.Join(err, add(fmt.Sprintf("host-%d/var/log/diag-service-%d.log", host, i), size, m))
		}
		if host == insideHosts/2 {
			err = errors.Join(err, add(insideSmall, 512, small))
		}
	}
	end, zerr := gzipped(make([]byte, 1024))
	out.Write(end)
	return errors.Join(err, zerr, os.WriteFile(file, out.Bytes(), 0o600))
}

// gzipped is what gzip -6 makes of data.
func gzipped(data []byte) ([]byte, error) {
	cmd := exec.Command("gzip", "-6", "-n")
	cmd.Stdin = bytes.NewReader(data)
	return cmd.Output()
}

// inside compares reading inside a bundle that was uploaded with what one does without:
// download it, and unpack or search all of it.
func (p *peers) inside() string {
	file := filepath.Join(p.dir, "corpus-inside.tar.gz")
	if _, err := os.Stat(file); err != nil {
		if err := makeInside(file); err != nil {
			p.Fatal(err)
		}
	}
	unpacked, _ := p.unpacked(file)
	dir := p.scratch("inside")
	c, _ := startBundleup(p.T, p.binary, dir, "")
	c.put(p.T, file, transfer{})
	c.client(p.T, "", "ssh", "-F", "ssh_config", c.getHost, "ls", "/acme/up.tgz.d") // its index is there
	index := megabytes(filepath.Join(dir, "data", "records", "acme", "up.tgz", "index"))
	rows := p.insideRows(c, file)
	return fmt.Sprintf("A bundle of logs of %.0f MB, %.2f GB unpacked, over OpenSSH's clients on loopback, login included\n"+
		"(%.2f s of it for `ls`). Its index has %.2f MB, %.2f %%. The usual way is a download with sftp\n"+
		"and then `tar -xzOf` or `zgrep`; a line that says *one core* is about a local file, pinned.\n\n",
		megabytes(file), float64(unpacked)/1e9, p.inTurn(1, func(int) time.Duration { return c.look(p, "ls /acme/up.tgz.d") })[0].Seconds(),
		index, 100*index/megabytes(file)) +
		table([]string{"", "bundleup s", "the usual way s", "usual : bundleup"}, rows) + "\n" + p.insideMany(c)
}

// look runs a command over ssh.
func (c *contender) look(p *peers, command string) time.Duration {
	return c.client(p.T, "", "ssh", "-F", "ssh_config", c.getHost, command)
}

func (p *peers) insideRows(c *contender, file string) (rows [][]string) {
	got := filepath.Join(c.dir, "got.tgz")
	download := func() time.Duration { return c.get(p.T, got, transfer{}) }
	fetch := func(name string) func() time.Duration {
		return func() time.Duration {
			return c.client(p.T, "get "+c.source+".d/"+name+" got\n", "sftp", "-q", "-F", "ssh_config", "-b", "-", c.getHost)
		}
	}
	unpack := func(name string) func() time.Duration {
		return func() time.Duration { return download() + p.shell("tar -xzOf %s %s >/dev/null", got, name) }
	}
	pinned := func(format string, args ...any) func() time.Duration {
		return func() time.Duration { return p.shell("taskset -c 0 "+format, args...) }
	}
	bundle := filepath.Join(c.dir, "local.tgz") // by its name it is one
	if err := os.Link(file, bundle); err != nil {
		p.Fatal(err)
	}
	p.shell("%s ls %s >/dev/null", p.binary, bundle) // makes the local index
	for _, r := range []struct {
		name         string
		ours, theirs func() time.Duration
	}{
		{"`get` of 512 bytes in the middle", fetch(insideSmall), unpack(insideSmall)},
		{"`get` of 32 MiB in the middle", fetch(insideLog), unpack(insideLog)},
		{"`ssh tail` of a log", func() time.Duration { return c.look(p, "tail -n 20 "+c.source+".d/"+insideLog) }, unpack(insideLog)},
		{"`ssh grep` of everything", func() time.Duration { return c.look(p, fmt.Sprintf("grep -c -h '%s' %s", insideWord, c.source)) },
			func() time.Duration { return download() + p.shell("zgrep -c '%s' %s >/dev/null", insideWord, got) }},
		{"`bundleup grep`, one core; `zgrep`", pinned("%s grep -c -h '%s' %s >/dev/null", p.binary, insideWord, bundle),
			pinned("zgrep -a -c '%s' %s >/dev/null", insideWord, file)},
		{fmt.Sprintf("`bundleup grep`, %d cores; `tar -xzOf \\| grep`", runtime.NumCPU()),
			func() time.Duration { return p.shell("%s grep -c -h '%s' %s >/dev/null", p.binary, insideWord, bundle) },
			func() time.Duration { return p.shell("tar -xzOf %s | grep -a -c '%s' >/dev/null", file, insideWord) }},
	} {
		t := p.inTurn(2, func(i int) time.Duration { return []func() time.Duration{r.ours, r.theirs}[i]() })
		rows = append(rows, []string{r.name, seconds(t[0]), seconds(t[1]), fmt.Sprintf("%.1f", t[1].Seconds()/t[0].Seconds())})
	}
	return rows
}

// insideMany reads the first 64 KiB of every log of the bundle, each in a command of its
// own, with the login's time.
func (p *peers) insideMany(c *contender) string {
	var took []time.Duration
	for i := range insideHosts {
		for n := range 16 {
			took = append(took, c.look(p, fmt.Sprintf("head -c 65536 %s.d/host-%d/var/log/diag-service-%d.log", c.source, i, n)))
		}
	}
	slices.Sort(took)
	return fmt.Sprintf("`ssh head -c 65536` of each of its %d logs, login included: median %.0f ms, 99th percentile %.0f ms.\n",
		len(took), took[len(took)/2].Seconds()*1e3, took[len(took)*99/100].Seconds()*1e3)
}

// shell runs a command line; grep's "nothing found" is no failure.
func (p *peers) shell(format string, args ...any) time.Duration {
	cmd := exec.Command("sh", "-c", fmt.Sprintf(format, args...)+"; test $? -le 1")
	cmd.Stderr = io.Discard
	start := time.Now()
	if err := cmd.Run(); err != nil {
		p.Fatalf("%v: %v", cmd.Args, err)
	}
	return time.Since(start)
}
