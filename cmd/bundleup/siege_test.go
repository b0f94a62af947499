//go:build siege

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

var (
	siegeSeed   = flag.Uint64("siege.seed", 0, "seed of the attackers (0: the clock)")
	siegeUpload = flag.Int("siege.upload", 1<<30, "bytes that the honest client uploads")
	siegeIdle   = flag.Int("siege.idle", 10_000, "idle connections of TestIdleCost")
)

// Bounds of the attack: each is a number, and all together end after siegeTime.
const (
	halfOpen      = 5000
	tinySessions  = 10_000
	channelsAsked = 2000 // on each connection
	attackers     = 256  // addresses, 127.1.0.1 and on
	siegeTime     = 8 * time.Minute
	peakMemory    = 1 << 30
)

// siege is a daemon and what is known of it.
type siege struct {
	*testing.T
	dir    string
	daemon *scriptDaemon
	keys   map[string]ssh.Signer
	seed   uint64

	strangers int // addresses that honest clients have logged in from once

	mu     sync.Mutex // guards totals
	totals map[string]int
}

func newSiege(t *testing.T) *siege {
	s := &siege{T: t, dir: t.TempDir(), keys: map[string]ssh.Signer{}, totals: map[string]int{}, seed: *siegeSeed}
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", s.seed)
	if err := errors.Join(writeServerConfig(s.dir, "127.0.0.1:0"), s.exemptNobody()); err != nil {
		t.Fatal(err)
	}
	for _, a := range scriptAccounts {
		text, err := os.ReadFile(filepath.Join(s.dir, a.name+"_key"))
		if err != nil {
			t.Fatal(err)
		}
		if s.keys[a.name], err = ssh.ParsePrivateKey(text); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// exemptNobody gives the daemon its default limits.
func (s *siege) exemptNobody() error {
	path := filepath.Join(s.dir, "bundleup.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Replace(text, []byte(exemptLoopback), nil, 1), 0o600)
}

func (s *siege) start() {
	s.Helper()
	s.daemon = &scriptDaemon{dir: s.dir}
	if err := s.daemon.start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(s.daemon.cleanup)
}

func (s *siege) count(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals[what] += n
}

// dial connects from a loopback address.
func (s *siege) dial(ctx context.Context, from string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	return d.DialContext(ctx, "tcp", s.daemon.addr)
}

// login connects and logs in.
func (s *siege) login(ctx context.Context, from, user string, auth ssh.AuthMethod) (*ssh.Client, error) {
	nc, err := s.dial(ctx, from)
	if err != nil {
		return nil, err
	}
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	c, chans, reqs, err := ssh.NewClientConn(nc, s.daemon.addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		nc.Close()
		return nil, err
	}
	return ssh.NewClient(c, chans, reqs), nc.SetDeadline(time.Time{})
}

func (s *siege) key(user string) ssh.AuthMethod { return ssh.PublicKeys(s.keys[user]) }

// attacker is the address of attacker i.
func attacker(i int) string { return fmt.Sprintf("127.1.%d.%d", i%attackers/250, 1+i%attackers%250) }

// vitals are what /proc says of the daemon.
type vitals struct{ memory, peak, files int }

func (s *siege) vitals() (v vitals) {
	s.Helper()
	pid := s.daemon.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		s.Fatalf("the daemon is gone: %v\n%s", err, tail(s.daemon.logs.String()))
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			v.memory = n << 10
		case "VmHWM:":
			v.peak = n << 10
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		s.Fatal(err)
	}
	v.files = len(files)
	return v
}

// daemonCPU is what the daemon has taken (proc(5): utime and stime, in hundredths of
// a second).
func (s *siege) daemonCPU() time.Duration {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.daemon.cmd.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// ownCPU is what this process has taken: the attackers, and the honest clients.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Round(10 * time.Millisecond)
}

func tail(log string) string { return log[max(0, len(log)-4000):] }

func (v vitals) String() string {
	return fmt.Sprintf("memory %d MiB (peak %d), %d descriptors", v.memory>>20, v.peak>>20, v.files)
}

// honest is what one run of the honest clients took.
type honest struct {
	upload time.Duration
	logins []time.Duration
	failed int
}

func (h honest) median() time.Duration {
	slices.Sort(h.logins)
	return h.logins[len(h.logins)/2]
}

// serveHonest uploads one bundle from 127.0.0.2 and logs in every second, by turns
// from 127.0.0.3 and from an address that has never been seen, until both the upload
// and the attack are over.
func (s *siege) serveHonest(name string, attack <-chan struct{}) (h honest) {
	s.Helper()
	over := make(chan struct{})
	go func() {
		begun := time.Now()
		if err := s.upload("127.0.0.2", name); err != nil {
			s.Errorf("the honest upload: %v", err)
		}
		h.upload = time.Since(begun)
		<-attack
		close(over)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		begun := time.Now()
		from := "127.0.0.3"
		if n := len(h.logins); n%2 == 1 {
			s.strangers++
			from = fmt.Sprintf("127.9.%d.%d", s.strangers/250, 1+s.strangers%250)
		}
		c, err := s.login(s.Context(), from, "globex", s.key("globex"))
		if err != nil {
			h.failed++
			s.Errorf("honest login %d from %s: %v", len(h.logins), from, err)
		} else {
			c.Close()
		}
		h.logins = append(h.logins, time.Since(begun))
		select {
		case <-over:
			return h
		case <-tick.C:
		}
	}
}

// upload sends a bundle of siege.upload bytes with the scp protocol.
func (s *siege) upload(from, name string) error {
	c, err := s.login(s.Context(), from, "globex", s.key("globex"))
	if err != nil {
		return err
	}
	defer c.Close()
	path := filepath.Join(s.dir, "honest.tgz")
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return scpStream(c, name, info.Size(), f)
}

// scpStream is the source side of the scp protocol for one file.
func scpStream(c *ssh.Client, name string, size int64, r io.Reader) error {
	session, err := c.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.Start("scp -t ."); err != nil {
		return err
	}
	answer := func() error {
		var b [512]byte
		n, err := out.Read(b[:1])
		if err == nil && b[0] != 0 {
			m, _ := out.Read(b[1:])
			return fmt.Errorf("scp: %q", b[:n+m])
		}
		return err
	}
	if err := answer(); err != nil {
		return err
	}
	fmt.Fprintf(in, "C0644 %d %s\n", size, name)
	if err := answer(); err != nil {
		return err
	}
	if _, err := io.Copy(in, r); err != nil {
		return errors.Join(err, answer())
	}
	if _, err := in.Write([]byte{0}); err != nil {
		return err
	}
	if err := answer(); err != nil {
		return err
	}
	in.Close()
	return session.Wait()
}

// TestSiege attacks a daemon with default limits in every way at once, while
// honest clients work from addresses of their own, and compares with the same
// without an attack.
func TestSiege(t *testing.T) {
	s := newSiege(t)
	f, err := os.Create(filepath.Join(s.dir, "honest.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeBundle(f, *siegeUpload, s.seed), f.Close()); err != nil {
		t.Fatal(err)
	}
	s.start()
	peace := make(chan struct{})
	close(peace)
	calm := s.serveHonest("calm.tgz", peace)
	before := s.vitals()
	t.Logf("before: %v", before)

	ctx, cancel := context.WithTimeout(t.Context(), siegeTime)
	defer cancel()
	begun, daemon, own := time.Now(), s.daemonCPU(), ownCPU()
	over := make(chan struct{})
	var worst vitals
	var watch sync.WaitGroup
	watch.Go(func() { worst = s.watch(over) })
	go func() {
		s.attack(ctx)
		close(over)
	}()
	war := s.serveHonest("war.tgz", over)
	watch.Wait()
	t.Logf("during: memory %d MiB, %d descriptors at most", worst.memory>>20, worst.files)
	t.Logf("CPU in %v: %v of the daemon, %v of its clients, honest or not", time.Since(begun).Round(time.Second),
		s.daemonCPU()-daemon, ownCPU()-own)
	after := s.recover(before)
	t.Logf("after: %v", after)
	s.report(calm, war)
	if after.peak > peakMemory {
		t.Errorf("the daemon took %d MiB", after.peak>>20)
	}
}

// watch looks at the daemon until over, and gives the most it has seen.
func (s *siege) watch(over <-chan struct{}) (worst vitals) {
	for {
		v := s.vitals()
		worst.memory, worst.files = max(worst.memory, v.memory), max(worst.files, v.files)
		select {
		case <-over:
			return worst
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// recover waits for the daemon to give back what the attack took.
func (s *siege) recover(before vitals) vitals {
	deadline := time.Now().Add(time.Minute)
	for {
		v := s.vitals()
		// The collector gives memory back over minutes; descriptors go at once.
		if v.files <= before.files+8 {
			return v
		}
		if time.Now().After(deadline) {
			s.Errorf("descriptors do not return: %v, before %v", v, before)
			return v
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *siege) report(calm, war honest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.totals {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s.Logf("%-40s %d", name, s.totals[name])
	}
	s.Logf("upload of %d bytes: %v calm, %v under attack, ratio %.2f", *siegeUpload, calm.upload, war.upload, war.upload.Seconds()/calm.upload.Seconds())
	s.Logf("logins: %d calm, median %v, max %v; %d under attack, median %v, max %v, ratio of medians %.2f, failed %d",
		len(calm.logins), calm.median(), slices.Max(calm.logins), len(war.logins), war.median(), slices.Max(war.logins),
		war.median().Seconds()/calm.median().Seconds(), war.failed)
}

// attack runs every attack until it is done or ctx ends.
func (s *siege) attack(ctx context.Context) {
	var all sync.WaitGroup
	for name, a := range map[string]func(context.Context, *rand.Rand){
		"half-open":       s.attackHalfOpen,
		"slow handshakes": s.attackSlowly,
		"auth":            s.attackAuth,
		"channels":        s.attackChannels,
		"stderr":          s.attackStderr,
		"bombs":           s.attackBombs,
		"tiny":            s.attackTiny,
	} {
		all.Go(func() {
			begun := time.Now()
			a(ctx, rand.New(rand.NewPCG(s.seed, uint64(len(name)))))
			s.Logf("attack %q took %v", name, time.Since(begun).Round(time.Second))
		})
	}
	all.Wait()
}

// attackHalfOpen opens connections and says nothing on them; they are held until
// the daemon closes them.
func (s *siege) attackHalfOpen(ctx context.Context, rng *rand.Rand) {
	var held sync.WaitGroup
	var closed atomic.Int64
	for i := range halfOpen {
		c, err := s.dial(ctx, attacker(rng.IntN(attackers)))
		if err != nil {
			s.count("half-open, not connected", 1)
			continue
		}
		s.count("half-open connections", 1)
		held.Go(func() {
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			_, _ = io.Copy(io.Discard, c)
			closed.Add(1)
		})
		if i%50 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	held.Wait()
	s.count("half-open, ended by the daemon", int(closed.Load()))
}

// attackSlowly sends the version line a byte at a time.
func (s *siege) attackSlowly(ctx context.Context, rng *rand.Rand) {
	var all sync.WaitGroup
	for range 500 {
		from := attacker(rng.IntN(attackers))
		all.Go(func() {
			c, err := s.dial(ctx, from)
			if err != nil {
				return
			}
			defer c.Close()
			s.count("slow handshakes", 1)
			for _, b := range []byte("SSH-2.0-" + strings.Repeat("slow", 50)) {
				if _, err := c.Write([]byte{b}); err != nil || ctx.Err() != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
	}
	all.Wait()
}

// attackAuth guesses passwords.
func (s *siege) attackAuth(ctx context.Context, rng *rand.Rand) {
	s.times(ctx, 2000, 16, func(i int) {
		from, user := attacker(i), []string{"root", "admin", "acme", "oracle"}[i%4]
		if _, err := s.login(ctx, from, user, ssh.Password("guess")); err != nil {
			s.count("passwords guessed wrong or shut out", 1)
		}
	})
}

// times runs f n times, some at once.
func (s *siege) times(ctx context.Context, n, atOnce int, f func(i int)) {
	var all sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1))
				if i > n {
					return
				}
				f(i)
			}
		})
	}
	all.Wait()
}

// stolen logs in with a customer's key, from an address of its own.
func (s *siege) stolen(ctx context.Context, from string) *ssh.Client {
	c, err := s.login(ctx, from, "acme", s.key("acme"))
	if err != nil {
		s.count("stolen keys shut out", 1)
		return nil
	}
	return c
}

// attackChannels opens channels on connections with a stolen key.
func (s *siege) attackChannels(ctx context.Context, _ *rand.Rand) {
	s.times(ctx, 16, 4, func(i int) {
		c := s.stolen(ctx, fmt.Sprintf("127.2.0.%d", i))
		if c == nil {
			return
		}
		defer c.Close()
		for n := 0; n < channelsAsked && ctx.Err() == nil; n++ {
			_, _, err := c.OpenChannel("session", nil)
			if _, refused := err.(*ssh.OpenChannelError); err != nil && !refused {
				s.count("channel floods ended by the daemon", 1)
				return
			}
			s.count("channels asked for", 1)
		}
	})
}

// attackStderr sends packets of one byte, as standard error and as input that
// nobody reads.
func (s *siege) attackStderr(ctx context.Context, _ *rand.Rand) {
	s.times(ctx, 32, 8, func(i int) {
		c := s.stolen(ctx, fmt.Sprintf("127.3.0.%d", i))
		if c == nil {
			return
		}
		defer c.Close()
		session, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		to := io.Writer(session)
		if i%2 == 0 {
			to = session.Stderr()
		}
		for n := 0; n < 2_000_000 && ctx.Err() == nil; n++ {
			if _, err := to.Write([]byte{0}); err != nil {
				s.count("1-byte floods ended by the daemon", 1)
				s.count("1-byte packets", n)
				return
			}
		}
	})
}

// attackBombs uploads gzip streams that unpack a thousandfold.
func (s *siege) attackBombs(ctx context.Context, _ *rand.Rand) {
	var bomb bytes.Buffer
	zip, err := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	if err != nil {
		s.Error(err)
		return
	}
	zeros := make([]byte, 1<<20)
	for range 2048 {
		_, _ = zip.Write(zeros)
	}
	zip.Close()
	s.times(ctx, 64, 4, func(i int) {
		c := s.stolen(ctx, fmt.Sprintf("127.4.0.%d", i))
		if c == nil {
			return
		}
		defer c.Close()
		if err := scpStream(c, fmt.Sprintf("bomb%d.tgz", i), int64(bomb.Len()), bytes.NewReader(bomb.Bytes())); err == nil {
			s.Errorf("bomb %d was accepted", i)
		}
		s.count("bombs refused", 1)
	})
}

// attackTiny opens sessions that do next to nothing, each on a connection of its
// own.
func (s *siege) attackTiny(ctx context.Context, _ *rand.Rand) {
	s.times(ctx, tinySessions, 8, func(i int) {
		c := s.stolen(ctx, fmt.Sprintf("127.5.%d.%d", i%8, 1+i%200))
		if c == nil {
			return
		}
		defer c.Close()
		session, err := c.NewSession()
		if err != nil {
			return
		}
		_ = session.Run("true")
		s.count("tiny sessions", 1)
	})
}

// TestIdleCost measures what connections cost that do nothing.
func TestIdleCost(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(*ssh.Client) error
		most int // bytes
	}{
		{"authenticated", func(*ssh.Client) error { return nil }, 48 << 10},
		{"with sftp open", openIdleSFTP, 96 << 10},
		{"with sftp in use", useSFTP, 104 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("BUNDLEUP_LIMITS_CONNECTIONS", "100000")
			t.Setenv("BUNDLEUP_LIMITS_CONNECTIONS_PER_ACCOUNT", "100000")
			t.Setenv("BUNDLEUP_LIMITS_KEEP_ALIVE", "30m")
			t.Setenv("BUNDLEUP_LIMITS_IDLE", "1h")
			// What is measured is what connections hold, not the garbage of their
			// handshakes.
			t.Setenv("GOGC", "10")
			s := newSiege(t)
			s.start()
			warm, err := s.login(t.Context(), "127.0.0.2", "acme", s.key("acme"))
			if err != nil {
				t.Fatal(err)
			}
			defer warm.Close()
			before := s.settled()
			var all sync.Map
			s.times(t.Context(), *siegeIdle, 4, func(i int) {
				conn, err := s.login(t.Context(), fmt.Sprintf("127.6.%d.%d", i/100, 1+i%100), "acme", s.key("acme"))
				if err == nil {
					err = c.open(conn)
				}
				if err != nil {
					t.Error(err)
					return
				}
				all.Store(i, conn)
			})
			after := s.settled()
			each := (after.memory - before.memory) / *siegeIdle
			t.Logf("%d connections: %v before, %v after: %d bytes (%.1f KiB) each", *siegeIdle, before, after, each, float64(each)/1024)
			if each > c.most {
				t.Errorf("a connection costs %d bytes, want at most %d", each, c.most)
			}
			all.Range(func(_, v any) bool { v.(*ssh.Client).Close(); return true })
		})
	}
}

// settled are the vitals once memory has stopped to change: the collector runs
// every two minutes where nothing happens.
func (s *siege) settled() vitals {
	last := s.vitals()
	for same := 0; same < 8; {
		time.Sleep(500 * time.Millisecond)
		v := s.vitals()
		if max(v.memory-last.memory, last.memory-v.memory) < 256<<10 {
			same++
		} else {
			same = 0
		}
		last = v
	}
	return last
}

func openIdleSFTP(c *ssh.Client) error {
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		return err
	}
	go ssh.DiscardRequests(reqs)
	if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
		return fmt.Errorf("subsystem sftp: %v, %v", ok, err)
	}
	if _, err := ch.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(ch, head[:]); err != nil {
		return err
	}
	rest := make([]byte, int(head[2])<<8|int(head[3]))
	_, err = io.ReadFull(ch, rest)
	return err
}

// useSFTP asks for the working directory, as clients do first.
func useSFTP(c *ssh.Client) error {
	s, err := sftp.NewClient(c)
	if err != nil {
		return err
	}
	_, err = s.Getwd()
	return err
}
