//go:build peers

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	gcm    = "aes128-gcm@openssh.com"
	ctr    = "aes128-ctr"
	chacha = "chacha20-poly1305@openssh.com"
)

// race is the result of the same transfer with both servers.
type race struct {
	wall, cpu [2]time.Duration // bundleup, OpenSSH
}

func (p *peers) race(servers [2]*contender, rounds int, transfer func(*contender) time.Duration) race {
	var wall, cpu [2][]time.Duration
	for range rounds {
		for i, c := range servers {
			before := c.cpu(p.T)
			wall[i] = append(wall[i], transfer(c))
			cpu[i] = append(cpu[i], c.cpu(p.T)-before)
		}
	}
	var r race
	for i := range servers {
		r.wall[i], r.cpu[i] = median(wall[i]), median(cpu[i])
	}
	return r
}

func (p *peers) bothServers() [2]*contender {
	ours, _ := startBundleup(p.T, p.binary, p.scratch("bundleup"), "")
	return [2]*contender{ours, startOpenSSH(p.T, p.scratch("openssh"))}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }

func times(d time.Duration, base time.Duration) string {
	return fmt.Sprintf("%.2f", d.Seconds()/base.Seconds())
}

func megabytes(file string) float64 {
	i, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return float64(i.Size()) / 1e6
}

// upload compares the whole upload, checked and synced, with OpenSSH's, which is
// neither, and with OpenSSH's followed by a look at the archive.
func (p *peers) upload() string {
	servers := p.bothServers()
	var rows [][]string
	for _, corpus := range []string{"incompressible", "logs"} {
		file := corpusFile(p.T, p.dir, corpus)
		look := p.inTurn(1, func(int) time.Duration { return p.wall("tar", "-tzf", file) })[0]
		for _, x := range []transfer{{}, {cipher: gcm}, {scp: true}, {scp: true, cipher: gcm}} {
			r := p.race(servers, p.rounds, func(c *contender) time.Duration {
				c.forget(p.T)
				return c.put(p.T, file, x)
			})
			rows = append(rows, []string{
				fmt.Sprintf("%s, %.0f MB, %s", corpus, megabytes(file), x),
				seconds(r.wall[0]), seconds(r.wall[1]), times(r.wall[1], r.wall[0]),
				seconds(r.wall[1] + look), times(r.wall[1]+look, r.wall[0]), seconds(r.cpu[0]), seconds(r.cpu[1]),
			})
		}
		servers[0].forget(p.T)
		servers[1].forget(p.T)
	}
	return "OpenSSH's client on loopback to the same disk. bundleup has inflated, checked, hashed and\nsynced the bundle when the client ends; OpenSSH has handed it to the page cache.\n\n" +
		table([]string{"", "bundleup s", "OpenSSH s", "OpenSSH : bundleup", "OpenSSH + `tar -tzf` s", "that : bundleup", "server CPU s", "OpenSSH's"}, rows)
}

func (x transfer) String() string {
	name, cipher := "sftp", "as negotiated"
	if x.scp {
		name = "scp -O"
	}
	if x.cipher != "" {
		cipher = x.cipher
	}
	return name + ", " + cipher
}

func (p *peers) wall(program string, args ...string) time.Duration {
	cmd := exec.Command(program, args...)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		p.Fatalf("%s %v: %v", program, args, err)
	}
	return time.Since(start)
}

// ciphers says what the choice of a cipher costs both servers.
func (p *peers) ciphers() string {
	servers := p.bothServers()
	file := corpusFile(p.T, p.dir, "incompressible")
	var rows [][]string
	for _, cipher := range []string{"", gcm, ctr, chacha} {
		r := p.race(servers, p.rounds, func(c *contender) time.Duration {
			c.forget(p.T)
			return c.put(p.T, file, transfer{cipher: cipher})
		})
		name := cipher
		if name == "" {
			name = "as negotiated"
		}
		rows = append(rows, []string{name, seconds(r.wall[0]), seconds(r.wall[1]), times(r.wall[1], r.wall[0]), seconds(r.cpu[0]), seconds(r.cpu[1])})
	}
	return fmt.Sprintf("The upload of %.0f MB of incompressible data over SFTP, by cipher.\n\n", megabytes(file)) +
		table([]string{"", "bundleup s", "OpenSSH s", "OpenSSH : bundleup", "server CPU s", "OpenSSH's"}, rows)
}

// download compares what support does all day. The file is in the page cache.
func (p *peers) download() string {
	servers := p.bothServers()
	file := corpusFile(p.T, p.dir, "incompressible")
	for _, c := range servers {
		c.put(p.T, file, transfer{})
	}
	var rows [][]string
	for _, x := range []transfer{{}, {cipher: gcm}, {scp: true}, {scp: true, cipher: gcm}} {
		r := p.race(servers, p.rounds, func(c *contender) time.Duration {
			to := filepath.Join(c.dir, "got.tgz")
			took := c.get(p.T, to, x)
			if megabytes(to) != megabytes(file) {
				p.Fatalf("%s: the copy is not whole", c.name)
			}
			os.Remove(to)
			return took
		})
		rows = append(rows, []string{x.String(), seconds(r.wall[0]), seconds(r.wall[1]), times(r.wall[1], r.wall[0]), seconds(r.cpu[0]), seconds(r.cpu[1])})
	}
	return fmt.Sprintf("OpenSSH's client on loopback, %.0f MB.\n\n", megabytes(file)) +
		table([]string{"", "bundleup s", "OpenSSH s", "OpenSSH : bundleup", "server CPU s", "OpenSSH's"}, rows)
}
