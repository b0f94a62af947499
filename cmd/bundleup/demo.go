package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/configs"
)

// The demo's ports are tried first; free ones are taken where they are in use.
const (
	demoPort    = 2222
	demoWebPort = 8080
)

// demo is a throwaway directory with everything that "serve --demo" needs.
type demo struct {
	Dir      string
	Port     string
	Web      string // address of the second door
	Password string
}

// serveDemo runs a daemon from a throwaway directory, which goes when it ends.
func serveDemo(ctx context.Context, out, errw io.Writer) error {
	dir, err := os.MkdirTemp("", "bundleup-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{Dir: dir, Password: rand.Text()[:12]}
	cfg, err := d.prepare()
	if err != nil {
		return fmt.Errorf("prepare demo: %w", err)
	}
	log, err := newLogger(errw, cfg.Log)
	if err != nil {
		return err
	}
	daemon, err := newDaemon(ctx, cfg, log)
	if err != nil {
		return err
	}
	if err := d.writeClientConfig(daemon); err != nil {
		daemon.close()
		return fmt.Errorf("prepare demo: %w", err)
	}
	if err := demoText.Execute(out, d); err != nil {
		daemon.close()
		return err
	}
	return daemon.run(ctx)
}

// prepare fills the directory: client keys, accounts, bundles to send.
func (d *demo) prepare() (configs.Config, error) {
	cfg := configs.Default()
	cfg.SSH.Listen = []string{demoAddress(demoPort)}
	cfg.HTTP.Listen = []string{demoAddress(demoWebPort)}
	cfg.DataDir = filepath.Join(d.Dir, "server")
	cfg.Storage.Disk.Root = filepath.Join(d.Dir, "server", "data")
	cfg.Accounts = filepath.Join(d.Dir, "server", "accounts.yaml")
	cfg.Audit.File = filepath.Join(d.Dir, "server", "audit", "audit.jsonl")
	if err := os.MkdirAll(cfg.Storage.Disk.Root, 0o700); err != nil {
		return cfg, err
	}
	acme, err := writeClientKey(filepath.Join(d.Dir, "acme_key"))
	if err != nil {
		return cfg, err
	}
	desk, err := writeClientKey(filepath.Join(d.Dir, "desk_key"))
	if err != nil {
		return cfg, err
	}
	hash, err := auth.HashPassword([]byte(d.Password))
	if err != nil {
		return cfg, err
	}
	accounts := fmt.Sprintf(demoAccounts, hash, acme, hash, desk)
	return cfg, errors.Join(
		os.WriteFile(cfg.Accounts, []byte(accounts), 0o600),
		writeSample(filepath.Join(d.Dir, "diag.tgz")),
		os.WriteFile(filepath.Join(d.Dir, "junk.tgz"), bytes.Repeat([]byte("this is not a bundle\n"), 4096), 0o600),
	)
}

const demoAccounts = `tenants:
  - name: acme
accounts:
  - name: acme
    role: customer
    tenant: acme
    password: %q
    keys: [%q]
  - name: desk
    role: support
    password: %q
    keys: [%q]
`

// demoAddress is the demo's usual address, or one with a free port.
func demoAddress(port int) string {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return addr
}

// writeClientKey makes an ed25519 key pair and returns the public line.
func writeClientKey(file string) (string, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(priv, "bundleup demo")
	if err != nil {
		return "", err
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	return line, os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

// writeSample makes a small sound bundle.
func writeSample(file string) error {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	now := time.Now().Truncate(time.Second)
	for name, text := range map[string]string{
		"diag/version.txt":      "product 4.2\n",
		"diag/var/log/messages": strings.Repeat("Nov 23 12:00:00 host app[1]: something broke\n", 1000),
	} {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: now, Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		return err
	}
	return os.WriteFile(file, buf.Bytes(), 0o600)
}

// writeClientConfig writes what an OpenSSH client needs to know: with -F no file
// of the user's own is read or written.
func (d *demo) writeClientConfig(running *daemon) error {
	addr := running.listeners[0].Addr().(*net.TCPAddr)
	d.Port, d.Web = strconv.Itoa(addr.Port), running.web.doors[0].Addr().String()
	var hosts strings.Builder
	for _, k := range running.keys {
		fmt.Fprintf(&hosts, "[127.0.0.1]:%s %s", d.Port, ssh.MarshalAuthorizedKey(k.PublicKey()))
	}
	var conf strings.Builder
	for _, user := range []string{"acme", "desk"} {
		fmt.Fprintf(&conf, "Host %s\n  HostName 127.0.0.1\n  Port %s\n  User %s\n  IdentityFile \"%s\"\n  IdentitiesOnly yes\n  UserKnownHostsFile \"%s\"\n  LogLevel ERROR\n",
			user, d.Port, user, filepath.Join(d.Dir, user+"_key"), filepath.Join(d.Dir, "known_hosts"))
	}
	return errors.Join(
		os.WriteFile(filepath.Join(d.Dir, "known_hosts"), []byte(hosts.String()), 0o600),
		os.WriteFile(filepath.Join(d.Dir, "ssh_config"), []byte(conf.String()), 0o600),
	)
}

var demoText = template.Must(template.New("demo").Parse(`
bundleup demo on 127.0.0.1 port {{.Port}}. In another terminal:

  cd {{.Dir}}

  # the customer sends a bundle, and one that is refused
  scp -F ssh_config diag.tgz acme:
  scp -F ssh_config junk.tgz acme:
  echo 'put diag.tgz from-sftp.tgz' | sftp -F ssh_config -b - acme
  scp -O -F ssh_config diag.tgz acme:from-old-scp.tgz
  echo 'ls -l receipts' | sftp -F ssh_config -b - acme

  # support looks and downloads
  echo 'ls -l acme' | sftp -F ssh_config -b - desk
  scp -F ssh_config desk:/acme/diag.tgz got.tgz

  # and reads inside a bundle without downloading it
  echo 'get acme/diag.tgz.d/diag/var/log/messages' | sftp -F ssh_config -b - desk
  ssh -F ssh_config desk grep -n broke /acme/diag.tgz | head -3
  ssh -F ssh_config desk help

  # without an SSH client
  curl -u acme:{{.Password}} -T diag.tgz http://{{.Web}}/bundles/by-curl.tgz

  # in a browser: http://{{.Web}} as acme or as desk, secret {{.Password}}

  # any other client: host 127.0.0.1, port {{.Port}}, user acme, password {{.Password}}

The directory goes when this ends: press Ctrl-C.

`))
