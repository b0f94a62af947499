package sshd

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// negotiated logs in with a client of that version line and ciphers, and gives
// the cipher that it sends with.
func negotiated(t *testing.T, version string, ciphers ...string) string {
	t.Helper()
	w := newWorld(t, nil)
	c, err := ssh.Dial("tcp", w.addr, &ssh.ClientConfig{
		Config: ssh.Config{Ciphers: ciphers}, ClientVersion: version,
		User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.user)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Conn.(ssh.AlgorithmsConnMetadata).Algorithms().Write.Cipher
}

func TestCipherOfClients(t *testing.T) {
	const chacha, ctr, big, small = ssh.CipherChaCha20Poly1305, ssh.CipherAES256CTR, ssh.CipherAES256GCM, ssh.CipherAES128GCM
	fast := func(aes, without string) string {
		if hasAES() {
			return aes
		}
		return without
	}
	for _, c := range []struct {
		name, version string
		ciphers       []string
		want          string
	}{
		{"OpenSSH with everything", "SSH-2.0-OpenSSH_9.2p1", []string{chacha, ctr, small, big}, fast(small, chacha)},
		{"OpenSSH's order among AES-GCM", "SSH-2.0-OpenSSH_9.2p1", []string{chacha, big, small}, fast(big, chacha)},
		{"OpenSSH that was told ctr", "SSH-2.0-OpenSSH_9.2p1", []string{ctr}, ctr},
		{"OpenSSH that was told chacha20", "SSH-2.0-OpenSSH_9.2p1", []string{chacha}, chacha},
		{"another client's order stands", "SSH-2.0-PuTTY_Release_0.78", []string{ctr, small}, ctr},
	} {
		if got := negotiated(t, c.version, c.ciphers...); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// A client that waits for our KEXINIT must get it, and one that says nothing
// must not be answered before it spoke.
func TestHandshakeOfClientThatWaits(t *testing.T) {
	w := newWorld(t, nil)
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("SSH-2.0-bundleup\r\n"))
	if _, err := io.ReadFull(c, line); err != nil {
		t.Fatal(err)
	}
	if got, want := string(line), "SSH-2.0-bundleup\r\n"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if _, err := io.WriteString(c, "SSH-2.0-Renci.SshNet.SshClient.0.0.1\r\n"); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 6)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	if head[5] != 20 {
		t.Errorf("got message %d, want 20, KEXINIT", head[5])
	}
}

// spoken is a connection to which a client has said everything it ever says.
type spoken struct {
	net.Conn
	in io.Reader
}

func (s spoken) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s spoken) Write(p []byte) (int, error) { return len(p), nil }

// clientWords is the begin of a real client's connection, longer than a version
// line may be.
func clientWords(ciphers ...string) []byte {
	kex := slices.Repeat([]string{"curve25519-sha256"}, 20)
	payload := ssh.Marshal(&kexInit{KexAlgos: kex, CiphersClientServer: ciphers})
	packet := append([]byte{0, 0, byte((len(payload) + 5) >> 8), byte(len(payload) + 5), 4}, payload...)
	return append([]byte("SSH-2.0-OpenSSH_9.2p1\r\n"), append(packet, 0, 0, 0, 0)...)
}

func FuzzOverhear(f *testing.F) {
	f.Add(clientWords("chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"))
	f.Add([]byte("SSH-2.0-OpenSSH_9.2p1\r\n\x00\x00\x00\x04\xff\x14\x00\x00"))
	f.Add([]byte("SSH-2.0-PuTTY_Release_0.78\r\n"))
	f.Add(bytes.Repeat([]byte("x"), 300))
	f.Fuzz(func(t *testing.T, words []byte) {
		o, _ := overhear(spoken{in: bytes.NewReader(words)}, "SSH-2.0-bundleup")
		if n, err := o.Write([]byte("SSH-2.0-bundleup\r\n")); n != 18 || err != nil {
			t.Fatalf("our line: got %d, %v", n, err)
		}
		got, err := io.ReadAll(o)
		if err != nil || !bytes.Equal(got, words) {
			t.Fatalf("got %d bytes and %v, want the %d that were heard", len(got), err, len(words))
		}
	})
}

func TestOverhearCiphers(t *testing.T) {
	want := []string{"chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"}
	words := clientWords(want...)
	if _, got := overhear(spoken{in: bytes.NewReader(words)}, "SSH-2.0-bundleup"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for cut := range len(words) {
		if _, got := overhear(spoken{in: bytes.NewReader(words[:cut])}, "SSH-2.0-bundleup"); got != nil {
			t.Fatalf("cut at %d: got %q, want none", cut, got)
		}
	}
}
