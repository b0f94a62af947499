package sshd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/crypto/ssh"
)

const (
	// maxOverheard is how much of a client's first words is looked at, in
	// bytes. OpenSSH 10 sends about 1,700.
	maxOverheard = 8 << 10
	// maxVersionLine is the limit of RFC 4253, 4.2.
	maxVersionLine = 255
)

// openSSH begins the version line of the clients that are listened to: they send
// their KEXINIT as soon as they have our version line, whatever ours does.
// Others, such as older SSH.NET, wait for ours first.
const openSSH = "SSH-2.0-OpenSSH_"

// overheard is a connection whose client was heard before the handshake. Reads
// give again what was heard, and then the connection's.
type overheard struct {
	net.Conn
	ahead *bufio.Reader // nil when all of it was read again
	said  []byte        // what the next writes repeat and must not
}

// overhear sends our version line and listens to the client until it is known
// which ciphers it has: nil means that it does not say so by itself. For an
// OpenSSH client this costs the handshake up to one round trip. Errors are left
// for the handshake to meet. Deadlines are the caller's.
func overhear(c net.Conn, version string) (*overheard, []string) {
	o := &overheard{Conn: c, ahead: bufio.NewReaderSize(c, maxOverheard)}
	line := []byte(version + "\r\n")
	n, err := c.Write(line)
	o.said = line[:n]
	if err != nil {
		return o, nil
	}
	return o, firstCiphers(o.ahead)
}

// firstCiphers reads ahead to the client's KEXINIT and gives its ciphers for what
// it sends.
func firstCiphers(r *bufio.Reader) []string {
	line := peekLine(r)
	if !bytes.HasPrefix(line, []byte(openSSH)) {
		return nil
	}
	// A packet before keys (RFC 4253, 6): length, length of the padding,
	// payload, padding.
	head, err := r.Peek(len(line) + 5)
	if err != nil {
		return nil
	}
	head = head[len(line):]
	length, padding := int64(binary.BigEndian.Uint32(head)), int64(head[4])
	if length > int64(maxOverheard-len(line)-4) || length < 1+padding {
		return nil
	}
	packet, err := r.Peek(len(line) + 4 + int(length))
	if err != nil {
		return nil
	}
	payload := packet[len(line)+5 : len(packet)-int(padding)]
	var k kexInit
	if ssh.Unmarshal(payload, &k) != nil {
		return nil
	}
	return k.CiphersClientServer
}

// peekLine is the first line, with its end; nil where there is none.
func peekLine(r *bufio.Reader) []byte {
	for n := 1; ; n = min(max(n+1, r.Buffered()), maxVersionLine) {
		head, err := r.Peek(n)
		if end := bytes.IndexByte(head, '\n'); end >= 0 {
			return head[:end+1]
		}
		if err != nil || n == maxVersionLine {
			return nil
		}
	}
}

// kexInit is SSH_MSG_KEXINIT (RFC 4253, 7.1).
type kexInit struct {
	Cookie                  [16]byte `sshtype:"20"`
	KexAlgos                []string
	HostKeyAlgos            []string
	CiphersClientServer     []string
	CiphersServerClient     []string
	MACsClientServer        []string
	MACsServerClient        []string
	CompressionClientServer []string
	CompressionServerClient []string
	LanguagesClientServer   []string
	LanguagesServerClient   []string
	FirstKexFollows         bool
	Reserved                uint32
}

// Read is net.Conn's, after what was heard.
func (o *overheard) Read(p []byte) (int, error) {
	if o.ahead != nil && o.ahead.Buffered() > 0 {
		return o.ahead.Read(p)
	}
	o.ahead = nil
	return o.Conn.Read(p)
}

// Write is net.Conn's, without what overhear has sent: x/crypto begins with the
// same line. Writes do not overlap.
func (o *overheard) Write(p []byte) (int, error) {
	n := min(len(p), len(o.said))
	if n == 0 {
		return o.Conn.Write(p)
	}
	if !bytes.Equal(p[:n], o.said[:n]) {
		return 0, errors.New("write ssh version: internal error: another line than was sent")
	}
	o.said = o.said[n:]
	if n == len(p) {
		return n, nil
	}
	m, err := o.Conn.Write(p[n:])
	return n + m, err
}
