package main

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/configs"
)

// maxKeysFile bounds a file of public keys or revocations that is read, in bytes.
const maxKeysFile = 16 << 20

// trustFiles are the files that loadTrust reads, to be watched.
func trustFiles(cfg configs.Config) []string {
	files := append([]string{tokenPublicKey(cfg), cfg.Tokens.RevokedFile(cfg.DataDir)}, cfg.SSH.TrustedUserCA...)
	files = append(files, cfg.Tokens.Accept...)
	if cfg.SSH.RevokedKeys != "" {
		files = append(files, cfg.SSH.RevokedKeys)
	}
	return files
}

func tokenPublicKey(cfg configs.Config) string { return cfg.Tokens.KeyFile(cfg.DataDir) + ".pub" }

// loadTrust reads who signs certificates and tokens, and what was revoked. A list of
// revoked keys that is named and missing is an error: it must not revoke nothing.
func loadTrust(cfg configs.Config) (t auth.Trust, err error) {
	for _, file := range cfg.SSH.TrustedUserCA {
		keys, err := readPublicKeys(file)
		if err != nil {
			return t, fmt.Errorf("ssh.trusted_user_ca: %w", err)
		}
		t.Authorities = append(t.Authorities, keys...)
	}
	if t.TokenKeys, err = loadTokenKeys(cfg); err != nil {
		return t, err
	}
	if t.RevokedTokens, err = loadRevokedTokens(cfg.Tokens.RevokedFile(cfg.DataDir)); err != nil {
		return t, err
	}
	if cfg.SSH.RevokedKeys == "" {
		return t, nil
	}
	text, err := readSmall(cfg.SSH.RevokedKeys)
	if err == nil {
		t.Revoked, err = auth.ParseRevokedKeys(text)
	}
	if err != nil {
		return t, fmt.Errorf("ssh.revoked_keys: %s: %w", cfg.SSH.RevokedKeys, err)
	}
	return t, nil
}

// loadTokenKeys reads the public keys of tokens. The key that this daemon's own
// tokens are signed with is made by the first of them.
func loadTokenKeys(cfg configs.Config) (keys []ed25519.PublicKey, err error) {
	files := cfg.Tokens.Accept
	if _, err := os.Stat(tokenPublicKey(cfg)); !errors.Is(err, fs.ErrNotExist) {
		files = append([]string{tokenPublicKey(cfg)}, files...)
	}
	for _, file := range files {
		list, err := readPublicKeys(file)
		if err != nil {
			return nil, fmt.Errorf("tokens.accept: %w", err)
		}
		for _, key := range list {
			k, ok := cryptoKey(key).(ed25519.PublicKey)
			if !ok {
				return nil, fmt.Errorf("tokens.accept: %s: tokens are signed with ed25519 keys, not %s", file, key.Type())
			}
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func cryptoKey(key ssh.PublicKey) any {
	if k, ok := key.(ssh.CryptoPublicKey); ok {
		return k.CryptoPublicKey()
	}
	return nil
}

func loadRevokedTokens(file string) (map[auth.TokenID]struct{}, error) {
	list, err := configs.LoadRevokedTokens(file)
	if err != nil {
		return nil, err
	}
	revoked := make(map[auth.TokenID]struct{}, len(list))
	for _, s := range list {
		id, err := auth.ParseTokenID(s)
		if err != nil {
			return nil, fmt.Errorf("revoked tokens %s: %w", file, err)
		}
		revoked[id] = struct{}{}
	}
	return revoked, nil
}

// readPublicKeys reads a file of public keys, a line each.
func readPublicKeys(file string) (keys []ssh.PublicKey, err error) {
	text, err := readSmall(file)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, _, err := auth.ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no public key in it", file)
	}
	return keys, lines.Err()
}

func readSmall(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	if err == nil && len(text) > maxKeysFile {
		err = fmt.Errorf("%s is larger than %d bytes", file, maxKeysFile)
	}
	return string(text), err
}
