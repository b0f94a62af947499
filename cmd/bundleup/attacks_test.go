//go:build siege

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestAttacks tries what the siege does not, one after the other, from the address
// of a customer whose key was stolen or of a stranger. After each an honest client
// logs in and asks over HTTP, the descriptors have returned, and the daemon's memory
// is within attackMemory.
func TestAttacks(t *testing.T) {
	// A connection that reads nothing more is taken for dead after three of them.
	t.Setenv("BUNDLEUP_LIMITS_KEEP_ALIVE", "5s")
	s := newSiege(t)
	s.start()
	before := s.vitals()
	t.Logf("before: %v", before)
	for i, a := range []struct {
		name string
		run  func(*siege, string) string
	}{
		{"environment requests", attackEnv},
		{"channels with giant packets", attackPackets},
		{"key exchanges", attackRekeys},
		{"window adjustments", attackWindows},
		{"user names of 200 KiB", attackNames},
		{"keys that nobody has", attackKeys},
		{"a slow login", attackSlowLogin},
		{"sftp: INIT twice and nonsense", sftpAttack(initTwice())},
		{"sftp: 10,000 handles", sftpAttack(manyHandles())},
		{"sftp: OPENDIR without CLOSE", sftpAttack(repeat(10_000, sftpPath(11, "/")))},
		{"sftp: REALPATH of 64 KiB", sftpAttack(repeat(200, sftpPath(16, strings.Repeat("a/../", 13107))))},
		{"sftp: REALPATH of 8 KiB", sftpAttack(repeat(10_000, sftpPath(16, strings.Repeat("a/../", 1600))))},
		{"sftp: SYMLINK and READLINK", sftpAttack(repeat(10_000, append(sftpPath(20, "/etc/passwd"), sftpPath(19, "/etc/passwd")...)))},
		{"sftp: extended requests", sftpAttack(repeat(10_000, sftpPath(200, "copy-data")))},
		{"sftp: a string without an end", sftpAttack([]byte{0, 0, 0, 13, 3, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c', 'd'})},
		{"sftp: a length of 4 GiB", sftpAttack([]byte{0xff, 0xff, 0xff, 0xff, 3})},
		{"http: silent connections", attackSilence},
		{"http: headers without an end", attackHeaders},
		{"http: bodies that stop", attackBodies},
		{"http: chunks of one byte", attackChunks},
	} {
		begun := time.Now()
		told := a.run(s, fmt.Sprintf("127.7.%d.1", i))
		v := s.recover(before)
		t.Logf("%-32s %5.1f s, %v: %s", a.name, time.Since(begun).Seconds(), v, told)
		if c, err := s.login(t.Context(), "127.0.0.2", "globex", s.key("globex")); err != nil {
			t.Errorf("%s: an honest login: %v", a.name, err)
		} else {
			c.Close()
		}
		if resp, err := http.Get("http://" + s.daemon.web + "/openapi.json"); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: an honest request: %v, %v", a.name, resp, err)
		} else {
			resp.Body.Close()
		}
		if v.peak > attackMemory {
			t.Fatalf("%s: the daemon took %d MiB", a.name, v.peak>>20)
		}
	}
}

// attackMemory is more than any of them makes the daemon take.
const attackMemory = 256 << 20

// attackLasts bounds each, beside its own bounds.
const attackLasts = 20 * time.Second

// flooding sends with send up to n times, and says how many went out.
func flooding(n int, send func() error) string {
	end := time.Now().Add(attackLasts)
	for i := range n {
		if time.Now().After(end) {
			return fmt.Sprintf("%d sent in %v, and let be", i, attackLasts)
		}
		if err := send(); err != nil {
			return fmt.Sprintf("ended by the daemon after %d", i)
		}
	}
	return fmt.Sprintf("%d sent", n)
}

// session is a channel on a connection with a stolen key.
func (s *siege) session(from string) (*ssh.Client, ssh.Channel, func()) {
	s.Helper()
	c, err := s.login(s.Context(), from, "acme", s.key("acme"))
	if err != nil {
		s.Fatalf("login from %s: %v", from, err)
	}
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		s.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	return c, ch, func() { c.Close() }
}

func attackEnv(s *siege, from string) string {
	_, ch, end := s.session(from)
	defer end()
	payload := ssh.Marshal(struct{ Name, Value string }{"LANG", strings.Repeat("x", 30_000)})
	return flooding(20_000, func() error { _, err := ch.SendRequest("env", false, payload); return err })
}

func attackPackets(s *siege, from string) string {
	c, _, end := s.session(from)
	defer end()
	// x/crypto's client chooses its own sizes: what is asked for is in the payload.
	return flooding(2000, func() error {
		_, _, err := c.OpenChannel(strings.Repeat("direct-tcpip", 2000), bytes.Repeat([]byte{0xff}, 8000))
		if _, refused := err.(*ssh.OpenChannelError); refused {
			return nil
		}
		return err
	})
}

// attackRekeys asks for new keys after every 16 KiB.
func attackRekeys(s *siege, from string) string {
	nc, err := s.dial(s.Context(), from)
	if err != nil {
		s.Fatal(err)
	}
	defer nc.Close()
	cfg := &ssh.ClientConfig{User: "acme", Auth: []ssh.AuthMethod{s.key("acme")}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	cfg.RekeyThreshold = 256
	conn, chans, reqs, err := ssh.NewClientConn(nc, "", cfg)
	if err != nil {
		s.Fatal(err)
	}
	c := ssh.NewClient(conn, chans, reqs)
	return flooding(5000, func() error { _, _, err := c.SendRequest("x", true, make([]byte, 1000)); return err })
}

// attackWindows reads answers a byte at a time, so that the window is moved for each.
func attackWindows(s *siege, from string) string {
	_, ch, end := s.session(from)
	defer end()
	return flooding(200_000, func() error { _, err := ch.SendRequest("window-change", false, make([]byte, 16)); return err })
}

func attackNames(s *siege, from string) string {
	return flooding(20, func() error {
		_, err := s.login(s.Context(), from, strings.Repeat("n", 200<<10), ssh.Password(strings.Repeat("p", 20_000)))
		if err == nil {
			s.Error("such a name was let in")
		}
		return nil
	})
}

func attackKeys(s *siege, from string) string {
	var keys []ssh.Signer
	for range 200 {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			s.Fatal(err)
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			s.Fatal(err)
		}
		keys = append(keys, signer)
	}
	return flooding(20, func() error {
		if _, err := s.login(s.Context(), from, "acme", ssh.PublicKeys(keys...)); err == nil {
			s.Error("a key that nobody has was let in")
		}
		return nil
	})
}

// attackSlowLogin answers a question of the login never.
func attackSlowLogin(s *siege, from string) string {
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
	defer cancel()
	for range 20 {
		all.Go(func() {
			ask := ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) {
				<-ctx.Done()
				return []string{"guess"}, nil
			})
			if _, err := s.login(s.Context(), from, "acme", ask); err == nil {
				s.Error("a guess was let in")
			}
		})
	}
	all.Wait()
	return "20 at once"
}

// sftpPath is a request with one path.
func sftpPath(kind byte, path string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(9+len(path)))
	b = append(b, kind, 0, 0, 0, 7)
	b = binary.BigEndian.AppendUint32(b, uint32(len(path)))
	return append(b, path...)
}

func repeat(n int, b []byte) []byte { return bytes.Repeat(b, n) }

func initTwice() []byte {
	hello := []byte{0, 0, 0, 5, 1, 0, 0, 0, 3}
	return append(append(hello, hello...), repeat(10_000, []byte{0, 0, 0, 5, 99, 1, 2, 3, 4})...)
}

// manyHandles asks for handles of uploads that are never closed.
func manyHandles() (b []byte) {
	for i := range 10_000 {
		open := sftpPath(3, fmt.Sprintf("/many%d.tgz", i))
		open = append(open, 0, 0, 0, 0x1a, 0, 0, 0, 0) // WRITE, CREAT, TRUNC, and no attributes
		binary.BigEndian.PutUint32(open, uint32(len(open)-4))
		b = append(b, open...)
	}
	return b
}

// sftpAttack sends requests and takes the answers, as they come.
func sftpAttack(requests []byte) func(*siege, string) string {
	return func(s *siege, from string) string {
		_, ch, end := s.session(from)
		defer end()
		stop := time.AfterFunc(attackLasts, end)
		defer stop.Stop()
		if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
			s.Fatal(ok, err)
		}
		answers := make(chan int64, 1)
		go func() { n, _ := io.Copy(io.Discard, ch); answers <- n }()
		n, err := ch.Write(append([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}, requests...))
		if err == nil {
			err = ch.CloseWrite()
		}
		return fmt.Sprintf("%d of %d bytes taken (%v), %d bytes of answers", n, len(requests)+9, err, <-answers)
	}
}

// webs opens connections for HTTP, sends head, and says how many the daemon ended
// within the time.
func (s *siege) webs(from string, n int, head string, more func(net.Conn) error) string {
	var all sync.WaitGroup
	var mu sync.Mutex
	ended := 0
	for range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", s.daemon.web)
		if err != nil {
			s.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(attackLasts))
			_, err := io.WriteString(c, head)
			for err == nil && more != nil {
				err = more(c)
			}
			// More than it takes are closed with a reset.
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, os.ErrDeadlineExceeded) {
				mu.Lock()
				ended++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return fmt.Sprintf("%d of %d ended by the daemon within %v", ended, n, attackLasts)
}

func attackSilence(s *siege, from string) string { return s.webs(from, 700, "", nil) }

func attackHeaders(s *siege, from string) string {
	return s.webs(from, 50, "GET / HTTP/1.1\r\n", func(c net.Conn) error {
		_, err := io.WriteString(c, "X-"+strings.Repeat("h", 1000)+": "+strings.Repeat("v", 1000)+"\r\n")
		return err
	})
}

func attackBodies(s *siege, from string) string {
	return s.webs(from, 700, "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nuser=", nil)
}

func attackChunks(s *siege, from string) string {
	head := "PUT /bundles/x.tgz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAuthorization: Basic YWNtZTp3cm9uZw==\r\n\r\n"
	return s.webs(from, 100, head, func(c net.Conn) error {
		_, err := io.WriteString(c, "1\r\nx\r\n")
		return err
	})
}
