package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestManager(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: file, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := manager{file}
	for _, tt := range []struct {
		tell func() error
		want string
	}{
		{m.ready, "READY=1\nSTATUS=serving, SIGUSR2 starts a newer one"},
		{func() error { return m.replacedBy(42) }, "MAINPID=42\nSTATUS=serving, SIGUSR2 starts a newer one"},
		{func() error { return m.stopping(time.Hour) }, "STOPPING=1\nSTATUS=running uploads go on\nEXTEND_TIMEOUT_USEC=3660000000"},
	} {
		if err := tt.tell(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1024)
		n, err := c.Read(buf)
		if got := string(buf[:n]); err != nil || got != tt.want {
			t.Errorf("told %q, %v, want %q", got, err, tt.want)
		}
	}
}

func TestNoManager(t *testing.T) {
	if err := (manager{}).ready(); err != nil {
		t.Error(err)
	}
	if err := (manager{filepath.Join(t.TempDir(), "none")}).ready(); err == nil {
		t.Error("a manager that is not there was told")
	}
}
