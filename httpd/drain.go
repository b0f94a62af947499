package httpd

import (
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// maxDrain and drainTime bound what is still read of a body behind the answer: a
	// client that is busy sending must find the answer before the connection is
	// closed (RFC 9112, 9.6), or, over HTTP/2, the stream reset.
	maxDrain  = 64 << 20
	drainTime = 5 * time.Second
)

// incoming is a request's body that knows how far it was read. It begins with a
// deadline: net/http has none for a body, and waits for it even behind the answer.
type incoming struct {
	io.ReadCloser
	control      *http.ResponseController
	header       http.Header // of the answer
	expects      bool        // the client waits to be asked for the body
	began, ended bool
}

// receive bounds the wait for the body of a request. Who reads a long one extends the
// deadline.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) *incoming {
	in := &incoming{ReadCloser: r.Body, header: w.Header(), control: http.NewResponseController(w), ended: r.ContentLength == 0}
	if in.ended {
		return in
	}
	in.expects = strings.EqualFold(r.Header.Get("Expect"), "100-continue")
	in.deadline(time.Now().Add(s.cfg.Limits.Header))
	// Without this HTTP/1 reads a part of the body before it sends the answer.
	_ = in.control.EnableFullDuplex() // HTTP/2, and a writer of a test, need none
	if r.ProtoMajor == 1 {
		in.header.Set("Connection", "close") // until the body was read
	}
	r.Body = in
	return in
}

func (b *incoming) deadline(t time.Time) {
	_ = b.control.SetReadDeadline(t) // a writer without deadlines, as in tests
}

// Read takes the deadline away at the end: net/http goes on reading, to see whether
// the client hangs up.
func (b *incoming) Read(p []byte) (int, error) {
	b.began = true
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended = true
		b.deadline(time.Time{})
	}
	if err == io.EOF {
		b.header.Del("Connection")
	}
	return n, err
}

// drain sends the answer and reads what the client is still sending.
func (b *incoming) drain() {
	if b.ended {
		return
	}
	b.deadline(time.Now().Add(drainTime))
	if b.expects && !b.began || b.control.Flush() != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, b.ReadCloser, maxDrain) // it is not wanted
}
