package auth

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Trust is what proves a login beside the accounts: who signs certificates and
// tokens, and what was revoked. It must not be changed once a Registry has it.
type Trust struct {
	// Authorities sign user certificates.
	Authorities []ssh.PublicKey
	// Revoked are keys and certificates that prove nothing any more.
	Revoked RevokedKeys
	// TokenKeys verify tokens; a token names the one that it needs.
	TokenKeys []ed25519.PublicKey
	// RevokedTokens are the IDs of tokens that prove nothing any more.
	RevokedTokens map[TokenID]struct{}
}

// maxAuthorities bounds the keys that certificates and tokens are compared with.
const maxAuthorities = 64

// check reports what cannot be trusted.
func (t *Trust) check() error {
	if len(t.Authorities) > maxAuthorities || len(t.TokenKeys) > maxAuthorities {
		return fmt.Errorf("at most %d authorities and token keys are allowed", maxAuthorities)
	}
	for _, k := range t.Authorities {
		if err := checkKey(k); err != nil {
			return fmt.Errorf("certificate authority: %w", err)
		}
	}
	for _, k := range t.TokenKeys {
		if len(k) != ed25519.PublicKeySize {
			return errors.New("token key: not an ed25519 key")
		}
	}
	return nil
}

// RevokedKeys is a list of keys and certificates that are refused. The zero value
// refuses none.
type RevokedKeys struct {
	serials []serialRange
	ids     map[string]struct{}
	hashes  map[string]struct{} // SHA256:... as ssh-keygen -l shows it
}

type serialRange struct{ first, last uint64 }

// maxSerialRanges bounds the list that is searched for each certificate.
const maxSerialRanges = 10_000

// ParseRevokedKeys reads a list of what is revoked, in the words of a KRL
// specification (ssh-keygen(1), KEY REVOCATION LISTS), one a line:
//
//	serial: 17        certificates of any authority with the serial 17
//	serial: 20-29     or with one from 20 to 29
//	id: desk-laptop   certificates with that key ID
//	hash: SHA256:...  a key by its fingerprint, its certificates, and the
//	                  certificates that it signed
//	key: ssh-ed25519 AAAA...   the same, by the key itself
//
// Empty lines and those that begin with '#' do not count. An error names the line.
func ParseRevokedKeys(text string) (RevokedKeys, error) {
	r := RevokedKeys{ids: make(map[string]struct{}), hashes: make(map[string]struct{})}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.add(line); err != nil {
			return RevokedKeys{}, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return r, nil
}

func (r *RevokedKeys) add(line string) error {
	word, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch word {
	case "serial":
		return r.addSerials(value)
	case "id":
		if value == "" {
			return errors.New("id: the key id is missing")
		}
		r.ids[value] = struct{}{}
	case "hash":
		if len(value) != len("SHA256:")+43 || !strings.HasPrefix(value, "SHA256:") {
			return fmt.Errorf("hash: %s is not a fingerprint SHA256:... as ssh-keygen -l shows it", quote(value))
		}
		r.hashes[value] = struct{}{}
	case "key":
		key, _, err := ParseKey(value)
		if err != nil {
			return err
		}
		r.hashes[ssh.FingerprintSHA256(key)] = struct{}{}
	default:
		return fmt.Errorf("%s is none of serial, id, hash and key", quote(word))
	}
	return nil
}

// addSerials reads "17" or "20-29".
func (r *RevokedKeys) addSerials(value string) error {
	first, last, isRange := strings.Cut(value, "-")
	if !isRange {
		last = first
	}
	a, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 64)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 64)
	switch {
	case err1 != nil || err2 != nil || b < a:
		return fmt.Errorf("serial: %s is not a number or a range of them", quote(value))
	case len(r.serials) == maxSerialRanges:
		return fmt.Errorf("serial: more than %d lines: join them to ranges", maxSerialRanges)
	}
	r.serials = append(r.serials, serialRange{a, b})
	return nil
}

// Len is the number of entries.
func (r *RevokedKeys) Len() int { return len(r.serials) + len(r.ids) + len(r.hashes) }

// key reports whether a plain key was revoked.
func (r *RevokedKeys) key(k ssh.PublicKey) bool {
	if len(r.hashes) == 0 {
		return false
	}
	_, ok := r.hashes[ssh.FingerprintSHA256(k)]
	return ok
}

// certificate reports whether a certificate, its key or its authority was revoked.
func (r *RevokedKeys) certificate(c *ssh.Certificate) bool {
	for _, s := range r.serials {
		if s.first <= c.Serial && c.Serial <= s.last {
			return true
		}
	}
	if _, ok := r.ids[c.KeyId]; ok {
		return true
	}
	return r.key(c.Key) || r.key(c.SignatureKey)
}
