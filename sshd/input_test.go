package sshd

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// fakeChannel gives what is sent to it, as x/crypto's channels do: all that waits.
type fakeChannel struct {
	sent chan []byte
	rest []byte
}

func (c *fakeChannel) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(c.rest) > 0 {
			m := copy(p[n:], c.rest)
			c.rest = c.rest[m:]
			n += m
			continue
		}
		if n > 0 && len(c.sent) == 0 {
			return n, nil
		}
		b, ok := <-c.sent
		if !ok {
			return n, io.EOF
		}
		c.rest = b
	}
	return n, nil
}

// What was absorbed comes first and whole, and a reader that comes while absorb
// waits gets what absorb gets.
func TestAbsorbedInputIsRead(t *testing.T) {
	ch := &fakeChannel{sent: make(chan []byte, 1000)}
	var in input
	in.begin(ch, &meter{now: time.Now})
	var want []byte
	for i := range 500 {
		b := bytes.Repeat([]byte{byte(i)}, i%7+1)
		want = append(want, b...)
		ch.sent <- b
	}
	if err := in.absorb(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in.kept, want) {
		t.Fatalf("%d bytes are kept, want %d", len(in.kept), len(want))
	}
	absorbed := make(chan error, 1)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(&in, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read: %v, the same: %v", err, bytes.Equal(got, want))
	}
	go func() { absorbed <- in.absorb() }()
	go func() { ch.sent <- []byte("late"); close(ch.sent) }()
	if late, err := io.ReadAll(&in); err != nil || string(late) != "late" {
		t.Errorf("got %q, %v", late, err)
	}
	if err := <-absorbed; err != nil {
		t.Error(err)
	}
}

func TestAbsorbIsBounded(t *testing.T) {
	ch := &fakeChannel{sent: make(chan []byte, 1)}
	var in input
	in.begin(ch, &meter{now: time.Now})
	go func() {
		for range window/(32<<10) + 2 {
			ch.sent <- make([]byte, 32<<10)
		}
	}()
	if err := in.absorb(); err != errUnread {
		t.Errorf("got %v after %d bytes, want %v", err, len(in.kept), errUnread)
	}
}
