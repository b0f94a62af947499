package disk

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bundleup/vfs/store"
)

// must is a test's hold on a Store over a crashFS.
type must struct {
	*testing.T
	*Store
	f   *crashFS
	ids int64
}

func newMust(t *testing.T) *must {
	m := &must{T: t, f: newCrashFS()}
	m.reopen()
	return m
}

func (m *must) reopen() {
	m.Helper()
	s, err := open(m.f, Options{})
	m.ok(err)
	m.Store = s
}

func (m *must) ok(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *must) create(name store.Key, data string) (store.ID, *writer) {
	m.Helper()
	m.ids++
	id := store.NewID(time.UnixMilli(m.ids))
	w, err := m.Store.Create(ctx, id, name)
	m.ok(err)
	_, err = w.Write([]byte(data))
	m.ok(err)
	return id, w.(*writer)
}

// failOn fails operations on names that contain part, n times.
func (m *must) failOn(op, part string, n int, cause error) {
	m.f.fault = func(_ int, o, name string) (error, error) {
		if o == op && strings.Contains(name, part) && n > 0 {
			n--
			return cause, nil
		}
		return nil, nil
	}
}

// dir is the names in a directory of the layer, nil if it is missing.
func (m *must) dir(name string) []string {
	entries, err := m.f.ReadDir(name)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

func docs(names ...string) store.Meta {
	meta := store.Meta{Docs: map[string][]byte{}}
	for _, n := range names {
		meta.Docs[n] = []byte(n)
	}
	return meta
}

// TestVisibleOnlyWhenDurable looks at the key before every step of a seal:
// whoever sees the object would see it after a crash as well, with its
// documents.
func TestVisibleOnlyWhenDurable(t *testing.T) {
	const key = "acme/X.tgz"
	m := newMust(t)
	_, w := m.create(key, "bytes")
	seen := 0
	m.f.fault = func(int, string, string) (error, error) {
		fault := m.f.fault
		defer func() { m.f.fault = fault }()
		m.f.fault = nil
		if o, err := m.Open(ctx, key); err == nil {
			o.Close()
			seen++
		}
		for info := range m.List(ctx, "acme") {
			if info.Key == key {
				seen++
			}
		}
		return nil, nil
	}
	m.ok(w.Seal(ctx, key, docs("receipt")))
	m.f.fault = nil
	if seen != 0 {
		t.Errorf("the object was seen %d times before the seal's end", seen)
	}
	if _, _, err := readObject(m.Store, key); err != nil {
		t.Error(err)
	}
}

// TestSealWaitsForItsRival: a seal of a key that is being sealed waits, as long
// as its context does.
func TestSealWaitsForItsRival(t *testing.T) {
	m := newMust(t)
	_, w := m.create("acme/X.tgz", "bytes")
	_, rival := m.create("acme/X.tgz", "other bytes")
	m.f.fault = func(_ int, op, name string) (error, error) {
		if op != "link" || !strings.HasPrefix(name, bundlesDir) {
			return nil, nil
		}
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Millisecond, cancel)
		if err := rival.Seal(ctx, "acme/X.tgz", docs()); !errors.Is(err, context.Canceled) {
			t.Errorf("the rival's seal: %v, want %v", err, context.Canceled)
		}
		return nil, nil
	}
	m.ok(w.Seal(ctx, "acme/X.tgz", docs("receipt")))
	m.f.fault = nil
	if err := rival.Seal(ctx, "acme/X.tgz", docs()); !errors.Is(err, store.ErrExist) {
		t.Errorf("the rival's seal: %v, want %v", err, store.ErrExist)
	}
}

// TestLoserDoesNotHideTheWinner: a seal that finds its key taken never makes
// the object that has it disappear.
func TestLoserDoesNotHideTheWinner(t *testing.T) {
	const key = "acme/X.tgz"
	m := newMust(t)
	_, w := m.create(key, "bytes")
	m.ok(w.Seal(ctx, key, docs("receipt")))
	_, w = m.create(key, "other bytes")
	m.f.fault = func(int, string, string) (error, error) {
		fault := m.f.fault
		defer func() { m.f.fault = fault }()
		m.f.fault = nil
		if got, _, err := readObject(m.Store, key); got != "bytes" {
			t.Errorf("object = %q, %v", got, err)
		}
		return nil, nil
	}
	if err := w.Seal(ctx, key, docs("receipt")); !errors.Is(err, store.ErrExist) {
		t.Errorf("seal: %v, want %v", err, store.ErrExist)
	}
}

func TestFullDiskLeavesTheUpload(t *testing.T) {
	for _, tc := range []struct{ op, part string }{
		{"open", "doc.receipt"},
		{"write", "doc.receipt"},
		{"sync", "doc.receipt"},
		{"open", "intent"},
		{"rename", "intent"},
		{"mkdir", "records/"},
		{"link", "records/"},
		{"link", "bundles/"},
		{"mkdir", "bundles/"},
	} {
		for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
			t.Run(tc.op+" "+tc.part, func(t *testing.T) {
				m := newMust(t)
				id, w := m.create("acme/X.tgz", "bytes")
				m.ok(w.Save(ctx, nil))
				m.failOn(tc.op, tc.part, 1, errno)
				err := w.Seal(ctx, "acme/X.tgz", docs("receipt", "manifest"))
				if !errors.Is(err, store.ErrFull) || !errors.Is(err, errno) {
					t.Fatalf("seal: %v, want %v and %v", err, store.ErrFull, errno)
				}
				if got, want := m.dir(w.dir), []string{"data", "name", "state"}; !slices.Equal(got, want) {
					t.Errorf("the upload holds %q, want %q", got, want)
				}
				if got := m.dir("records/acme/X.tgz"); got != nil {
					t.Errorf("the records hold %q, want nothing", got)
				}
				m.ok(w.Close())
				again, _, _, err := m.Resume(ctx, id)
				m.ok(err)
				m.ok(again.Seal(ctx, "acme/X.tgz", docs("receipt")))
			})
		}
	}
}

// TestHalfDoneSeal: past the link there is only forward, by every way.
func TestHalfDoneSeal(t *testing.T) {
	const key = "acme/X.tgz"
	for name, forward := range map[string]func(m *must, id store.ID, w *writer) error{
		"seal again": func(m *must, id store.ID, w *writer) error { return w.Seal(ctx, key, docs("receipt")) },
		"resume": func(m *must, id store.ID, w *writer) error {
			m.ok(w.Close())
			if _, _, _, err := m.Resume(ctx, id); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
		"reopen": func(m *must, id store.ID, w *writer) error {
			m.reopen()
			return nil
		},
	} {
		for _, at := range []struct{ op, part string }{
			{"syncdir", "bundles/acme"}, {"rename", "records/"}, {"syncdir", "records/acme/X.tgz"}, {"remove", "/data"},
		} {
			t.Run(name+" after "+at.op+" "+at.part, func(t *testing.T) {
				m := newMust(t)
				m.ok(m.PutRecord(ctx, key, "receipt", []byte("refused")))
				m.ok(m.Mkdir(ctx, "acme/dir"))
				id, w := m.create(key, "bytes")
				m.failOn(at.op, at.part, 1, syscall.EIO)
				if err := w.Seal(ctx, key, docs("receipt")); !errors.Is(err, syscall.EIO) || !errors.Is(err, errHalf) {
					t.Fatalf("seal: %v, want %v and %v", err, syscall.EIO, errHalf)
				}
				if _, _, err := readObject(m.Store, key); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("a half sealed object opens: %v", err)
				}
				_, rival := m.create(key, "other bytes")
				if err := rival.Seal(ctx, key, docs("receipt")); !errors.Is(err, store.ErrExist) {
					t.Errorf("another seal: %v, want %v", err, store.ErrExist)
				}
				m.ok(rival.Discard(ctx))
				for what, err := range map[string]error{
					"save": w.Save(ctx, nil), "discard": w.Discard(ctx), "seal elsewhere": w.Seal(ctx, "acme/Y.tgz", docs()),
				} {
					if !errors.Is(err, errHalf) {
						t.Errorf("%s: %v, want %v", what, err, errHalf)
					}
				}
				m.ok(forward(m, id, w))
				if got, _, err := readObject(m.Store, key); got != "bytes" || err != nil {
					t.Errorf("object = %q, %v", got, err)
				}
				if got, err := m.Record(ctx, key, "receipt"); string(got) != "receipt" || err != nil {
					t.Errorf("receipt = %q, %v", got, err)
				}
				if got := m.dir(w.dir); got != nil {
					t.Errorf("the upload's directory holds %q", got)
				}
			})
		}
	}
}

// TestRollBackThatFails: the link failed, and then the intent could not be
// taken back; what happens next depends on what is left of it.
func TestRollBackThatFails(t *testing.T) {
	for _, tc := range []struct{ op, part string }{{"remove", "intent"}, {"syncdir", "uploads/acme/"}} {
		for _, how := range []string{"seal", "resume"} {
			t.Run(how+" after "+tc.op, func(t *testing.T) {
				m := newMust(t)
				id, w := m.create("acme/X.tgz", "bytes")
				m.ok(w.Save(ctx, []byte("state")))
				linked := false
				m.f.fault = func(_ int, op, name string) (error, error) {
					if op == "link" && strings.HasPrefix(name, bundlesDir) {
						linked = true
						return syscall.ENOSPC, nil
					}
					if linked && op == tc.op && strings.Contains(name, tc.part) {
						return syscall.EIO, nil
					}
					return nil, nil
				}
				err := w.Seal(ctx, "acme/X.tgz", docs("receipt"))
				if !errors.Is(err, errHalf) || !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EIO) {
					t.Fatalf("seal: %v", err)
				}
				m.f.fault = nil
				if how == "resume" {
					m.ok(w.Close())
					again, _, _, err := m.Resume(ctx, id)
					if tc.op == "remove" { // the intent stood: it has been sealed now
						if !errors.Is(err, fs.ErrNotExist) {
							t.Fatalf("resume: %v, want %v", err, fs.ErrNotExist)
						}
					} else {
						m.ok(err)
						w = again.(*writer)
					}
				}
				if how == "seal" || tc.op != "remove" {
					m.ok(w.Seal(ctx, "acme/X.tgz", docs("receipt")))
				}
				if got, _, err := readObject(m.Store, "acme/X.tgz"); got != "bytes" || err != nil {
					t.Errorf("object = %q, %v", got, err)
				}
			})
		}
	}
}

// TestOvertakenSeal: while the daemon was down somebody put a file where a
// half-done seal wants to go. It stays, and so does the upload.
func TestOvertakenSeal(t *testing.T) {
	m := newMust(t)
	id, w := m.create("acme/X.tgz", "bytes")
	m.ok(w.Save(ctx, []byte("state")))
	m.f.fault = func(_ int, op, name string) (error, error) {
		if strings.HasPrefix(name, bundlesDir) && op == "link" {
			m.f.fault = from(0, errCrashed)
			return errCrashed, nil
		}
		return nil, nil
	}
	if err := w.Seal(ctx, "acme/X.tgz", docs("receipt")); !errors.Is(err, errCrashed) {
		t.Fatal(err)
	}
	m.f = m.f.crash(keeper(1, nil), nil)
	m.ok(m.Store.writeFileVia(m.f, "bundles/acme/X.tgz", "foreign"))
	m.reopen()
	if got, want := m.Report(), (Report{Suspended: 1, RolledBack: 1}); got != want {
		t.Errorf("report = %+v, want %+v", got, want)
	}
	if got, _, _ := readObject(m.Store, "acme/X.tgz"); got != "foreign" {
		t.Errorf("object = %q, want the foreign one", got)
	}
	if got := m.dir("records/acme"); len(got) > 0 {
		t.Errorf("records of the loser: %q", got)
	}
	again, _, _, err := m.Resume(ctx, id)
	m.ok(err)
	m.ok(again.Seal(ctx, "acme/X~2.tgz", docs("receipt")))
}

// writeFileVia writes a file through another layer.
func (s *Store) writeFileVia(f files, name, data string) error {
	return (&Store{files: f}).writeFile(name, []byte(data))
}

// TestStuckSeal: a seal that cannot be completed does not keep the store shut.
func TestStuckSeal(t *testing.T) {
	m := newMust(t)
	id, w := m.create("acme/X.tgz", "bytes")
	m.failOn("syncdir", "bundles/acme", 1, syscall.EIO)
	if err := w.Seal(ctx, "acme/X.tgz", docs("receipt")); !errors.Is(err, errHalf) {
		t.Fatal(err)
	}
	m.failOn("rename", "records/", 2, syscall.ENOSPC)
	m.reopen()
	if r := m.Report(); r.Stuck != 1 || !errors.Is(r.Err, store.ErrFull) {
		t.Errorf("report = %+v, want one stuck, full", r)
	}
	if _, _, err := readObject(m.Store, "acme/X.tgz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a stuck object opens: %v", err)
	}
	for s := range m.Suspended(ctx) {
		t.Errorf("a stuck upload is listed: %+v", s)
	}
	if _, _, _, err := m.Resume(ctx, id); !errors.Is(err, store.ErrFull) {
		t.Errorf("resume: %v, want %v", err, store.ErrFull)
	}
	if _, _, _, err := m.Resume(ctx, id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("resume with room: %v, want %v", err, fs.ErrNotExist)
	}
	if got, _, err := readObject(m.Store, "acme/X.tgz"); got != "bytes" || err != nil {
		t.Errorf("object = %q, %v", got, err)
	}
}

func TestTornIntentIsLeftAlone(t *testing.T) {
	m := newMust(t)
	id, w := m.create("acme/X.tgz", "bytes")
	m.ok(w.Save(ctx, nil))
	for _, intent := range []string{"", "torn", string(encodeFrame(intentMagic, 5, []byte(`{"key":"../../etc/passwd"}`))), string(encodeFrame(intentMagic, 5, []byte(`{"key":"a","docs":["../x"]}`))), string(encodeFrame(intentMagic, 5, []byte("not JSON")))} {
		m.ok(m.writeFile(w.dir+"/"+intentName, []byte(intent)))
		m.reopen()
		if r := m.Report(); r.Stuck != 1 || r.Err == nil {
			t.Errorf("intent %q: report = %+v, want one stuck", intent, r)
		}
		if _, _, _, err := m.Resume(ctx, id); err == nil {
			t.Errorf("intent %q: resume succeeds", intent)
		}
		if got := m.dir(w.dir); !slices.Contains(got, "data") {
			t.Errorf("intent %q: the upload holds %q", intent, got)
		}
	}
}
