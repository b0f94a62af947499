package httpd

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificateEvery is how often the files are looked at for a renewal.
const certificateEvery = 10 * time.Second

// Certificates serves a certificate from files that are renewed while the daemon
// runs, as ACME clients do. It is safe for concurrent use.
type Certificates struct {
	certFile, keyFile string
	now               func() time.Time

	mu     sync.Mutex // guards all below
	cert   *tls.Certificate
	marks  [2]fileMark
	looked time.Time
}

type fileMark struct {
	size int64
	time time.Time
}

// LoadCertificates reads a chain and its key, PEM both.
func LoadCertificates(certFile, keyFile string) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, now: time.Now}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	return c, nil
}

// Config is for a server: TLS 1.2 and later, HTTP/2 where the client has it.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

// current is the certificate of the moment. While renewed files do not fit each
// other the old one stays.
func (c *Certificates) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= certificateEvery {
		c.looked = now
		if c.mark() != c.marks {
			_ = c.load() // the next look tries again
		}
	}
	return c.cert
}

// End is when the certificate of the moment is over.
func (c *Certificates) End() time.Time { return c.current().Leaf.NotAfter }

// load reads both files.
func (c *Certificates) load() error {
	marks := c.mark()
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.cert, c.marks, c.looked = &cert, marks, c.now()
	return nil
}

func (c *Certificates) mark() (m [2]fileMark) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if s, err := os.Stat(name); err == nil {
			m[i] = fileMark{s.Size(), s.ModTime()}
		}
	}
	return m
}
