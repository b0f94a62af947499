package sftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Bounds on the READs that are with the server at once. They need no order, so
// several may be: of 32 KiB each, 16 read 1.4 times as fast as one. What they
// ask for is what they cost.
const (
	maxReads     = 16
	maxReadBytes = 2 << 20
)

// errGaveUp is a packet that the server could not read: one that the filter
// should have kept from it.
var errGaveUp = errors.New("serve sftp: internal error: the server gave up on a packet")

// frames stands between the channel and the RequestServer, as the server's
// connection. Read hands it one request at a time, the next one when the reply
// to the last was written; only READs go beside each other. So handlers need no
// locks, and the server holds two packets at most: the one at work and the one
// read ahead. Requests that are malformed, do not fit their handle or belong to
// extensions that the server lacks are answered here, while the server has
// nothing to say: between two replies of its own. So are WRITEs, see store.
//
// Read is called by the server's reading goroutine, Write by its writing one.
type frames struct {
	ch         io.ReadWriteCloser
	maxHandles int
	made       func() io.WriterAt // what the last OPEN for writing made

	// The reading side's.
	in    lookahead
	begun bool   // INIT was seen
	rest  int    // bytes of the packet at hand that the server still lacks
	ended bool   // the server was told that this is the end, see rests
	data  []byte // for a piece of a WRITE; made for the first

	// The writing side's.
	left   int    // bytes of the server's reply still to come
	opened string // the handle in that reply, if it is one

	mu      sync.Mutex // guards all below
	changed sync.Cond
	queue   []request // with the server and unanswered, in order
	asked   int       // bytes that the READs among them ask for
	handles map[string]handle
	err     error // why it is over; io.EOF is the client's own end
}

// handle is what an OPEN or OPENDIR gave the client.
type handle struct {
	use use
	to  io.WriterAt // where WRITEs go, for useWrite
}

func newFrames(ch io.ReadWriteCloser, maxHandles int, made func() io.WriterAt) *frames {
	f := &frames{
		ch:         ch,
		maxHandles: maxHandles,
		made:       made,
		in:         lookahead{from: ch},
		handles:    make(map[string]handle),
	}
	f.changed.L = &f.mu
	return f
}

// stop ends both directions for the server; the first reason stays.
func (f *frames) stop(reason error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = reason
	}
	f.changed.Broadcast()
}

// end is what Serve returns after the server ended with err.
func (f *frames) end(err error) error {
	f.stop(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || f.err == io.EOF {
		return nil
	}
	return f.err
}

// Close is called by the server where it gives up. The channel stays open: it
// is the caller's.
func (f *frames) Close() error {
	f.stop(errGaveUp)
	return nil
}

// begin answers what comes before the first request for a server, which Read
// gives then.
func (f *frames) begin() error {
	f.ended = false
	err := f.next()
	if err != nil {
		f.stop(err)
	}
	return err
}

// Read gives the server the bytes of admitted requests.
func (f *frames) Read(p []byte) (int, error) {
	if f.rest == 0 && f.rests() {
		f.ended = true
		return 0, io.EOF
	}
	n, err := f.read(p)
	if err != nil {
		f.stop(err)
	}
	return n, err
}

func (f *frames) read(p []byte) (int, error) {
	if f.rest == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n, err := f.in.Read(p[:min(len(p), f.rest)])
	f.rest -= n
	if err != nil {
		return n, broken(err)
	}
	return n, nil
}

// rests says that the server knows nothing that the next could not do without: no
// handle is open, every request is answered, and none has come. A client may wait
// like that for hours, and a server takes 11 goroutines.
func (f *frames) rests() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil && !f.idle() && f.queue[0].kind != typeRead {
		f.changed.Wait()
	}
	if f.err != nil || !f.idle() || len(f.handles) > 0 || f.in.begun() {
		return false
	}
	f.data = nil
	return true
}

// broken is a channel that ends within a packet.
func broken(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read sftp packet: %w", err)
}

// next finds the next packet for the server and answers those before it that
// are not for the server.
func (f *frames) next() error {
	for {
		r, length, refusal, err := f.look()
		if err != nil {
			return err
		}
		reply, err := f.judge(r, refusal)
		switch {
		case err != nil:
			return err
		case reply != nil:
			err = f.in.Discard(4 + length)
		case r.kind == typeWrite:
			reply, err = f.store(r, length)
		default:
			f.rest = 4 + length
			return f.admit(r)
		}
		if err != nil {
			return broken(err)
		}
		if err := f.answer(reply); err != nil {
			return err
		}
	}
}

// look reads ahead to the next packet's fields. An error is one that no reply
// can be made to.
func (f *frames) look() (r request, length int, refusal *status, err error) {
	head, err := f.in.Peek(4)
	if err == io.EOF && len(head) == 0 {
		return r, 0, nil, f.drained()
	}
	if err != nil {
		return r, 0, nil, broken(err)
	}
	length = int(min(binary.BigEndian.Uint32(head), maxFrame+1))
	if length < 5 || length > maxFrame {
		return r, 0, nil, fmt.Errorf("read sftp packet: a length of %d is not allowed", binary.BigEndian.Uint32(head))
	}
	if head, err = f.in.Peek(min(4+length, writeHead)); err != nil {
		return r, 0, nil, broken(err)
	}
	if kind := head[4]; kind != typeWrite && length > maxSmall {
		return request{kind: kind, id: binary.BigEndian.Uint32(head[5:])}, length, statusTooLong, nil
	} else if kind != typeWrite {
		if head, err = f.in.Peek(4 + length); err != nil {
			return r, 0, nil, broken(err)
		}
	}
	r, ok := parse(head[4:], length)
	if !ok {
		refusal = statusMalformed
	}
	return r, length, refusal, nil
}

// drained is the client's end, after the last reply was written.
func (f *frames) drained() error {
	if err := f.wait(f.idle); err != nil {
		return err
	}
	return io.EOF
}

// judge waits for r's turn, because what may be done with a handle hangs on what
// was answered before. It gives the reply to a request that is not for the
// server, or nil.
func (f *frames) judge(r request, refusal *status) ([]byte, error) {
	if err := f.wait(func() bool { return f.turn(r) }); err != nil {
		return nil, err
	}
	if r.kind == typeInit {
		f.begun = true
		return version(), nil
	}
	if !f.begun {
		return nil, fmt.Errorf("read sftp packet: type %d came before INIT", r.kind)
	}
	if refusal == nil {
		refusal = f.fits(r)
	}
	switch {
	case refusal != nil:
		return refusal.frame(r.id), nil
	case r.ext == extLimits:
		return limits(r.id, f.maxHandles), nil
	case r.ext == extFsync:
		// What is received becomes durable at CLOSE, which waits for it.
		return statusOK.frame(r.id), nil
	}
	return nil, nil
}

// fits reports why the server must not see r.
func (f *frames) fits(r request) *status {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.kind {
	case typeOpen, typeOpendir:
		return f.canOpen(r)
	case typeClose, typeFstat, typeFsetstat:
		return f.handleFor(r, useRead, useWrite, useDir)
	case typeRead:
		return f.handleFor(r, useRead)
	case typeWrite:
		return f.handleFor(r, useWrite)
	case typeReaddir:
		return f.handleFor(r, useDir)
	case typeExtended:
		switch r.ext {
		case extFsync:
			return f.handleFor(r, useWrite, useRead)
		case extRename, extLimits:
			return nil
		}
	case typeLstat, typeStat, typeSetstat, typeRemove, typeMkdir, typeRmdir, typeRealpath, typeRename, typeReadlink:
		return nil
	}
	return statusUnsupported
}

func (f *frames) canOpen(r request) *status {
	switch {
	case r.opens == useNone:
		return statusNoMode
	case r.opens == useWrite && r.toDir:
		return statusNoDir
	case len(f.handles) >= f.maxHandles:
		return statusTooMany
	}
	return nil
}

// handleFor checks the handle and, for READ and WRITE, that the end of the
// range is a file offset: the server takes it for signed.
func (f *frames) handleFor(r request, uses ...use) *status {
	have := f.handles[r.handle].use
	if have == useNone {
		return statusUnknownHandle
	}
	if r.offset > maxOffset {
		return statusOffset
	}
	for _, u := range uses {
		if u == have {
			return nil
		}
	}
	return statusWrongHandle
}

// The following three want f.mu held.

func (f *frames) idle() bool { return len(f.queue) == 0 }

func (f *frames) canRead(size int) bool {
	return f.idle() || f.queue[0].kind == typeRead && len(f.queue) < maxReads && f.asked+size <= maxReadBytes
}

func (f *frames) turn(r request) bool {
	if r.kind == typeRead {
		return f.canRead(r.size)
	}
	return f.idle()
}

// wait blocks until ready says so or the channel is done.
func (f *frames) wait(ready func() bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil && !ready() {
		f.changed.Wait()
	}
	return f.err
}

// admit counts r as being with the server, as soon as it may be.
func (f *frames) admit(r request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil && !f.turn(r) {
		f.changed.Wait()
	}
	f.queue = append(f.queue, r)
	f.asked += r.size
	return f.err
}

// answer writes a reply of the filter's own.
func (f *frames) answer(reply []byte) error {
	if err := f.wait(f.idle); err != nil {
		return err
	}
	if _, err := f.ch.Write(reply); err != nil {
		return fmt.Errorf("write sftp reply: %w", err)
	}
	return nil
}
