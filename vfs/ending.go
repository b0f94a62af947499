package vfs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"bundleup/vfs/bundle"
	"bundleup/vfs/store"
)

// untouched answers a close without a write under a name that has a bundle and
// nothing else: a resume that had nothing to add. It is nil where the stream has
// to be judged.
func (u *Upload) untouched(ctx context.Context) *Receipt {
	if u.flags.Trunc || u.kept != nil {
		return nil
	}
	r, err := u.area.receipt(ctx, u.name)
	if err != nil || r.Verdict != Accepted {
		return nil
	}
	r.Repeated = true
	return r
}

// beginAtClose begins an upload that is closed without a write: what is kept is
// judged again, or else an empty file. With a receipt there is nothing to judge.
func (u *Upload) beginAtClose(ctx context.Context) (*Receipt, error) {
	if r := u.untouched(ctx); r != nil {
		return r, nil
	}
	if u.kept == nil || u.flags.Trunc {
		return nil, u.start()
	}
	err := u.resume()
	if err != nil {
		// What was kept may have become the bundle itself.
		if r := u.untouched(ctx); r != nil {
			return r, nil
		}
	}
	return nil, err
}

// complete judges the whole stream and brings the upload to its end.
func (u *Upload) complete(ctx context.Context) (*Receipt, error) {
	if !u.check.Sound() {
		_, err := u.check.Finish()
		var r *bundle.Rejection
		if errors.As(err, &r) && r.Rule == bundle.RuleTruncated && u.received.Load() > 0 {
			return nil, u.incomplete(ctx, r)
		}
		return nil, u.reject("close", err)
	}
	if err := u.save(ctx); err != nil {
		return nil, u.broken("close", err)
	}
	manifest, err := u.check.Finish()
	if err != nil {
		return nil, u.reject("close", err)
	}
	u.draft.complete(manifest, u.sum.Sum(nil))
	if !isBundleName(u.name) {
		return u.finished()
	}
	u.journal.end()
	return u.publish(ctx)
}

// finished ends an upload that has a temporary name: durable, but only a rename
// makes it a bundle.
func (u *Upload) finished() (*Receipt, error) {
	if err := u.writer.Close(); err != nil {
		return nil, u.broken("close", err)
	}
	r := u.draft.Receipt
	u.end(&r, nil, u.remainder())
	u.view.forgetOutcome(u.name)
	return &r, nil
}

// publish ends an upload under a bundle's name.
func (u *Upload) publish(ctx context.Context) (*Receipt, error) {
	if err := u.affordable(ctx); err != nil {
		return nil, u.broken("close", err)
	}
	u.area.used.seal()
	defer u.area.used.sealed()
	r, err := u.area.publish(ctx, u.writer, u.draft.Receipt, u.draft.ModTime)
	if err != nil {
		return nil, u.broken("close", err)
	}
	if !r.Repeated {
		u.area.tree.visible(u.last)
	}
	u.end(r, nil, nil)
	u.view.published(u.name, r)
	return r, nil
}

// complete writes into the receipt what only the end of the stream tells.
func (d *draft) complete(m *bundle.Manifest, digest []byte) {
	r := &d.Receipt
	r.Verdict, r.SHA256 = Accepted, hex.EncodeToString(digest)
	r.Size, r.Entries, r.Unpacked, r.Members = m.Size, m.Entries, m.Unpacked, m.Members
}

// incomplete ends an upload whose client closed a stream that is not whole.
func (u *Upload) incomplete(ctx context.Context, cause *bundle.Rejection) error {
	if err := u.suspend(ctx, nil, cause); err != nil {
		return err
	}
	text := fmt.Sprintf("%s is incomplete: %s bytes are kept: continue there (reput, put -c) or send it again", u.name, commas(u.saved))
	u.err = u.error(Refused, "close", text, cause)
	u.view.remember(u.name, outcome{err: u.error(NotExist, "stat", text, nil)})
	return u.err
}

// leave suspends an upload that lost its client, or seals it if the stream is
// whole: the client has done its part.
func (u *Upload) leave(ctx context.Context, reason error) error {
	if u.began && u.check.Sound() {
		u.draft.Receipt.CompletedWithoutClose = true
		_, err := u.complete(ctx)
		return err
	}
	return u.suspend(ctx, u.error(Canceled, "write", reason.Error(), nil), nil)
}

// suspend keeps what was received; sticky is what later calls get.
func (u *Upload) suspend(ctx context.Context, sticky *Error, cause error) error {
	if !u.began {
		u.end(nil, orClosed(sticky), u.kept)
		return nil
	}
	var err error
	if u.received.Load() > u.saved {
		err = u.save(ctx)
	}
	if err != nil {
		return u.broken("close", err)
	}
	k := u.remainder()
	if k == nil {
		err = u.writer.Discard(ctx)
	}
	err = errors.Join(err, u.writer.Close())
	u.area.tree.cfg.Events.suspended(u.view.peer, u.upload(), u.saved, cause)
	u.end(nil, orClosed(sticky), k)
	return err
}

func orClosed(e *Error) error {
	if e == nil {
		return &Error{Kind: Canceled, Op: "write", Text: errSuspended.Error()}
	}
	return e
}

// remainder is what stays of the upload: nothing before the first saved state.
func (u *Upload) remainder() *kept {
	if u.saved == 0 {
		return nil
	}
	k := &kept{id: u.id, size: u.saved, saved: u.area.tree.cfg.Now()}
	if t := u.mtime.Load(); t != nil {
		k.mtime = *t
	}
	return k
}

// end makes the upload's end known to later calls and to the area.
func (u *Upload) end(r *Receipt, err error, k *kept) {
	u.receipt, u.err = r, err
	u.check, u.sum, u.journal = nil, nil, nil
	stay := int64(-1)
	switch {
	case k != nil:
		stay = k.size
	case r != nil && !r.Repeated:
		stay = r.Size
	}
	u.area.used.settle(u.charged, stay)
	u.area.release(u, k)
}

// discard forgets the received bytes, and what was kept before them.
func (u *Upload) discard(ctx context.Context, reason error) error {
	id, err := u.id, error(nil)
	switch {
	case u.began:
		err = errors.Join(u.writer.Discard(ctx), u.writer.Close())
	case u.kept != nil:
		id, err = u.kept.id, u.area.forget(ctx, u.kept.id)
	}
	u.id = id
	u.end(nil, u.error(NotExist, "write", reason.Error(), nil), nil)
	u.area.tree.cfg.Events.removed(u.view.peer, u.upload())
	return err
}

// reject ends the upload with a verdict: the bytes go, a receipt stays, and
// every later call gets the same text.
func (u *Upload) reject(op string, cause error) error {
	ctx := context.Background()
	var r *bundle.Rejection
	if !errors.As(cause, &r) {
		return u.broken(op, fmt.Errorf("the check failed without a verdict: %w", cause))
	}
	e := u.error(Refused, op, r.Message(u.name), r)
	u.draft.Receipt.refuse(r, e.Text, u.received.Load())
	u.draft.Receipt.Finished = u.area.tree.cfg.Now().UTC()
	receipt := u.draft.Receipt
	e.Err = errors.Join(e.Err, u.writer.Discard(ctx), u.writer.Close(), u.area.fileRefusal(ctx, &receipt))
	u.end(nil, e, nil)
	u.view.remember(u.name, outcome{err: u.error(NotExist, "stat", e.Text, nil)})
	u.area.tree.cfg.Events.refused(u.view.peer, &receipt)
	return e
}

// broken ends the upload after a failure of the storage. What the last saved
// state covers is kept; a last try is made to keep everything.
func (u *Upload) broken(op string, cause error) error {
	ctx := context.Background()
	if u.received.Load() > u.saved {
		cause = errors.Join(cause, u.save(ctx))
	}
	u.catchUp()
	k := u.remainder()
	cause = errors.Join(cause, u.writer.Close())
	if k != nil && u.area.hasEnded(ctx, k.id) {
		k = nil
	}
	e := u.failed(op, cause, u.saved)
	u.area.tree.cfg.Events.suspended(u.view.peer, u.upload(), u.saved, cause)
	u.end(nil, e, k)
	u.view.remember(u.name, outcome{err: u.error(NotExist, "stat", e.Text, nil)})
	return e
}

// hasEnded reports an upload that is not there any more: its seal failed after it
// had taken effect, or was completed by this. The same bytes sent again then get
// its receipt.
func (a *area) hasEnded(ctx context.Context, id store.ID) bool {
	w, _, _, err := a.tree.store.Resume(ctx, id)
	if err == nil {
		w.Close()
	}
	return errors.Is(err, fs.ErrNotExist)
}

// failed words a failure of the storage for the peer.
func (u *Upload) failed(op string, cause error, keptBytes int64) *Error {
	if e := (*Error)(nil); errors.As(cause, &e) {
		return e
	}
	if errors.Is(cause, store.ErrFull) {
		return u.error(Full, op, fmt.Sprintf("the server's disk is full: nothing was lost, %s bytes of %s are kept: try again later", commas(keptBytes), u.name), cause)
	}
	if errors.Is(cause, store.ErrUnavailable) {
		return u.error(Internal, op, fmt.Sprintf("the server's storage is not answering: nothing was lost, %s bytes of %s are kept: try again later", commas(keptBytes), u.name), cause)
	}
	if errors.Is(cause, store.ErrBusy) {
		return u.error(Refused, op, fmt.Sprintf("%s is still being sent through another server: nothing was lost, %s bytes are kept: try again in a minute", u.name, commas(keptBytes)), cause)
	}
	return u.error(Internal, op, fmt.Sprintf("the server's storage failed: nothing was lost, %s bytes of %s are kept: try again later", commas(keptBytes), u.name), cause)
}

// yieldTo ends this upload in favour of a newer open by the account: a client
// that comes back has lost its old connection, whatever the server thinks. An
// upload of another account stays.
func (u *Upload) yieldTo(ctx context.Context, account, name string) error {
	if u.account.Name != account {
		return u.error(Refused, "open", fmt.Sprintf("%s is being sent by %s since %s: wait for its end or choose another name",
			name, u.account.Name, u.since.UTC().Format("2006-01-02 15:04:05 UTC")), nil)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.receipt != nil || u.err != nil {
		u.area.release(u, nil)
		return nil
	}
	return u.leave(context.WithoutCancel(ctx), fmt.Errorf("%s was opened again: this transfer has ended", name))
}

// removeBy ends this upload because the account removed its name.
func (u *Upload) removeBy(ctx context.Context, account string) error {
	if u.account.Name != account {
		return u.error(Refused, "remove", fmt.Sprintf("%s is being sent by %s: it cannot be removed now", u.name, u.account.Name), nil)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.receipt != nil || u.err != nil {
		return missing("remove", u.name)
	}
	if err := u.discard(ctx, errDiscarded); err != nil {
		return internal("remove", u.name, err)
	}
	return nil
}
