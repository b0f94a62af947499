package sshd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
)

// LoadHostCertificates reads host certificates (-cert.pub files) and returns a
// signer for each, to be given to Config.HostKeys beside the keys themselves. Each
// must be for one of keys. One that has expired is let in, and clients refuse it:
// see CertificateEnd.
func LoadHostCertificates(files []string, keys []ssh.Signer) ([]ssh.Signer, error) {
	var signers []ssh.Signer
	for _, file := range files {
		s, err := loadHostCertificate(file, keys)
		if err != nil {
			return nil, fmt.Errorf("load host certificate %s: %w", file, err)
		}
		signers = append(signers, s)
	}
	return signers, nil
}

func loadHostCertificate(file string, keys []ssh.Signer) (ssh.Signer, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	cert, ok := key.(*ssh.Certificate)
	switch {
	case err != nil || !ok:
		return nil, errors.New("it is not a certificate: want the -cert.pub file that ssh-keygen -s -h makes")
	case cert.CertType != ssh.HostCert:
		return nil, errors.New("it is not for a host: make it with ssh-keygen -s -h")
	}
	for _, k := range keys {
		if bytes.Equal(k.PublicKey().Marshal(), cert.Key.Marshal()) {
			return ssh.NewCertSigner(cert, k)
		}
	}
	return nil, fmt.Errorf("it is for the key %s, which is not a host key here", ssh.FingerprintSHA256(cert.Key))
}

// CertificateEnd is until when a host certificate is valid; the zero time means
// for ever, or that the key is not a certificate.
func CertificateEnd(key ssh.PublicKey) time.Time {
	cert, ok := key.(*ssh.Certificate)
	if !ok || cert.ValidBefore == ssh.CertTimeInfinity {
		return time.Time{}
	}
	return time.Unix(int64(min(cert.ValidBefore, 1<<40)), 0)
}
