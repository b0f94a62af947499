package auth

import "fmt"

// maxName bounds tenant and account names, in bytes.
const maxName = 64

// ParseTenant checks that s names a tenant: 1 to 64 lower-case letters, digits,
// "-", "_" and ".", beginning with a letter or a digit. It is a directory's name
// on every medium.
func ParseTenant(s string) (Tenant, error) {
	if !plain(s, false) {
		return "", fmt.Errorf("tenant %q: want 1 to %d lower-case letters, digits, - _ and ., beginning with a letter or digit", s, maxName)
	}
	return Tenant(s), nil
}

// CheckName reports why s cannot name an account: the letters of a tenant's name,
// and upper-case ones.
func CheckName(s string) error {
	if !plain(s, true) {
		return fmt.Errorf("account name %q: want 1 to %d letters, digits, - _ and ., beginning with a letter or digit", s, maxName)
	}
	return nil
}

func plain(s string, upper bool) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', upper && c >= 'A' && c <= 'Z':
		case i > 0 && (c == '-' || c == '_' || c == '.'):
		default:
			return false
		}
	}
	return true
}
