package auth

import (
	"crypto/rsa"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The lengths of RSA keys that may log in, in bits. Below, NIST SP 800-57
// counts a key as broken; the upper one is OpenSSH's, and bounds the CPU that
// one login costs.
const (
	minRSA = 2048
	maxRSA = 16384
)

// ParseKey reads one line of an authorized_keys or .pub file: kind, base64 and
// an optional comment, which is returned. Ed25519, ECDSA, RSA from 2048 bits and
// the sk- kinds of security keys are let in. A line with options is refused,
// since none of them would be obeyed.
func ParseKey(line string) (key ssh.PublicKey, comment string, err error) {
	if strings.ContainsAny(line, "\r\n") {
		return nil, "", errors.New("key: more than one line")
	}
	key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case strings.Contains(line, "PRIVATE KEY"):
		return nil, "", errors.New("key: this is a private key: give the line of the .pub file")
	case err != nil:
		return nil, "", errors.New(`key: not a public key: want a line of a .pub file, such as "ssh-ed25519 AAAA... comment"`)
	case len(options) > 0:
		return nil, "", fmt.Errorf("key: option %s is not supported: remove it from the line", quote(options[0]))
	}
	if err := checkKey(key); err != nil {
		return nil, "", err
	}
	return key, comment, nil
}

// checkKey reports why a key may not log in, or nil.
func checkKey(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		return checkRSA(key)
	}
	return fmt.Errorf("key: %s is not supported: use ed25519, ecdsa or rsa", quote(key.Type()))
}

func checkRSA(key ssh.PublicKey) error {
	c, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return errors.New("key: not an rsa key")
	}
	k, ok := c.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return errors.New("key: not an rsa key")
	}
	if n := k.N.BitLen(); n < minRSA || n > maxRSA {
		return fmt.Errorf("key: an rsa key has %d to %d bits, this one %d", minRSA, maxRSA, n)
	}
	return nil
}

// lists reports whether the account lists the key with these wire bytes.
func (a *Account) lists(wire []byte) bool {
	found := 0
	for _, k := range a.Keys {
		found |= subtle.ConstantTimeCompare(k.Marshal(), wire)
	}
	return found == 1
}
