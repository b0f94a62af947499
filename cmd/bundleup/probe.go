package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshProbe sends bundles over SSH as a customer's client does.
type sshProbe struct {
	address string
	user    string
	signer  ssh.Signer
	hosts   knownHosts
}

// knownHosts check a host key, and say of which types there are.
type knownHosts struct {
	check ssh.HostKeyCallback
	types []string
}

func readSigner(file string) (ssh.Signer, error) {
	pem, err := readSmall(file)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey([]byte(pem))
	if err != nil {
		return nil, fmt.Errorf("%s: not a private key without a passphrase", file)
	}
	return signer, nil
}

// readKnownHosts reads the keys that the address may have. Their types are what the
// client then asks for: a server has several keys, and presents the one whose type
// the client prefers, which need not be in the file.
func readKnownHosts(file, address string) (knownHosts, error) {
	check, err := knownhosts.New(file)
	if err != nil {
		return knownHosts{}, err
	}
	var unknown *knownhosts.KeyError
	if err := check(address, noAddr{}, noKey{}); !errors.As(err, &unknown) || len(unknown.Want) == 0 {
		return knownHosts{}, fmt.Errorf("%s: no host key of %s", file, address)
	}
	k := knownHosts{check: check}
	for _, want := range unknown.Want {
		switch t := want.Key.Type(); t {
		case ssh.KeyAlgoRSA:
			k.types = append(k.types, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		default:
			k.types = append(k.types, t)
		}
	}
	return k, nil
}

// noKey is no host's key.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// noAddr is no host's address: only the name that was asked for counts.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return "0.0.0.0:0" }

// send uploads data under name, by the legacy scp protocol: the least that a client
// can speak. It returns nil when the server says that the bundle is kept.
func (p *sshProbe) send(ctx context.Context, name string, data []byte) error {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return err
	}
	defer nc.Close()
	// A deadline in the past also ends what ctx ends.
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	conn, chans, reqs, err := ssh.NewClientConn(nc, p.address, &ssh.ClientConfig{
		User: p.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(p.signer)},
		HostKeyCallback: p.hosts.check, HostKeyAlgorithms: p.hosts.types,
		ClientVersion: "SSH-2.0-bundleup_canary",
	})
	if err != nil {
		return heard(ctx, err)
	}
	client := ssh.NewClient(conn, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return heard(ctx, err)
	}
	return heard(ctx, scpSend(session, name, data))
}

// heard prefers the reason for which a connection was ended.
func heard(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// maxAnswer bounds what the server may say in one answer, in bytes.
const maxAnswer = 4096

// scpSend is the source of "scp -t": a header, the bytes, and an answer to each.
func scpSend(s *ssh.Session, name string, data []byte) error {
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return err
	}
	answers := bufio.NewReaderSize(out, maxAnswer)
	if err := s.Start("scp -t '" + strings.ReplaceAll(name, "'", `'\''`) + "'"); err != nil {
		return err
	}
	header := fmt.Sprintf("C0644 %d %s\n", len(data), name[strings.LastIndexByte(name, '/')+1:])
	for _, piece := range [][]byte{nil, []byte(header), append(data[:len(data):len(data)], 0)} {
		if _, err := in.Write(piece); err != nil {
			return err
		}
		if err := scpAnswer(answers); err != nil {
			return err
		}
	}
	return errors.Join(in.Close(), s.Wait())
}

// scpAnswer reads a 0, or a 1 or 2 and a line that says why.
func scpAnswer(r *bufio.Reader) error {
	code, err := r.ReadByte()
	if err != nil || code == 0 {
		return err
	}
	line, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("answer %d of scp without a line: %w", code, err)
	}
	return fmt.Errorf("refused: %s", plain(strings.TrimSpace(string(line))))
}

// canaryBundle is a sound bundle of a few KiB; the same seed gives the same bytes.
// It is not compressed: what a compressor makes of it changes with its version.
func canaryBundle(seed uint64) ([]byte, error) {
	var buf bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buf, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	const size = 4 << 10
	w := tar.NewWriter(zip)
	err = w.WriteHeader(&tar.Header{Name: "canary/log", Mode: 0o644, Size: size, ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})
	if err != nil {
		return nil, err
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, err = io.CopyN(w, rand.NewChaCha8(key), size)
	err = errors.Join(err, w.Close(), zip.Close())
	return buf.Bytes(), err
}
