package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"bundleup/auth"
	"bundleup/vfs/store"
)

// reserveEvery is how many received bytes of one upload may pass between two
// looks at the free space.
const reserveEvery = 16 << 20

// recountEvery is how old a count may be when an upload is let in, where other
// processes write to the store too; countShare bounds which part of the time goes
// into counting, as its inverse.
const (
	recountEvery = time.Minute
	countShare   = 20
)

// ledger counts what a tenant's area holds against the tenant's quota. An
// unfinished upload counts from its first byte. It is counted once from the
// store, when a quota is first asked about, and kept up to date from then on; where
// other processes write to the store, from time to time anew.
type ledger struct {
	mu      sync.Mutex // guards all below; a leaf, but that counting lists the store
	counted bool
	due     time.Time // when a count is too old, where others write to the store too
	sealing int       // uploads that turn into bundles at this moment
	rest    holding   // bundles and suspended uploads; nothing before counted
	live    holding   // running uploads
	day     int64     // which UTC day received belongs to, since the epoch
	today   int64     // bytes that came on that day
}

// holding is how much of what a quota bounds.
type holding struct{ bytes, files int64 }

func (h *holding) add(bytes, files int64) {
	h.bytes += bytes
	h.files += files
}

// begin counts a running upload that starts with kept bytes of an earlier one.
func (l *ledger) begin(k *kept) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.add(0, 1)
	if k != nil {
		l.live.add(k.size, 0)
		l.drop(k.size)
	}
}

// release takes back what a running upload was charged with: it starts anew.
func (l *ledger) release(charged int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.add(-charged, 0)
}

// settle ends a running upload that was charged with so many bytes: stay of them
// remain, as a bundle or as a suspended upload, or nothing where stay is negative.
func (l *ledger) settle(charged, stay int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live.add(-charged, -1)
	if l.counted && stay >= 0 {
		l.rest.add(stay, 1)
	}
}

// gone takes a bundle or a suspended upload off the count.
func (l *ledger) gone(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(size)
}

// drop is gone under the lock.
func (l *ledger) drop(size int64) {
	if l.counted {
		l.rest.add(-size, -1)
	}
}

// seal begins the time, until sealed, in which an upload may be in the store as a
// bundle and is still counted as running: a count then would have it twice.
func (l *ledger) seal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealing++
}

func (l *ledger) sealed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealing--
}

// age forgets a count that is too old, so that the next question counts anew.
func (l *ledger) age(now time.Time) {
	if l.sealing == 0 && !now.Before(l.due) {
		l.counted = false
	}
}

// recount makes the next question count the store anew: another process may have
// written to it. It does nothing while uploads run.
func (l *ledger) recount() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live.files == 0 {
		l.counted, l.rest = false, holding{}
	}
}

// terms is what was agreed with the area's tenant.
func (a *area) terms() auth.TenantInfo {
	if a.tree.cfg.Terms == nil {
		return auth.TenantInfo{Name: a.tenant}
	}
	return a.tree.cfg.Terms(a.tenant)
}

// room reports, as an *Error, why the tenant may not send under the name, which
// needs so many bytes and files more. Where others write to the store as well it looks
// again at what is there, at most once in recountEvery.
func (a *area) room(ctx context.Context, name string, bytes, files int64) error {
	a.used.mu.Lock()
	defer a.used.mu.Unlock()
	if a.finder() != nil {
		a.used.age(a.tree.cfg.Now())
	}
	return a.over(ctx, "open", name, bytes, files)
}

// charge counts n more bytes of a running upload, or reports, as an *Error, why
// the tenant may not send them.
func (a *area) charge(ctx context.Context, name string, n int64) error {
	a.used.mu.Lock()
	defer a.used.mu.Unlock()
	if err := a.over(ctx, "write", name, n, 0); err != nil {
		return err
	}
	a.accept(n)
	return nil
}

// excuse counts n more bytes that no quota is asked about.
func (a *area) excuse(n int64) {
	a.used.mu.Lock()
	defer a.used.mu.Unlock()
	a.accept(n)
}

// accept counts n bytes, under the lock. Those of the day count whatever becomes
// of them.
func (a *area) accept(n int64) {
	a.turnDay()
	a.used.live.add(n, 0)
	a.used.today += n
}

// over holds what the tenant has, and bytes and files more, against its quota.
// The ledger is locked.
func (a *area) over(ctx context.Context, op, name string, bytes, files int64) error {
	if !a.isBounded() {
		return nil
	}
	terms := a.terms()
	if err := a.count(ctx); err != nil {
		return internal(op, name, fmt.Errorf("count what tenant %s keeps: %w", a.tenant, err))
	}
	l := &a.used
	text := ""
	switch more := max(bytes, 1); {
	case terms.Quota > 0 && l.rest.bytes+l.live.bytes+more > terms.Quota:
		text = fmt.Sprintf("the quota of %s is used up: it may keep %s bytes: nothing was lost: ask support for room, then continue", a.tenant, commas(terms.Quota))
	case terms.QuotaFiles > 0 && l.rest.files+l.live.files+files > terms.QuotaFiles:
		text = fmt.Sprintf("the quota of %s is used up: it may keep %s bundles, unfinished ones included: ask support for room", a.tenant, commas(terms.QuotaFiles))
	case terms.QuotaDaily > 0 && l.today+more > terms.QuotaDaily:
		text = fmt.Sprintf("%s has sent what it may send in a day, %s bytes: nothing was lost: continue after midnight UTC", a.tenant, commas(terms.QuotaDaily))
	default:
		return nil
	}
	return &Error{Kind: Full, Op: op, Name: name, Text: text}
}

// afford reports whether the tenant may send under the name now. Who sends a
// bundle again that was accepted may do so in any case, for its answer may have
// been lost: twin is that bundle's size then.
func (a *area) afford(ctx context.Context, name string) (twin int64, err error) {
	if err := a.tree.reserved(ctx, "open", name); err != nil {
		return 0, err
	}
	files := int64(1)
	if _, ok := a.info(name); ok {
		files = 0
	}
	if err = a.room(ctx, name, 0, files); err == nil && !a.isBounded() {
		return 0, nil
	}
	r, rerr := a.receipt(ctx, name)
	if rerr != nil || r.Verdict != Accepted {
		return 0, err
	}
	// Where there is room for the first bytes and not for the last, too.
	if a.room(ctx, name, r.Size, files) != nil {
		return r.Size, nil
	}
	return 0, nil
}

// isBounded says that the tenant has a quota.
func (a *area) isBounded() bool {
	terms := a.terms()
	return terms.Quota > 0 || terms.QuotaFiles > 0 || terms.QuotaDaily > 0
}

// charge counts n bytes that are about to be stored.
func (u *Upload) charge(n int64) error {
	ctx := context.Background()
	if off := u.received.Load(); off/reserveEvery != (off+n)/reserveEvery {
		if err := u.area.tree.reserved(ctx, "write", u.name); err != nil {
			return err
		}
	}
	if u.charged+n <= u.twin {
		u.area.excuse(n)
	} else if err := u.area.charge(ctx, u.name, n); err != nil {
		return err
	}
	u.charged += n
	return nil
}

// affordable reports why an upload that was let in beyond the quota cannot be
// published: it is not the bundle that it was taken for.
func (u *Upload) affordable(ctx context.Context) error {
	r := u.draft.Receipt
	r.StoredAs = u.name
	if u.twin == 0 || u.area.same(ctx, &r) != nil {
		return nil
	}
	return u.area.room(ctx, u.name, 0, 0)
}

// turnDay starts the daily count anew at midnight UTC.
func (a *area) turnDay() {
	if day := a.today().Unix() / secondsPerDay; day != a.used.day {
		a.used.day, a.used.today = day, 0
	}
}

const secondsPerDay = 24 * 60 * 60

// today is when the UTC day began.
func (a *area) today() time.Time { return a.tree.cfg.Now().UTC().Truncate(secondsPerDay * time.Second) }

// count fills the ledger from the store, once. Of the day before a restart it
// knows what was accepted or kept, not what was refused.
func (a *area) count(ctx context.Context) error {
	l := &a.used
	a.turnDay()
	if l.counted {
		return nil
	}
	var rest holding
	start, today := a.tree.cfg.Now(), a.today()
	var sent int64
	a.mu.Lock()
	for _, e := range a.names {
		if e.kept == nil || e.live != nil {
			continue
		}
		rest.add(e.kept.size, 1)
		if !e.kept.saved.Before(today) {
			sent += e.kept.size
		}
	}
	a.mu.Unlock()
	err := a.walk(ctx, "", func(i store.Info) error {
		rest.add(i.Size, 1)
		return nil
	})
	if err == nil {
		sent, err = a.acceptedSince(ctx, a.key(""), today, sent)
	}
	if err != nil {
		return err
	}
	l.rest, l.counted = rest, true
	now := a.tree.cfg.Now()
	l.due = now.Add(max(recountEvery, countShare*now.Sub(start)))
	l.today = max(l.today, sent)
	return nil
}

// walk calls f for every bundle below dir.
func (a *area) walk(ctx context.Context, dir string, f func(store.Info) error) error {
	for i, err := range a.tree.store.List(ctx, a.key(dir)) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if i.Dir {
			err = a.walk(ctx, a.rel(i.Key), f)
		} else {
			err = f(i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// acceptedSince adds to sum the bytes of the bundles whose receipts were filed
// since t.
func (a *area) acceptedSince(ctx context.Context, dir store.Key, t time.Time, sum int64) (int64, error) {
	for i, err := range a.tree.store.Records(ctx, dir) {
		if err != nil {
			return sum, err
		}
		if filed, ok := i.Docs[acceptedDoc]; ok && !filed.Before(t) {
			r, err := a.receipt(ctx, a.rel(i.Key))
			if err != nil {
				return sum, err
			}
			sum += r.Size
		}
		if i.Dir {
			if sum, err = a.acceptedSince(ctx, i.Key, t, sum); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

// reserved reports, as an *Error, that the medium has less free than the reserve.
func (t *Tree) reserved(ctx context.Context, op, name string) error {
	s, ok := t.cfg.Store.(store.Spacer)
	if !ok || t.cfg.Reserve == 0 {
		return nil
	}
	free, err := s.Free(ctx)
	if err != nil {
		return internal(op, name, err)
	}
	if free < uint64(t.cfg.Reserve) {
		return &Error{Kind: Full, Op: op, Name: name,
			Text: "the server's disk is nearly full: nothing was lost: try again later",
			Err:  fmt.Errorf("%d bytes are free, %d are reserved", free, t.cfg.Reserve)}
	}
	return nil
}
