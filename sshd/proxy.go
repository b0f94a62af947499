package sshd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// The PROXY protocol, version 2, is section 2.2 of HAProxy's proxy-protocol.txt.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	// maxProxyHeader is the longest address block with TLVs that is read, in
	// bytes. Balancers send less than 300; a client's certificate may be in it.
	maxProxyHeader = 4096

	proxyVersion2 = 0x20 // high nibble of byte 13
	proxyLocal    = 0x0
	proxyProxy    = 0x1
	proxyUnspec   = 0x00
	proxyTCP4     = 0x11
	proxyTCP6     = 0x21
)

var errProxy = errors.New("read PROXY header")

// readProxyHeader reads one header and not a byte more. It gives nil for a
// connection of the balancer's own, a health check.
func readProxyHeader(r io.Reader) (*net.TCPAddr, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxy, err)
	}
	length := int(binary.BigEndian.Uint16(head[14:]))
	switch command := head[12] & 0x0f; {
	case string(head[:12]) != proxySignature:
		return nil, fmt.Errorf("%w: want version 2, got %q", errProxy, head[:12])
	case head[12]&0xf0 != proxyVersion2 || command > proxyProxy:
		return nil, fmt.Errorf("%w: version and command are %#02x", errProxy, head[12])
	case length > maxProxyHeader:
		return nil, fmt.Errorf("%w: %d bytes are more than %d", errProxy, length, maxProxyHeader)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: %w", errProxy, err)
	}
	if head[12]&0x0f == proxyLocal {
		return nil, nil
	}
	return proxyAddress(head[13], body)
}

// proxyAddress is the source in the address block; TLVs behind it are skipped.
func proxyAddress(family byte, body []byte) (*net.TCPAddr, error) {
	size := 4
	switch family {
	case proxyUnspec:
		return nil, nil
	case proxyTCP4:
	case proxyTCP6:
		size = 16
	default:
		return nil, fmt.Errorf("%w: family and protocol are %#02x", errProxy, family)
	}
	if len(body) < 2*size+4 {
		return nil, fmt.Errorf("%w: %d bytes of addresses", errProxy, len(body))
	}
	ip, _ := netip.AddrFromSlice(body[:size])
	port := binary.BigEndian.Uint16(body[2*size:])
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip.Unmap(), port)), nil
}

// proxiedConn is a connection that came through a balancer and was greeted
// already.
type proxiedConn struct {
	net.Conn
	remote net.Addr
	said   []byte // what the next writes repeat and must not
}

// greet sends our version line and reads the header. The line goes first
// because a balancer such as AWS's NLB sends its header with the client's first
// bytes, and many clients send none before they have read the server's line
// (RFC 4253, 4.2 allows both orders). x/crypto's own line is left out then.
func greet(c net.Conn, version string) (*proxiedConn, error) {
	line := []byte(version + "\r\n")
	if _, err := c.Write(line); err != nil {
		return nil, fmt.Errorf("greet behind a balancer: %w", err)
	}
	remote, err := readProxyHeader(c)
	if err != nil {
		return nil, err
	}
	p := &proxiedConn{Conn: c, remote: c.RemoteAddr(), said: line}
	if remote != nil {
		p.remote = remote
	}
	return p, nil
}

// RemoteAddr is the client's address, as the balancer has told it.
func (p *proxiedConn) RemoteAddr() net.Addr { return p.remote }

// Write is net.Conn's, without what greet has sent. Writes do not overlap.
func (p *proxiedConn) Write(b []byte) (int, error) {
	n := min(len(b), len(p.said))
	if n == 0 {
		return p.Conn.Write(b)
	}
	if !bytes.Equal(b[:n], p.said[:n]) {
		return 0, errors.New("write behind a balancer: internal error: another version line than was sent")
	}
	p.said = p.said[n:]
	if n == len(b) {
		return n, nil
	}
	m, err := p.Conn.Write(b[n:])
	return n + m, err
}
