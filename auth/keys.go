package auth

import (
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// minRSA is the shortest RSA key that is let in, in bits.
const minRSA = 2048

// ParseKey reads one public key line as ssh-keygen writes it: type, base64,
// comment. Options before the type are refused: they would be ignored.
func ParseKey(line string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return nil, errors.New("a key is not a public key line: want TYPE BASE64 COMMENT, as in a .pub file")
	case len(options) > 0:
		return nil, fmt.Errorf("a key has options (%s), which are not supported", options[0])
	case len(rest) > 0:
		return nil, errors.New("a key holds several lines: list them one by one")
	}
	return key, CheckKey(key)
}

// CheckKey reports why a key cannot log in: ed25519, ecdsa, their security-key
// variants and rsa of 2048 bits and more can.
func CheckKey(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if c, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSA {
				return nil
			}
		}
		return fmt.Errorf("an rsa key is shorter than %d bits: make a new one with ssh-keygen -t ed25519", minRSA)
	}
	return fmt.Errorf("a key has the type %s, which is not allowed: make a new one with ssh-keygen -t ed25519", key.Type())
}
