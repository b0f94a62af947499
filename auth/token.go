package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// A token is a user name, TENANT+CASE, and a password that is signed and holds the
// rest: no node needs to know what was issued. The password is "bup_" and, in
// URL-safe base64 without padding, 87 bytes:
//
//	 0  version, 1
//	 1  key ID, 4 bytes: the first of the SHA-256 of the public key
//	 5  token ID, 8 random bytes
//	13  expiry, uint32: Unix seconds
//	17  size, 6 bytes: what one bundle may have, 0: no limit of the token's
//	23  Ed25519 signature (RFC 8032) of tokenContext, the 23 bytes before, and
//	    tenant and case, each behind its length in one byte
//
// Numbers are big-endian. 87 bytes are a multiple of three: there are no spare
// bits, so that a token has one spelling.
const (
	tokenPrefix  = "bup_"
	tokenVersion = 1
	tokenHeader  = 23
	tokenSize    = tokenHeader + ed25519.SignatureSize
	// tokenContext keeps a signature of something else from being a token.
	tokenContext = "bundleup upload token v1\x00"
	// caseMark parts tenant and case in a user name; no account has it.
	caseMark = "+"
	// maxTokenBytes is the largest size that a token can say.
	maxTokenBytes = 1<<48 - 1
)

// TokenID names a token, to revoke it.
type TokenID [8]byte

// String is the ID in hexadecimal.
func (id TokenID) String() string { return hex.EncodeToString(id[:]) }

// ParseTokenID is the inverse of String.
func ParseTokenID(s string) (id TokenID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("token id %s: want %d lower-case hexadecimal digits", quote(s), 2*len(id))
	}
	return TokenID(b), nil
}

// KeyID tells the keys of tokens apart.
type KeyID [4]byte

// String is the ID in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// TokenKeyID is the ID of a key that signs tokens.
func TokenKeyID(key ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(key)
	return KeyID(sum[:4])
}

// Token is what an upload token allows: bundles into one directory of one tenant.
type Token struct {
	ID      TokenID
	Key     KeyID // which key signed it
	Tenant  Tenant
	Case    string    // the directory, as CheckCase lets in
	Expires time.Time // whole seconds
	MaxSize int64     // bytes of one bundle, below 256 TiB; 0: no limit of its own
}

// User is the user name that goes with the token's password.
func (t *Token) User() string { return string(t.Tenant) + caseMark + t.Case }

// account is the login that a valid token is.
func (t *Token) account() *Account {
	return &Account{
		Name: t.User(), Role: Customer, Tenant: t.Tenant,
		Case: t.Case, MaxSize: t.MaxSize, Token: t.ID, Expires: t.Expires,
	}
}

// CheckCase reports why s cannot be the case of a token, or nil: it is one
// directory, 1 to 64 ASCII letters, digits, '-', '_' and '.', of which the first is
// a letter or a digit and the last is not a dot; the view's own directory receipts
// and names like a bundle's are refused.
func CheckCase(s string) error {
	lower := strings.ToLower(s)
	switch {
	case checkName(lower) != nil:
		return fmt.Errorf("case %s: %w", quote(s), checkName(lower))
	case lower == "receipts", strings.HasSuffix(lower, ".tgz"), strings.HasSuffix(lower, ".tgz.d"):
		return fmt.Errorf("case %s: the name is reserved", quote(s))
	}
	return nil
}

// IssueToken signs a token with a new ID and returns its password. Tenant, Case,
// Expires and MaxSize of want count; the rest is filled in.
func IssueToken(key ed25519.PrivateKey, want Token) (Token, string, error) {
	t := want
	if _, err := ParseTenant(string(t.Tenant)); err != nil {
		return Token{}, "", fmt.Errorf("issue token: %w", err)
	}
	if err := CheckCase(t.Case); err != nil {
		return Token{}, "", fmt.Errorf("issue token: %w", err)
	}
	if s := t.Expires.Unix(); s <= 0 || s > math.MaxUint32 {
		return Token{}, "", fmt.Errorf("issue token: expiry %s is out of range", t.Expires.UTC().Format(time.RFC3339))
	}
	if t.MaxSize < 0 || t.MaxSize > maxTokenBytes {
		return Token{}, "", fmt.Errorf("issue token: size %d is not between 0 and %d", t.MaxSize, int64(maxTokenBytes))
	}
	if _, err := rand.Read(t.ID[:]); err != nil {
		return Token{}, "", fmt.Errorf("issue token: %w", err)
	}
	t.Key = TokenKeyID(key.Public().(ed25519.PublicKey))
	t.Expires = t.Expires.Truncate(time.Second)
	header := t.header()
	blob := append(header, ed25519.Sign(key, t.signed(header))...)
	return t, tokenPrefix + base64.RawURLEncoding.EncodeToString(blob), nil
}

func (t *Token) header() []byte {
	b := make([]byte, 0, tokenSize)
	b = append(b, tokenVersion)
	b = append(b, t.Key[:]...)
	b = append(b, t.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Expires.Unix()))
	size := binary.BigEndian.AppendUint64(nil, uint64(t.MaxSize))
	return append(b, size[2:]...)
}

// signed is what the signature is of.
func (t *Token) signed(header []byte) []byte {
	b := append([]byte(tokenContext), header...)
	for _, s := range []string{string(t.Tenant), t.Case} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	return b
}

// ErrToken says that a user name and a password are no token, or one that was
// changed. It does not tell what is wrong with them.
var ErrToken = errors.New("not a valid upload token")

// ReadToken reads what a user name and a password say, and verifies the signature
// with that of keys whose ID it names. Whether the token has expired or was revoked
// is not looked at. The error is ErrToken.
func ReadToken(keys []ed25519.PublicKey, user string, password []byte) (*Token, error) {
	t, blob, err := parseToken(user, password)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if TokenKeyID(key) == t.Key && ed25519.Verify(key, t.signed(blob[:tokenHeader]), blob[tokenHeader:]) {
			return t, nil
		}
	}
	return nil, ErrToken
}

// parseToken reads a token that nobody has verified yet.
func parseToken(user string, password []byte) (*Token, []byte, error) {
	tenant, dir, ok := strings.Cut(user, caseMark)
	text, prefixed := bytes.CutPrefix(password, []byte(tokenPrefix))
	if !ok || !prefixed || len(text) != base64.RawURLEncoding.EncodedLen(tokenSize) {
		return nil, nil, ErrToken
	}
	if _, err := ParseTenant(tenant); err != nil {
		return nil, nil, ErrToken
	}
	if err := CheckCase(dir); err != nil {
		return nil, nil, ErrToken
	}
	blob := make([]byte, tokenSize)
	n, err := base64.RawURLEncoding.Decode(blob, text)
	if err != nil || n != tokenSize || blob[0] != tokenVersion {
		return nil, nil, ErrToken
	}
	size := append([]byte{0, 0}, blob[17:tokenHeader]...)
	return &Token{
		Key: KeyID(blob[1:5]), ID: TokenID(blob[5:13]),
		Expires: time.Unix(int64(binary.BigEndian.Uint32(blob[13:17])), 0),
		MaxSize: int64(binary.BigEndian.Uint64(size)),
		Tenant:  Tenant(tenant), Case: dir,
	}, blob, nil
}

// token finds what a token's user name and password prove: the account, or nil.
// Nothing here depends on a secret of the server's: it holds public keys only.
func (r *Registry) token(d *Directory, user string, password []byte) *Account {
	trust := r.trust.Load()
	t, err := ReadToken(trust.TokenKeys, user, password)
	if err != nil {
		return nil
	}
	_, known := d.Tenant(t.Tenant)
	a := t.account()
	if _, revoked := trust.RevokedTokens[t.ID]; revoked || !known || a.Expired(r.now()) {
		return nil
	}
	return a
}
