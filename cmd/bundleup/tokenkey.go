package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// loadOrMakeTokenKey reads the private key that signs tokens, or makes it, with
// mode 0600 and its public half beside it. Of two that make it at once one wins, and
// both use that one's.
func loadOrMakeTokenKey(file string) (ed25519.PrivateKey, error) {
	key, err := loadTokenKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeTokenKey(file); err == nil {
			key, err = loadTokenKey(file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("token key: %w", err)
	}
	return key, writePublicKey(file+".pub", key)
}

func loadTokenKey(file string) (ed25519.PrivateKey, error) {
	i, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if i.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode is %v: it must be a file that only its owner may read: chmod 600", file, i.Mode())
	}
	text, err := readSmall(file)
	if err != nil {
		return nil, err
	}
	raw, err := ssh.ParseRawPrivateKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := raw.(*ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an ed25519 key", file)
	}
	return *key, nil
}

func makeTokenKey(file string) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(key, "bundleup token key")
	if err != nil {
		return err
	}
	return writeOnce(file, pem.EncodeToMemory(block), 0o600)
}

func writePublicKey(file string, key ed25519.PrivateKey) error {
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writeOnce(file, ssh.MarshalAuthorizedKey(public), 0o644)
}

// writeOnce makes a file durably, as a whole or not at all; one that is there stays.
// What root makes belongs to whom the directory belongs to.
func writeOnce(file string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(file)
	if _, err := os.Lstat(file); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new_*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), ownLike(f, dir), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
