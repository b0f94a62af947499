package vfs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"bundleup/auth"
	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// Upload is one bundle on its way in. Its methods are safe for concurrent use,
// and after a newer open of the name took over every method fails with the
// reason. It ends with exactly one of Commit, Suspend and Discard.
type Upload struct {
	view    *customer
	area    *area
	account *auth.Account
	name    string // within the area
	flags   Flags
	since   time.Time

	received atomic.Int64 // where the next write lands
	mtime    atomic.Pointer[time.Time]

	mu      sync.Mutex // guards all below; see area for the lock order
	kept    *kept      // what an earlier try left, until Begin decides about it
	began   bool
	id      store.ID
	writer  store.Writer
	check   *bundle.Check
	journal *recording
	sum     hash.Hash
	draft   draft
	saved   int64     // bytes covered by the last saved state
	noted   int64     // bytes covered by the last one that was given to be saved
	last    time.Time // when the last byte came
	charged int64     // bytes counted against the quota
	twin    int64     // size of the bundle that this one must equal; see area.afford
	receipt *Receipt
	err     error // sticky: how it ended, where not by a receipt
}

// Begin says at which offset the first write lands: 0 starts anew and replaces
// what was kept, Kept continues behind it; anything else is refused with the
// kept size in the text. Without Begin the first write lands at 0. Only the
// first call counts.
func (u *Upload) Begin(off int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.begin(off)
}

// Kept is how many bytes of an earlier try are kept and can be continued.
func (u *Upload) Kept() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.kept == nil {
		return 0
	}
	return u.kept.size
}

// Offset is where the next write lands: the bytes received so far.
func (u *Upload) Offset() int64 { return u.received.Load() }

// Entries is how many entries of the archive were found sound so far.
func (u *Upload) Entries() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.check == nil {
		return 0
	}
	return u.check.Progress().Entries
}

// Touch keeps the modification time for the published bundle.
func (u *Upload) Touch(mtime time.Time) { u.mtime.Store(&mtime) }

// Info describes the upload as Stat does: its name, the bytes received, now.
func (u *Upload) Info() *Info {
	i := &Info{name: path.Base(u.name), size: u.received.Load(), mode: modeUpload, time: u.since}
	if t := u.mtime.Load(); t != nil {
		i.time = *t
	}
	return i
}

// Write stores and checks the next bytes, in order. A rejection is sticky: this
// and every later call fail with the same error.
func (u *Upload) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.begin(0); err != nil {
		return 0, err
	}
	if err := u.charge(int64(len(p))); err != nil {
		return 0, u.broken("write", err)
	}
	// The store goes first: when it takes less than p, the check has seen
	// what was stored and nothing else, and the upload can be resumed there.
	t := u.area.tree
	start := t.cfg.Now()
	u.last = start
	n, err := u.writer.Write(p)
	t.observe("write", start, err)
	judged := t.cfg.Now()
	rejected := u.judge(p[:n])
	t.checked(judged)
	if rejected != nil {
		return 0, u.reject("write", rejected)
	}
	u.journal.drain()
	u.received.Add(int64(n))
	t.count.received.Add(int64(n))
	if err == nil {
		err = u.checkpoint()
	}
	if err != nil {
		return n, u.broken("write", err)
	}
	return n, nil
}

// Commit ends the upload at the client's close: it is sound and durable with a
// receipt, or the error says what it is. Again, it gives the same answer.
func (u *Upload) Commit(ctx context.Context) (*Receipt, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.receipt != nil || u.err != nil {
		return u.receipt, u.err
	}
	ctx = context.WithoutCancel(ctx)
	if !u.began {
		if r, err := u.beginAtClose(ctx); r != nil || err != nil {
			u.end(r, err, u.kept)
			return r, err
		}
	}
	return u.complete(ctx)
}

// Suspend ends it at a lost connection: what was received is kept for resume. A
// stream that is whole and sound is sealed all the same.
func (u *Upload) Suspend(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.receipt != nil || u.err != nil {
		return nil
	}
	return u.leave(context.WithoutCancel(ctx), errSuspended)
}

// Discard forgets the bytes, as after a client's own abort.
func (u *Upload) Discard(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.receipt != nil || u.err != nil {
		return nil
	}
	return u.discard(context.WithoutCancel(ctx), errDiscarded)
}

var (
	errSuspended = errors.New("the upload was suspended")
	errDiscarded = errors.New("the upload was removed")
)

// begin decides at the first offset whether the upload starts anew or goes on.
func (u *Upload) begin(off int64) error {
	if u.err != nil {
		return u.err
	}
	if u.receipt != nil {
		return u.error(Refused, "write", "the upload is closed: open it anew", nil)
	}
	if u.began {
		return nil
	}
	size := int64(0)
	if u.kept != nil {
		size = u.kept.size
	}
	switch {
	case off == 0 && u.flags.Append && size > 0:
		return u.misplaced(off, size)
	case off == 0:
		return u.start()
	case off == size && !u.flags.Trunc:
		return u.resume()
	}
	return u.misplaced(off, size)
}

// misplaced refuses a first write that neither starts anew nor continues.
func (u *Upload) misplaced(off, size int64) error {
	text := fmt.Sprintf("a write at byte %s cannot start %s: nothing of it is kept: send it from the start", commas(off), u.name)
	if size > 0 {
		text = fmt.Sprintf("a write at byte %s does not continue %s: %s bytes are kept: continue there or send it from the start", commas(off), u.name, commas(size))
	}
	return u.error(Refused, "write", text, nil)
}

// start begins at byte 0 and forgets what was kept.
func (u *Upload) start() error {
	ctx := context.Background()
	if u.kept != nil {
		if err := u.area.forget(ctx, u.kept.id); err != nil {
			return u.failed("write", err, 0)
		}
		u.area.used.release(u.charged)
		u.kept, u.charged = nil, 0
		u.area.tree.continued(StartedAnew)
	}
	t := u.area.tree
	u.id = store.NewID(u.since)
	w, err := t.store.Create(ctx, u.id, u.area.key(u.name))
	if err != nil {
		return u.failed("open", err, 0)
	}
	u.writer, u.check, u.sum, u.began = w, u.area.tree.newCheck(u.view.limits()), sha256.New(), true
	u.journal = record(w, u.check)
	u.aim()
	u.received.Store(0)
	u.draft.Receipt = Receipt{
		ID: string(u.id), Name: u.name, Tenant: string(u.area.tenant), Account: u.account.Name,
		Started: u.since.UTC(), Client: u.view.peer.Client, Protocol: u.view.peer.Protocol,
	}
	t.cfg.Events.opened(u.view.peer, u.upload())
	return nil
}

// resume continues behind what was kept.
func (u *Upload) resume() error {
	ctx := context.Background()
	t := u.area.tree
	w, state, off, err := t.store.Resume(ctx, u.kept.id)
	if err == nil {
		u.check = u.area.tree.newCheck(u.view.limits())
		var d *draft
		if d, u.sum, err = decodeState(state, u.check); err == nil {
			u.draft = *d
			u.journal = record(w, u.check)
		} else {
			w.Close()
			err = fmt.Errorf("%w: %w", store.ErrState, err)
		}
	}
	if errors.Is(err, store.ErrState) {
		w, off, err = u.recheck(ctx)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return u.gone(err)
	}
	if err != nil {
		return u.failed("open", err, u.kept.size)
	}
	u.writer, u.id, u.began, u.saved = w, u.kept.id, true, off
	u.aim()
	u.received.Store(off)
	u.draft.Receipt.Resumes++
	if u.mtime.Load() == nil && !u.draft.ModTime.IsZero() {
		u.mtime.Store(&u.draft.ModTime)
	}
	if size := u.kept.size; off != size {
		u.kept.size = off
		return u.broken("write", fmt.Errorf("resume upload %s: %d bytes are kept, not %d", u.id, off, size))
	}
	t.continued(ContinuedBehind)
	t.cfg.Events.resumed(u.view.peer, u.upload(), off)
	return nil
}

// recheck goes through the kept bytes again, where their saved state is of no
// use.
func (u *Upload) recheck(ctx context.Context) (store.Writer, int64, error) {
	t := u.area.tree
	w, r, size, err := t.store.Recover(ctx, u.kept.id)
	if errors.Is(err, store.ErrState) {
		err = u.unreadable(ctx, err)
	}
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	u.check, u.sum = u.area.tree.newCheck(u.view.limits()), sha256.New()
	u.journal = record(w, u.check)
	u.draft.Receipt = Receipt{
		ID: string(u.kept.id), Name: u.name, Tenant: string(u.area.tenant), Account: u.account.Name,
		Started: u.kept.saved.UTC(), Client: u.view.peer.Client, Protocol: u.view.peer.Protocol,
	}
	n, err := io.Copy(io.MultiWriter(u.check, u.journal, u.sum), r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	rejected := (*bundle.Rejection)(nil)
	switch {
	case err == nil:
		return w, size, nil
	case errors.As(err, &rejected):
		// What was sound when it came is not any more. The next start has to be
		// from 0, whatever the client does.
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, errors.Join(err, w.Discard(ctx)))
	}
	w.Close()
	return nil, 0, fmt.Errorf("check kept bytes of upload %s: %w", u.kept.id, err)
}

// gone tells that nothing is kept any more, against what was said before: the
// bytes were damaged, or an earlier seal was completed meanwhile.
func (u *Upload) gone(cause error) error {
	u.area.tree.continued(KeptLost)
	u.area.used.release(u.charged)
	u.kept, u.charged = nil, 0
	u.received.Store(0)
	return u.error(Refused, "write", fmt.Sprintf("what was kept of %s is gone: send it from the start", u.name), cause)
}

// save makes what was received durable, with the state to go on from there.
func (u *Upload) save(ctx context.Context) error {
	state, err := u.state()
	if err != nil {
		return err
	}
	start := u.area.tree.cfg.Now()
	err = u.writer.Save(ctx, state)
	u.area.tree.observe("save", start, err)
	if err != nil {
		return err
	}
	u.saved = u.received.Load()
	return nil
}

// state is what it takes to go on from here.
func (u *Upload) state() ([]byte, error) {
	if t := u.mtime.Load(); t != nil {
		u.draft.ModTime = *t
	}
	u.journal.drain()
	return encodeState(&u.draft, u.sum, u.check)
}

// upload names this upload for events.
func (u *Upload) upload() UploadID {
	return UploadID{ID: string(u.id), Tenant: string(u.area.tenant), Account: u.account.Name, Name: u.name}
}

// error makes the error of an operation on this upload.
func (u *Upload) error(k Kind, op, text string, cause error) *Error {
	return &Error{Kind: k, Op: op, Name: u.name, Text: text, Err: cause}
}
