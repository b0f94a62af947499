package sshd

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestZeroConfigIsRefused(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("New took a zero Config")
	}
	cfg := config(t, newSigner(t))
	cfg.Limits.SessionsPerConnection = 9
	if _, err := New(cfg); err == nil {
		t.Error("New took 9 sessions for a connection")
	}
}

func TestLoginMethods(t *testing.T) {
	w := newWorld(t, nil)
	answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		list := make([]string, len(questions))
		for i := range list {
			list[i] = secret
		}
		return list, nil
	}
	for name, c := range map[string]struct {
		with ssh.AuthMethod
		ok   bool
	}{
		"key":                  {ssh.PublicKeys(w.user), true},
		"unknown key":          {ssh.PublicKeys(newSigner(t)), false},
		"password":             {ssh.Password(secret), true},
		"wrong password":       {ssh.Password("tr0ub4dor"), false},
		"long password":        {ssh.Password(strings.Repeat("x", maxPassword+1)), false},
		"keyboard-interactive": {ssh.KeyboardInteractive(answer), true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.tryDial("acme", c.with); (err == nil) != c.ok {
				t.Errorf("login: got error %v, want success: %v", err, c.ok)
			}
		})
	}
	if log := w.log.String(); strings.Contains(log, "tr0ub4dor") || !strings.Contains(log, "login failed") {
		t.Errorf("log of failed logins:\n%s", log)
	}
}

func TestUnknownCommandIs127(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial("acme")
	for _, line := range []string{"echo ${ShellId}%ComSpec%", "md5sum", "md5 -r", "sha1sum", "rm -rf /", "'", "", "\x1b[2J"} {
		out, errs, status := run(t, c, line)
		if out != "" || status != 127 || !strings.HasSuffix(errs, "\r\n") || strings.Contains(errs, "\x1b") {
			t.Errorf("%q: got stdout %q, stderr %q, status %d; want no stdout, a line, 127", line, out, errs, status)
		}
	}
}

func TestCommand(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Commands = map[string]Command{"show": func(_ context.Context, s *Session, args []string) int {
			fmt.Fprintf(s, "%s %q", s.Account().Name, args)
			return 3
		}}
	})
	out, _, status := run(t, w.dial("acme"), `show a 'b c' "d\"e" f\ g`)
	if want := `acme ["a" "b c" "d\"e" "f g"]`; out != want || status != 3 {
		t.Errorf("got %q, status %d; want %q, 3", out, status, want)
	}
}

func TestShellTellsHowToSend(t *testing.T) {
	w := newWorld(t, nil)
	s, err := w.dial("acme").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	s.Stdout, s.Stderr = &out, &errs
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	text, _, status := finish(t, s.Wait(), &out, &errs)
	if status != 1 || !strings.Contains(text, "scp bundle.tgz acme@") {
		t.Errorf("got %q, status %d", text, status)
	}
	if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
		t.Errorf("a line does not end in CRLF: %q", text)
	}
	for _, bad := range []string{"sftp>", "password:", "100%"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in %q", bad, text)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial("acme")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, nil); err == nil {
		t.Error("pty-req was granted")
	}
	for _, name := range []string{"x11-req", "auth-agent-req@openssh.com", "no-such-request"} {
		if ok, err := s.SendRequest(name, true, nil); ok || err != nil {
			t.Errorf("%s: got %v, %v; want false", name, ok, err)
		}
	}
	if err := s.Setenv("LANG", "C"); err != nil {
		t.Errorf("env: %v", err)
	}
	if err := s.RequestSubsystem("netconf"); err == nil {
		t.Error("subsystem netconf was granted")
	}
	for _, name := range []string{"direct-tcpip", "x11", "forwarded-tcpip"} {
		_, _, err := c.OpenChannel(name, nil)
		if open, ok := err.(*ssh.OpenChannelError); !ok || open.Reason != ssh.Prohibited {
			t.Errorf("channel %s: got %v, want prohibited", name, err)
		}
	}
	if ok, _, err := c.SendRequest("tcpip-forward", true, nil); ok || err != nil {
		t.Errorf("tcpip-forward: got %v, %v; want false", ok, err)
	}
}

func TestNoMoreSessions(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial("acme")
	if ok, _, err := c.SendRequest("no-more-sessions@openssh.com", true, nil); !ok || err != nil {
		t.Fatalf("got %v, %v; want true", ok, err)
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("a session was opened after no-more-sessions")
	}
}

// program is a session whose exit status can be waited for.
type program struct {
	ssh.Channel
	status chan int // -1 without one
}

// openSFTP starts the subsystem and reads its VERSION packet, so that it is
// known to run.
func openSFTP(t *testing.T, c *ssh.Client) *program {
	t.Helper()
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{ch, make(chan int, 1)}
	go p.watch(reqs)
	if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); !ok || err != nil {
		t.Fatalf("subsystem sftp: %v, %v", ok, err)
	}
	if _, err := ch.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ch, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	go drain(ch)
	return p
}

func (p *program) watch(reqs <-chan *ssh.Request) {
	status := -1
	for r := range reqs {
		if r.Type == "exit-status" && len(r.Payload) == 4 {
			status = int(binary.BigEndian.Uint32(r.Payload))
		}
	}
	p.status <- status
}

func TestManySessionsAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial("acme")
	limit := DefaultLimits().SessionsPerConnection
	var all []*program
	for range limit {
		all = append(all, openSFTP(t, c))
	}
	if _, err := c.NewSession(); err == nil {
		t.Errorf("session %d was opened", limit+1)
	}
	for i, p := range all {
		p.CloseWrite()
		if got := <-p.status; got != 0 {
			t.Errorf("session %d: exit status %d, want 0", i, got)
		}
	}
}

func TestExitStatusAndLastWordsArrive(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Commands = map[string]Command{"last": func(_ context.Context, s *Session, _ []string) int {
			io.WriteString(s.Stderr(), "last words")
			return 7
		}}
	})
	for i := range 30 {
		c := w.dial("acme")
		_, errs, status := run(t, c, "last")
		c.Close()
		if errs != "last words" || status != 7 {
			t.Errorf("run %d: got %q, status %d; want \"last words\", 7", i, errs, status)
		}
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Commands = map[string]Command{"panic": func(context.Context, *Session, []string) int { panic("boom") }}
	})
	other, broken := w.dial("other"), w.dial("acme")
	s, err := broken.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run("panic"); err == nil {
		t.Error("the panicking command succeeded")
	}
	broken.Wait()
	if _, _, status := run(t, other, "x"); status != 127 {
		t.Errorf("the other connection: status %d, want 127", status)
	}
	if log := w.log.String(); !strings.Contains(log, "boom") || !strings.Contains(log, "stack=") {
		t.Errorf("no panic with its stack in the log:\n%s", log)
	}
}

func TestAccountLimit(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.ConnectionsPerAccount = 8 })
	for range 8 {
		w.dial("acme")
	}
	if _, err := w.tryDial("acme"); err == nil {
		t.Error("connection 9 of the account was let in")
	}
	w.dial("globex")
}

func TestUnusedConnectionsEnd(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"idle":   func(l *Limits) { l.Idle = 20 * time.Millisecond },
		"silent": func(l *Limits) { l.KeepAlive = time.Hour; l.Idle = 20 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { change(&c.Limits) })
			w.dial("acme").Wait()
		})
	}
}

func TestShutdown(t *testing.T) {
	for name, graceful := range map[string]bool{"session ends": true, "grace ends": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			p := openSFTP(t, w.dial("acme"))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- w.server.Shutdown(ctx) }()
			if err := <-w.served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if graceful {
				p.CloseWrite()
			} else {
				cancel()
			}
			if got := <-p.status; (got == 0) != graceful {
				t.Errorf("exit status %d, want 0: %v", got, graceful)
			}
			if err := <-done; (err == nil) != graceful {
				t.Errorf("Shutdown: %v, want an error: %v", err, !graceful)
			}
			if _, err := w.tryDial("acme"); err == nil {
				t.Error("a connection was let in after Shutdown")
			}
		})
	}
}

// TestRetire: who was accepted before another process took over is served to his end.
func TestRetire(t *testing.T) {
	w := newWorld(t, nil)
	early, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	for w.server.eachConn(func(*connection) {}) == 0 {
		time.Sleep(time.Millisecond)
	}
	w.server.Retire()
	if err := <-w.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	cfg := &ssh.ClientConfig{User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.user)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	conn, chans, reqs, err := ssh.NewClientConn(early, w.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := openSFTP(t, ssh.NewClient(conn, chans, reqs))
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(t.Context()) }()
	p.CloseWrite()
	if got := <-p.status; got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestOpenSSH runs the stock client.
func TestOpenSSH(t *testing.T) {
	bin, err := exec.LookPath("ssh")
	if err != nil {
		if os.Getenv("BUNDLEUP_REQUIRE_CLIENTS") == "1" {
			t.Fatal("no ssh client is installed")
		}
		t.Skip("no ssh client is installed")
	}
	dir := t.TempDir()
	keys, err := LoadOrMakeHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *Config) { c.HostKeys, c.Auth = keys, fakeAuth{keys[0].PublicKey()} })
	key := filepath.Join(dir, hostKeyKinds[0].file)
	host, port, _ := strings.Cut(w.addr, ":")
	known := filepath.Join(dir, "known_hosts")
	line := fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(keys[0].PublicKey()))
	if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "-F", "none", "-p", port, "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+known, "acme@"+host, "md5sum")
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 127 || len(out) != 0 {
		t.Errorf("ssh md5sum: got %q, exit %d (%v); want no output, 127\n%s\n%s", out, code, err, errs.String(), w.log)
	}
}
