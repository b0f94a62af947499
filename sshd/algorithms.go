package sshd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// algorithms are what one kind of listener offers, the best first. Without
// legacy names there is nothing with SHA-1, CBC or finite fields under 4096 bits.
// The NIST curves stay: appliances demand ECDSA. See docs/SECURITY.md.
type algorithms struct {
	kex, ciphers, macs []string
	userKeys           []string // signatures of clients
	hostKeys           []ssh.AlgorithmSigner
	legacy             []string // what was enabled beside the default
}

// preset are the algorithms of every listener.
var preset = algorithms{
	kex: []string{
		ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519, ssh.KeyExchangeECDHP256,
		ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521, ssh.KeyExchangeDH16SHA512,
	},
	// The order of ciphers is the client's; leaving one out is all that a
	// server can do, and old clients need chacha20 or ctr.
	ciphers: []string{
		ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherAES128CTR, ssh.CipherAES192CTR,
		ssh.CipherAES256CTR, ssh.CipherChaCha20Poly1305,
	},
	// The last is for libssh2 before 1.11, which curl of many systems has: it
	// knows neither an AEAD cipher nor a MAC over the ciphertext.
	macs: []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256},
	userKeys: []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
	},
}

// old are the algorithms that a legacy listener can have as well. Nothing here
// is broken for a passive listener of today, but RC4 and DSA are, and absent.
var old = struct{ kex, ciphers, macs []string }{
	kex: []string{
		ssh.KeyExchangeDH14SHA256, ssh.KeyExchangeDHGEXSHA256, ssh.InsecureKeyExchangeDH14SHA1,
		ssh.InsecureKeyExchangeDHGEXSHA1, ssh.InsecureKeyExchangeDH1SHA1,
	},
	ciphers: []string{ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC},
	macs:    []string{ssh.HMACSHA512, ssh.HMACSHA1, ssh.InsecureHMACSHA196},
}

// LegacyAlgorithms are the names that Config.Legacy may hold. ssh-rsa stands for
// RSA signatures with SHA-1, of the host key and of clients.
func LegacyAlgorithms() []string {
	return slices.Concat(old.kex, old.ciphers, old.macs, []string{ssh.KeyAlgoRSA})
}

// newAlgorithms gives the preset with the legacy names behind it.
func newAlgorithms(hostKeys []ssh.Signer, legacy []string) (*algorithms, error) {
	a := preset
	a.legacy = legacy
	signatures := []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	for _, name := range legacy {
		switch {
		case slices.Contains(old.kex, name):
			a.kex = append(slices.Clip(a.kex), name)
		case slices.Contains(old.ciphers, name):
			a.ciphers = append(slices.Clip(a.ciphers), name)
		case slices.Contains(old.macs, name):
			a.macs = append(slices.Clip(a.macs), name)
		case name == ssh.KeyAlgoRSA:
			a.userKeys = append(slices.Clip(a.userKeys), name)
			signatures = append(signatures, name)
		default:
			return nil, fmt.Errorf("legacy algorithm %q: want some of %s", name, strings.Join(LegacyAlgorithms(), ", "))
		}
	}
	for _, key := range hostKeys {
		signer, err := limitSignatures(key, signatures)
		if err != nil {
			return nil, err
		}
		a.hostKeys = append(a.hostKeys, signer)
	}
	return &a, nil
}

// limitSignatures makes an RSA host key sign with these algorithms only (RFC
// 8332).
func limitSignatures(key ssh.Signer, rsa []string) (ssh.AlgorithmSigner, error) {
	signer, ok := key.(ssh.AlgorithmSigner)
	switch {
	case !ok:
		return nil, errors.New("a host key must be able to sign with a named algorithm")
	case key.PublicKey().Type() == ssh.KeyAlgoRSA, key.PublicKey().Type() == ssh.CertAlgoRSAv01:
		return ssh.NewSignerWithAlgorithms(signer, rsa)
	}
	return signer, nil
}

// serverConfig is x/crypto's configuration of one connection, without callbacks.
func (a *algorithms) serverConfig(version string, tries int) *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		Config:                  ssh.Config{KeyExchanges: a.kex, Ciphers: a.ciphers, MACs: a.macs},
		PublicKeyAuthAlgorithms: a.userKeys,
		ServerVersion:           version,
		MaxAuthTries:            tries,
	}
	turns := &rekeys{now: time.Now, left: rekeyBurst}
	for _, key := range a.hostKeys {
		if multi, ok := key.(ssh.MultiAlgorithmSigner); ok {
			c.AddHostKey(multiRekeySigner{rekeySigner{key, turns}, multi})
		} else {
			c.AddHostKey(rekeySigner{key, turns})
		}
	}
	return c
}

// used are the legacy algorithms that a connection has agreed on.
func (a *algorithms) used(n ssh.NegotiatedAlgorithms) (names []string) {
	for _, name := range []string{n.KeyExchange, n.HostKey, n.Read.Cipher, n.Write.Cipher, n.Read.MAC, n.Write.MAC} {
		if slices.Contains(a.legacy, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// A client may ask for new keys at any time (RFC 4253, 9), and each exchange
// costs the server a thousand times what it costs the network. Clients do so once
// for each GiB or hour.
const (
	rekeyBurst = 32
	rekeyEvery = time.Second
)

var errRekeys = errors.New("the peer exchanges keys too often")

// rekeys bounds a connection's key exchanges, each of which signs once.
type rekeys struct {
	now func() time.Time

	mu   sync.Mutex // guards all below
	left int
	last time.Time
}

func (r *rekeys) take() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if more := int(now.Sub(r.last) / rekeyEvery); more > 0 {
		r.left = min(r.left+more, rekeyBurst)
		r.last = now
	}
	if r.left == 0 {
		return errRekeys
	}
	r.left--
	return nil
}

// rekeySigner is a host key of one connection.
type rekeySigner struct {
	ssh.AlgorithmSigner
	turns *rekeys
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s rekeySigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if err := s.turns.take(); err != nil {
		return nil, err
	}
	return s.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
}

// Sign implements ssh.Signer: x/crypto uses it for keys with one algorithm.
func (s rekeySigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	if err := s.turns.take(); err != nil {
		return nil, err
	}
	return s.AlgorithmSigner.Sign(rand, data)
}

// multiRekeySigner is one with a choice of algorithms.
type multiRekeySigner struct {
	rekeySigner
	multi ssh.MultiAlgorithmSigner
}

// Algorithms implements ssh.MultiAlgorithmSigner.
func (s multiRekeySigner) Algorithms() []string { return s.multi.Algorithms() }
