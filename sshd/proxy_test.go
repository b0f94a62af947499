package sshd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/vfs"
)

// newPipe is a connection in memory whose first end has come from ip.
func newPipe(ip string) (net.Conn, net.Conn) {
	a, b := net.Pipe()
	return &proxiedConn{Conn: a, remote: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1234}}, b
}

func drain(r io.Reader) { _, _ = io.Copy(io.Discard, r) }

// proxyHeader is a header for addr, with a TLV behind it.
func proxyHeader(command byte, addr string) []byte {
	family, body := byte(proxyUnspec), []byte(nil)
	if addr != "" {
		a := netip.MustParseAddrPort(addr)
		family = proxyTCP6
		if a.Addr().Is4() {
			family = proxyTCP4
		}
		body = append(body, a.Addr().AsSlice()...)
		body = append(body, make([]byte, len(a.Addr().AsSlice()))...)
		body = binary.BigEndian.AppendUint16(body, a.Port())
		body = binary.BigEndian.AppendUint16(body, 22)
	}
	body = append(body, 0xea, 0, 4, 'v', 'p', 'c', 'e')
	head := append([]byte(proxySignature), proxyVersion2|command, family)
	return append(binary.BigEndian.AppendUint16(head, uint16(len(body))), body...)
}

func TestProxyHeader(t *testing.T) {
	v4 := proxyHeader(proxyProxy, "192.0.2.7:4711")
	edit := func(at int, b byte) []byte {
		h := bytes.Clone(v4)
		h[at] = b
		return h
	}
	for name, c := range map[string]struct {
		header []byte
		want   string
	}{
		"IPv4":         {v4, "192.0.2.7:4711"},
		"IPv6":         {proxyHeader(proxyProxy, "[2001:db8::7]:4711"), "[2001:db8::7]:4711"},
		"mapped":       {proxyHeader(proxyProxy, "[::ffff:192.0.2.7]:4711"), "192.0.2.7:4711"},
		"local":        {proxyHeader(proxyLocal, "192.0.2.7:4711"), ""},
		"unspec":       {proxyHeader(proxyProxy, ""), ""},
		"version 1":    {[]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 22\r\n"), "error"},
		"version 3":    {edit(12, 0x31), "error"},
		"command 2":    {edit(12, 0x22), "error"},
		"UDP":          {edit(13, 0x12), "error"},
		"unix":         {edit(13, 0x31), "error"},
		"too long":     {edit(14, 0xff), "error"},
		"no addresses": {append(bytes.Clone(v4[:14]), 0, 0), "error"},
		"cut":          {v4[:20], "error"},
		"empty":        {nil, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := bytes.NewReader(append(bytes.Clone(c.header), "SSH-2.0-x\r\n"...))
			if name == "cut" || name == "empty" {
				r = bytes.NewReader(c.header)
			}
			got := "error"
			if addr, err := readProxyHeader(r); err == nil {
				got = ""
				if addr != nil {
					got = addr.String()
				}
				if rest, _ := io.ReadAll(r); string(rest) != "SSH-2.0-x\r\n" {
					t.Errorf("behind the header: %q", rest)
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzProxyHeader reads anything: what it accepts has an address that an
// address can have, and nothing behind the header is taken.
func FuzzProxyHeader(f *testing.F) {
	f.Add(proxyHeader(proxyProxy, "192.0.2.7:4711"))
	f.Add(proxyHeader(proxyProxy, "[2001:db8::7]:4711"))
	f.Add(proxyHeader(proxyLocal, ""))
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4711 22\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := bytes.NewReader(sent)
		addr, err := readProxyHeader(r)
		if err != nil {
			return
		}
		if want := 16 + int(binary.BigEndian.Uint16(sent[14:])); len(sent)-r.Len() != want {
			t.Errorf("%d bytes were read, want %d", len(sent)-r.Len(), want)
		}
		if addr != nil && !addrOf(addr).IsValid() {
			t.Errorf("address %v", addr)
		}
	})
}

// balancer forwards to the server and sends its header with the client's first
// bytes, as AWS's NLB does.
func balancer(t *testing.T, target string, header []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go forward(c, target, header)
		}
	}()
	return l.Addr().String()
}

func forward(c net.Conn, target string, header []byte) {
	defer c.Close()
	d, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer d.Close()
	go func() {
		_, _ = io.Copy(c, d)
		c.Close()
	}()
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		return
	}
	if _, err := d.Write(append(bytes.Clone(header), buf[:n]...)); err == nil {
		_, _ = io.Copy(d, c)
	}
}

// patient is a client's connection that says nothing before it has read the
// server's first line, as many clients do.
type patient struct {
	net.Conn
	heard bool
	line  []byte
}

func (p *patient) Write(b []byte) (int, error) {
	for !p.heard {
		one := make([]byte, 1)
		if _, err := p.Conn.Read(one); err != nil {
			return 0, err
		}
		p.line = append(p.line, one[0])
		p.heard = one[0] == '\n'
	}
	return p.Conn.Write(b)
}

func (p *patient) Read(b []byte) (int, error) {
	if len(p.line) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.line)
	p.line = p.line[n:]
	return n, nil
}

// behind makes a world whose balancer is the loopback.
func behind(t *testing.T, peers chan<- vfs.Peer) *world {
	return newWorld(t, func(c *Config) {
		c.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.View = func(_ *auth.Account, p vfs.Peer) (vfs.View, error) {
			peers <- p
			return emptyView{}, nil
		}
	})
}

func (w *world) dialPatient(addr string) (*ssh.Client, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	c, chans, reqs, err := ssh.NewClientConn(&patient{Conn: nc}, addr, &ssh.ClientConfig{
		User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.user)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(c, chans, reqs), nil
}

func TestBehindABalancer(t *testing.T) {
	peers := make(chan vfs.Peer, 1)
	w := behind(t, peers)
	c, err := w.dialPatient(balancer(t, w.addr, proxyHeader(proxyProxy, "192.0.2.7:4711")))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.log)
	}
	openSFTP(t, c)
	if got, want := (<-peers).Remote, "192.0.2.7:4711"; got != want {
		t.Errorf("the peer is %s, want %s", got, want)
	}
	w.server.gate.mu.Lock()
	defer w.server.gate.mu.Unlock()
	if n := w.server.gate.sources[from("192.0.2.7")]; n == nil || n.open != 1 || len(w.server.gate.sources) != 1 {
		t.Errorf("counted for %v, want 192.0.2.7", w.server.gate.sources)
	}
}

// A health check of the balancer itself is no client and no fault.
func TestHealthCheck(t *testing.T) {
	w := behind(t, make(chan vfs.Peer, 1))
	for _, header := range [][]byte{proxyHeader(proxyLocal, ""), nil} {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(header); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if line, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(line), "SSH-2.0-bundleup\r\n") {
			t.Errorf("got %q, %v; want our line", line, err)
		}
		c.Close()
	}
	if left := w.server.guard.Penalties.Left(from("127.0.0.1")); left != 0 {
		t.Errorf("the balancer has a penalty of %v", left)
	}
}

func TestHeaderIsRequiredAndRefused(t *testing.T) {
	w := behind(t, make(chan vfs.Peer, 1))
	if _, err := w.tryDial("acme"); err == nil {
		t.Error("a balancer's connection without a header was let in")
	}
	w = newWorld(t, nil)
	if _, err := w.dialPatient(balancer(t, w.addr, proxyHeader(proxyProxy, "192.0.2.7:4711"))); err == nil {
		t.Error("a header from somebody who is no balancer was taken")
	}
}

// Limits and penalties are the client's that the balancer names.
func TestPenaltiesBehindABalancer(t *testing.T) {
	w := behind(t, make(chan vfs.Peer, 8))
	bad := balancer(t, w.addr, proxyHeader(proxyProxy, "192.0.2.7:4711"))
	w.server.guard.Penalties.Add(from("192.0.2.7"), auth.FaultCrash)
	if _, err := w.dialPatient(bad); err == nil {
		t.Error("a source that is shut out came in through the balancer")
	}
	if _, err := w.dialPatient(balancer(t, w.addr, proxyHeader(proxyProxy, "192.0.2.8:4711"))); err != nil {
		t.Errorf("another client of the balancer: %v\n%s", err, w.log)
	}
}

func TestProxiedConnDropsTheLineOnce(t *testing.T) {
	for _, cut := range []int{1, 5, 18, 20} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			a, b := net.Pipe()
			got := make(chan string)
			go func() {
				all, _ := io.ReadAll(b)
				got <- string(all)
			}()
			p := &proxiedConn{Conn: a, said: []byte("SSH-2.0-bundleup\r\n")}
			all := "SSH-2.0-bundleup\r\nmore"
			for _, part := range []string{all[:cut], all[cut:]} {
				if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
					t.Errorf("write %q: %d, %v", part, n, err)
				}
			}
			a.Close()
			if g := <-got; g != "more" {
				t.Errorf("got %q", g)
			}
		})
	}
}
