package httpd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
	"bundleup/vfs/store"
)

// writeCertificate makes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir string, serial int64) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func serialOf(t *testing.T, c *tls.Certificate) int64 {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.Int64()
}

func TestCertificatesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, 1)
	c, err := LoadCertificates(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c.now = func() time.Time { return now }
	writeCertificate(t, dir, 22222)
	later := now.Add(time.Second)
	os.Chtimes(filepath.Join(dir, "cert.pem"), later, later)
	if got := serialOf(t, c.current()); got != 1 {
		t.Errorf("looked again at once: got certificate %d", got)
	}
	now = now.Add(certificateEvery)
	if got := serialOf(t, c.current()); got != 22222 {
		t.Errorf("after a renewal: got certificate %d, want 22222", got)
	}
	os.WriteFile(filepath.Join(dir, "key.pem"), []byte("half"), 0o600)
	now = now.Add(certificateEvery)
	if got := serialOf(t, c.current()); got != 22222 {
		t.Errorf("with a broken key: got certificate %d, want the old one", got)
	}
	if _, err := LoadCertificates(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err == nil {
		t.Error("a broken key was loaded")
	}
}

// TestHTTPS sends a bundle over HTTP/2 and shuts the server down.
func TestHTTPS(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir, 1)
	certs, err := LoadCertificates(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := vfs.NewTree(t.Context(), vfs.Config{Store: store.NewMemory(), Tenants: func() []auth.Tenant { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{View: tree.View, TLS: certs.Config(), Auth: fakeAuth{"acme": {Name: "acme", Role: auth.Customer, Tenant: "acme"}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	pool := x509.NewCertPool()
	pem, _ := os.ReadFile(filepath.Join(dir, "cert.pem"))
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	r, err := http.NewRequestWithContext(t.Context(), "PUT", "https://"+l.Addr().String()+"/bundles/a.tgz", bytes.NewReader(tgz(t, 500_000, 1)))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("acme", secret)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated || resp.ProtoMajor != 2 || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("got %s over %s with %v", resp.Status, resp.Proto, resp.Header)
	}
	client.CloseIdleConnections()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
}
