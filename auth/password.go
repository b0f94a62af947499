package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxPassword is how many bytes a password may have. SSH lets 256 KiB through.
const MaxPassword = 1024

// The lengths of a salt and a hash in bytes: what HashPassword makes, and what
// is taken.
const (
	saltSize, minSalt, maxSalt = 16, 8, 64
	sumSize, minSum, maxSum    = 32, 16, 64
)

// cost is what one argon2id hash takes (RFC 9106).
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// presetCost is the OWASP Password Storage Cheat Sheet's for argon2id: 19 MiB,
// which keeps two logins at once far below what a small machine has.
var presetCost = cost{memory: 19456, passes: 2, threads: 1}

// maxCost bounds what a hash of the accounts file can make a login cost.
var maxCost = cost{memory: 256 << 10, passes: 10, threads: 8}

// phc is a hashed password in the PHC string format,
// $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	cost cost
	salt []byte
	sum  []byte
}

// HashPassword makes the PHC string of an argon2id hash with 19 MiB of memory,
// two passes, one thread and a random salt. The password has 1 to MaxPassword
// bytes.
func HashPassword(password []byte) (string, error) {
	if len(password) == 0 || len(password) > MaxPassword {
		return "", fmt.Errorf("hash password: it has %d bytes, want 1 to %d", len(password), MaxPassword)
	}
	h := phc{cost: presetCost, salt: make([]byte, saltSize), sum: make([]byte, sumSize)}
	if _, err := rand.Read(h.salt); err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	h.sum = derive(password, &h)
	return h.String(), nil
}

// derive computes what h.sum is for the right password.
func derive(password []byte, h *phc) []byte {
	return argon2.IDKey(password, h.salt, h.cost.passes, h.cost.memory, h.cost.threads, uint32(len(h.sum)))
}

// String is the form that parsePHC reads.
func (h *phc) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.cost.memory, h.cost.passes, h.cost.threads, b64(h.salt), b64(h.sum))
}

// errPHC never holds the hash: errors are logged.
var errPHC = errors.New(`password: not an argon2id hash "$argon2id$v=19$m=...,t=...,p=...$salt$hash": make it with "bundleup account add --password-stdin"`)

// parsePHC reads an argon2id hash whose cost is at most 256 MiB, 10 passes and
// 8 threads.
func parsePHC(s string) (*phc, error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" || f[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, errPHC
	}
	c, err := parseCost(f[3])
	if err != nil {
		return nil, err
	}
	h := &phc{cost: c}
	if h.salt, err = decode(f[4], minSalt, maxSalt); err != nil {
		return nil, fmt.Errorf("password: salt: %w", err)
	}
	if h.sum, err = decode(f[5], minSum, maxSum); err != nil {
		return nil, fmt.Errorf("password: hash: %w", err)
	}
	return h, nil
}

// parseCost reads "m=19456,t=2,p=1"; RFC 9106, 3.1 wants 8 KiB for each thread.
func parseCost(s string) (cost, error) {
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return cost{}, errPHC
	}
	var v [3]uint32
	for i, p := range []struct {
		key string
		max uint32
	}{{"m=", maxCost.memory}, {"t=", maxCost.passes}, {"p=", uint32(maxCost.threads)}} {
		text, ok := strings.CutPrefix(f[i], p.key)
		n, err := strconv.ParseUint(text, 10, 32)
		// Written back it is the same: one hash has one spelling.
		if !ok || err != nil || strconv.FormatUint(n, 10) != text {
			return cost{}, errPHC
		}
		if n < 1 || n > uint64(p.max) {
			return cost{}, fmt.Errorf("password: %s%d is not between 1 and %d", p.key, n, p.max)
		}
		v[i] = uint32(n)
	}
	if v[0] < 8*v[2] {
		return cost{}, fmt.Errorf("password: m=%d is less than 8 for each of %d threads", v[0], v[2])
	}
	return cost{memory: v[0], passes: v[1], threads: uint8(v[2])}, nil
}

// decode reads unpadded base64 of min to max bytes.
func decode(s string, min, max int) ([]byte, error) {
	if n := base64.RawStdEncoding.DecodedLen(len(s)); n < min || n > max {
		return nil, fmt.Errorf("it has %d bytes, want %d to %d", n, min, max)
	}
	b, err := base64.RawStdEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks.
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("not unpadded base64")
	}
	return b, nil
}
