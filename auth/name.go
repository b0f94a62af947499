package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxName bounds the names of tenants and accounts, in bytes.
const maxName = 64

// reserved cannot name a tenant, with or without an extension: a customer's
// view has /receipts of its own, and support staff on Windows download whole
// directories, where the others are devices.
var reserved = []string{
	"receipts",
	"aux", "con", "nul", "prn",
	"com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
}

// ParseTenant checks that s names a tenant: 1 to 64 lower-case ASCII letters,
// digits, '-', '_' and '.', of which the first is a letter or a digit and the
// last is not a dot. The name is one directory on every file system, so
// "receipts" and the names of Windows devices are refused.
func ParseTenant(s string) (Tenant, error) {
	if err := checkName(s); err != nil {
		return "", fmt.Errorf("tenant %s: %w", quote(s), err)
	}
	if stem, _, _ := strings.Cut(s, "."); slices.Contains(reserved, stem) {
		return "", fmt.Errorf("tenant %s: the name is reserved", quote(s))
	}
	return Tenant(s), nil
}

// CheckAccountName reports why s cannot name an account, or nil. The letters are
// those of ParseTenant; no name is reserved.
func CheckAccountName(s string) error {
	if err := checkName(s); err != nil {
		return fmt.Errorf("account %s: %w", quote(s), err)
	}
	return nil
}

func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty")
	case len(s) > maxName:
		return fmt.Errorf("the name has %d bytes, at most %d are allowed", len(s), maxName)
	case strings.IndexFunc(s, foreign) >= 0:
		return errors.New("a name is made of lower-case letters, digits, '-', '_' and '.'")
	case !alphanumeric(rune(s[0])) || s[len(s)-1] == '.':
		return errors.New("a name begins with a letter or a digit and does not end with a dot")
	}
	return nil
}

func alphanumeric(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' }

func foreign(r rune) bool { return !alphanumeric(r) && r != '-' && r != '_' && r != '.' }

// quote shows a name that may be anything, and as long as it likes.
func quote(s string) string {
	if len(s) > maxName {
		return fmt.Sprintf("%q...", s[:maxName])
	}
	return fmt.Sprintf("%q", s)
}
