package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// LoadRevokedTokens reads the IDs in the file of revoked tokens: the first word of
// each line; the rest of it, and lines that begin with '#', are for people. A file
// that is missing revokes nothing. What an ID looks like is not looked at.
func LoadRevokedTokens(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read revoked tokens: %w", err)
	}
	var ids []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 0 && f[0][0] != '#' {
			ids = append(ids, f[0])
		}
	}
	return ids, nil
}

// AddRevokedToken writes an ID durably to the file of revoked tokens, with the time;
// one that is there already is fine.
func AddRevokedToken(path, id string, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("revoke token: lock: %w", err)
	}
	defer unlock()
	ids, err := LoadRevokedTokens(path)
	if err != nil || slices.Contains(ids, id) {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("revoke token: %w", err)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	if err := replaceFile(path, fmt.Appendf(data, "%s %s\n", id, now.UTC().Format(time.RFC3339))); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}
