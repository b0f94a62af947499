package sshd

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Nothing that x/crypto calls insecure is in the default.
func TestDefaultAlgorithmsAreStrict(t *testing.T) {
	bad := ssh.InsecureAlgorithms()
	never := slices.Concat(bad.KeyExchanges, bad.Ciphers, bad.MACs, bad.HostKeys, []string{ssh.HMACSHA1, ssh.KeyExchangeDH14SHA256})
	for _, name := range slices.Concat(preset.kex, preset.ciphers, preset.macs, preset.userKeys) {
		if slices.Contains(never, name) {
			t.Errorf("%s is offered", name)
		}
	}
}

// legacyDial logs in with one old algorithm, to a listener of the kind.
func legacyDial(t *testing.T, w *world, serve func(context.Context, net.Listener) error, change func(*ssh.ClientConfig)) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); <-done }()
	go func() { done <- serve(ctx, l) }()
	cfg := &ssh.ClientConfig{
		User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.user)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	}
	change(cfg)
	c, err := ssh.Dial("tcp", l.Addr().String(), cfg)
	if err == nil {
		c.Close()
	}
	return err
}

func TestLegacyListener(t *testing.T) {
	keys, err := LoadOrMakeHostKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*ssh.ClientConfig){
		"diffie-hellman-group14-sha1": func(c *ssh.ClientConfig) { c.KeyExchanges = []string{ssh.InsecureKeyExchangeDH14SHA1} },
		"aes128-cbc":                  func(c *ssh.ClientConfig) { c.Ciphers = []string{ssh.InsecureCipherAES128CBC} },
		"hmac-sha1": func(c *ssh.ClientConfig) {
			c.Ciphers, c.MACs = []string{ssh.CipherAES128CTR}, []string{ssh.HMACSHA1}
		},
		"ssh-rsa": func(c *ssh.ClientConfig) { c.HostKeyAlgorithms = []string{ssh.KeyAlgoRSA} },
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan []string, 1)
			w := newWorld(t, func(c *Config) {
				c.HostKeys, c.Legacy = keys, []string{name}
				c.Events.Legacy = func(_ Conn, algorithms []string) { told <- algorithms }
			})
			if err := legacyDial(t, w, w.server.Serve, change); err == nil {
				t.Error("the default listener took it")
			}
			if err := legacyDial(t, w, w.server.ServeLegacy, change); err != nil {
				t.Fatalf("the legacy listener: %v", err)
			}
			w.settle()
			select {
			case got := <-told:
				if !slices.Equal(got, []string{name}) {
					t.Errorf("event for %v", got)
				}
			default:
				t.Errorf("no event:\n%s", w.log)
			}
			if !strings.Contains(w.log.String(), `level=WARN msg="legacy algorithms are in use"`) {
				t.Errorf("no nagging in the log:\n%s", w.log)
			}
		})
	}
}

func TestLegacyAlgorithmsAreNamed(t *testing.T) {
	for _, name := range []string{"arcfour", "ssh-dss", "none", "aes128-ctr"} {
		cfg := config(t, newSigner(t))
		cfg.Legacy = []string{name}
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	cfg := config(t, newSigner(t))
	cfg.Legacy = LegacyAlgorithms()
	if _, err := New(cfg); err != nil {
		t.Error(err)
	}
}

// FuzzWords splits anything: within bounds, and every word comes back when it is
// quoted.
func FuzzWords(f *testing.F) {
	for _, line := range []string{"", "a 'b c' \"d\\\"e\" f\\ g", "'", "a\\", "\"\\x\" ''", "\x1b[2J\xff"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list, err := words(line)
		if err != nil {
			return
		}
		if len(list) > maxWords+1 {
			t.Errorf("%d words", len(list))
		}
		quoted := make([]string, len(list))
		for i, w := range list {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		again := strings.Join(quoted, " ")
		if got, err := words(again); len(again) < maxLine && len(list) <= maxWords && (err != nil || !slices.Equal(got, list)) {
			t.Errorf("%q became %q, then %q, %v", line, list, got, err)
		}
	})
}
