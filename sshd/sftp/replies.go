package sftp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errReplies is a server that breaks its promise of one reply per request, in
// their order.
var errReplies = errors.New("write sftp reply: internal error: it answers no request at hand")

// Write passes on the server's replies and admits the next request after each.
// The server writes a reply's head with one call and its data with another.
func (f *frames) Write(p []byte) (int, error) {
	if err := f.over(); err != nil {
		return 0, err
	}
	if f.left == 0 {
		if err := f.startReply(p); err != nil {
			f.stop(err)
			return 0, err
		}
	}
	if len(p) > f.left {
		f.stop(errReplies)
		return 0, errReplies
	}
	n, err := f.ch.Write(p)
	if err != nil {
		err = fmt.Errorf("write sftp reply: %w", err)
		f.stop(err)
		return n, err
	}
	if f.left -= n; f.left == 0 {
		f.answered()
	}
	return n, nil
}

func (f *frames) over() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// startReply reads the head of a reply and holds it against the oldest request.
func (f *frames) startReply(p []byte) error {
	if len(p) < 9 {
		return errReplies
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 || f.queue[0].id != binary.BigEndian.Uint32(p[5:]) {
		return errReplies
	}
	f.left = 4 + int(binary.BigEndian.Uint32(p))
	f.opened = ""
	if p[4] == typeHandle {
		c := cursor{b: p[9:]}
		f.opened = c.string()
	}
	return nil
}

// answered takes the oldest request as done, and the handle that it made or
// closed with it.
func (f *frames) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.queue[0]
	f.queue = append(f.queue[:0], f.queue[1:]...)
	f.asked -= r.size
	switch {
	case r.opens != useNone && f.opened != "":
		h := handle{use: r.opens}
		if h.use == useWrite {
			h.to = f.made()
		}
		f.handles[f.opened] = h
	case r.kind == typeClose:
		delete(f.handles, r.handle)
	}
	f.changed.Broadcast()
}
