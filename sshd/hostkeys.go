package sshd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// maxKeyFile is the most bytes of a host key file that are read.
const maxKeyFile = 64 << 10

// hostKeyKinds are the keys that are made, by their OpenSSH file names.
var hostKeyKinds = []struct {
	file string
	make func() (crypto.PrivateKey, error)
}{
	{"ssh_host_ed25519_key", func() (crypto.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"ssh_host_ecdsa_key", func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	{"ssh_host_rsa_key", func() (crypto.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) }},
}

// LoadOrMakeHostKeys reads the host keys in dir (ed25519, ECDSA P-256 and RSA
// with 3072 bits, as OpenSSH names and writes them) and makes those that are
// missing, with a .pub file each. dir is made with mode 0700; a key file appears whole, with mode
// 0600, or not at all, also when two daemons start at once.
func LoadOrMakeHostKeys(dir string) ([]ssh.Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make host keys: %w", err)
	}
	var files []string
	for _, k := range hostKeyKinds {
		file := filepath.Join(dir, k.file)
		files = append(files, file)
		if _, err := os.Lstat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		key, err := k.make()
		if err == nil {
			err = writeHostKey(dir, file, key)
		}
		if err != nil {
			return nil, fmt.Errorf("make host key %s: %w", file, err)
		}
	}
	keys, err := LoadHostKeys(files)
	if err != nil {
		return nil, err
	}
	return keys, writePublicKeys(files, keys)
}

// writePublicKeys writes the .pub file beside each key that lacks one: what an
// operator hands out, and what clients take into known_hosts.
func writePublicKeys(files []string, keys []ssh.Signer) error {
	for i, file := range files {
		line := ssh.MarshalAuthorizedKey(keys[i].PublicKey())
		f, err := os.OpenFile(file+".pub", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write public host key: %w", err)
		}
		_, err = f.Write(line)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write public host key %s: %w", file+".pub", err)
		}
	}
	return nil
}

// writeHostKey writes the key beside its place and links it there, which fails
// where a file has appeared meanwhile: that one counts.
func writeHostKey(dir, file string, key crypto.PrivateKey) (err error) {
	block, err := ssh.MarshalPrivateKey(key, "bundleup host key")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".host_key_*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, werr := f.Write(pem.EncodeToMemory(block))
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// LoadHostKeys reads private keys without a passphrase. A file that others than
// its owner may read or write is refused.
func LoadHostKeys(files []string) ([]ssh.Signer, error) {
	var keys []ssh.Signer
	for _, file := range files {
		key, err := loadHostKey(file)
		if err != nil {
			return nil, fmt.Errorf("load host key %s: %w", file, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func loadHostKey(file string) (ssh.Signer, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("mode is %v: it must be a file that only its owner may read: chmod 600", mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(text)
}

// Fingerprints are the SHA-256 fingerprints of keys, as ssh shows them.
func Fingerprints(keys []ssh.Signer) []string {
	var list []string
	for _, k := range keys {
		list = append(list, ssh.FingerprintSHA256(k.PublicKey()))
	}
	return list
}
