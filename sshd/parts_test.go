package sshd

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		"":                   nil,
		"  a  b\t":           {"a", "b"},
		`'a b' "c 'd'" e\ f`: {"a b", "c 'd'", "e f"},
		`"a\"b\x" '\'`:       {`a"b\x`, `\`},
		`a''b ""`:            {"ab", ""},
		"a;b|c $x `y`":       {"a;b|c", "$x", "`y`"},
	} {
		if got, err := words(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("words(%q): got %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`'`, `"a`, `a\`, strings.Repeat("x", maxLine+1), strings.Repeat("x ", maxWords+2)} {
		if got, err := words(line); err == nil {
			t.Errorf("words of %d bytes: got %d words, want an error", len(line), len(got))
		}
	}
}

func TestTimedConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		c := newTimedConn(a, time.Minute, time.Minute)
		c.arm()
		if _, err := c.Read(make([]byte, 1)); !os.IsTimeout(err) {
			t.Errorf("read from a silent peer: %v", err)
		}
		if _, err := c.Write([]byte("x")); !os.IsTimeout(err) {
			t.Errorf("write to a stalled peer: %v", err)
		}
	})
}

func TestHostKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, err := LoadOrMakeHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadOrMakeHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if f, a := Fingerprints(first), Fingerprints(again); len(f) != 3 || !slices.Equal(f, a) {
		t.Errorf("fingerprints: made %v, loaded %v", f, a)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 6 {
		t.Errorf("got %d files, %v; want 3 keys and their public halves", len(files), err)
	}
	line, err := os.ReadFile(filepath.Join(dir, "ssh_host_ed25519_key.pub"))
	if want := ssh.MarshalAuthorizedKey(first[0].PublicKey()); err != nil || !bytes.Equal(line, want) {
		t.Errorf("public key: got %q, %v; want %q", line, err, want)
	}
	file := filepath.Join(dir, "ssh_host_ed25519_key")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadHostKeys([]string{file}); err == nil {
		t.Error("a key that everybody may read was loaded")
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"SSH-2.0-x_1": "SSH-2.0-x_1",
		"a\x1b[2Jb":   `a\x1b[2Jb`,
		"a\u202eb":    `a\u202eb`,
		"\xff":        `\xff`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q): got %q, want %q", in, got, want)
		}
	}
	if got := printable(strings.Repeat("x", 1000)); len(got) > maxPrintable+3 {
		t.Errorf("1000 bytes became %d", len(got))
	}
}

// Tee forgets none of the events.
func TestTee(t *testing.T) {
	var told []string
	by := func(name string) Events {
		return Events{Legacy: func(_ Conn, algorithms []string) { told = append(told, name+algorithms[0]) }}
	}
	both := by("a ").Tee(by("b "))
	if both.legacy(Conn{}, []string{"ssh-rsa"}); !slices.Equal(told, []string{"a ssh-rsa", "b ssh-rsa"}) {
		t.Errorf("got %q", told)
	}
	v := reflect.ValueOf(both)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("%s is forgotten", v.Type().Field(i).Name)
		}
	}
}
