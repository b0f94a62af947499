package httpd

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// body is a request's body, whoever reads it: a handler, or the server that gets
// rid of the rest.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time     // of the whole body; zero: the peer has logged in
	stall   time.Duration // between two pieces, after the login
}

// hold gives a peer that has proven nothing so long for all of the body. Where
// there is none there is no deadline either, for its end would end the answer.
func hold(w http.ResponseWriter, r *http.Request, all time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	b := &body{ReadCloser: r.Body, control: http.NewResponseController(w), end: time.Now().Add(all)}
	_ = b.until(b.end) // the first read meets what is wrong
	r.Body = b
}

// trust gives a peer that has logged in so long for every piece of it instead.
func (b *body) trust(stall time.Duration) {
	if b != nil {
		b.end, b.stall = time.Time{}, stall
		_ = b.until(time.Now().Add(stall)) // as in hold
	}
}

// hurry gives it so long for all of the rest again.
func (b *body) hurry(rest time.Duration) error {
	if b == nil {
		return nil
	}
	b.end = time.Now().Add(rest)
	return b.until(b.end)
}

// until sets the deadline; zero is none. A writer without deadlines, as in tests,
// has none.
func (b *body) until(end time.Time) error {
	if err := b.control.SetReadDeadline(end); !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// Read extends the deadline first, and takes it away at the end.
func (b *body) Read(p []byte) (int, error) {
	if b.end.IsZero() {
		if err := b.until(time.Now().Add(b.stall)); err != nil {
			return 0, err
		}
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.until(time.Time{}) // the connection is gone, which its next use meets
	}
	return n, err
}
