package vfs

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

var ctx = context.Background()

func TestAcceptedBundleIsVisibleWithItsReceipt(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	acme := w.as("acme")
	u := acme.create("/diag.tgz", fresh)
	u.Write(content[:100])
	acme.equal("stat while sending", acme.size("/diag.tgz"), "100")
	w.as("desk").equal("support sees nothing yet", w.as("desk").ls("/acme"), "")
	u.Write(content[100:])
	r, err := u.Commit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	acme.equal("verdict", r.Verdict, Accepted)
	acme.equal("digest", r.SHA256, hex.EncodeToString(sum[:]))
	acme.equal("size", r.Size, int64(len(content)))
	acme.equal("entries", r.Entries, int64(1))
	acme.equal("stat", acme.size("/diag.tgz"), fmt.Sprint(len(content)))
	acme.equal("listing", acme.ls("/"), "diag.tgz receipts/")
	acme.equal("receipts", acme.ls("/receipts"), "diag.tgz.json")
	acme.equal("receipt", acme.receipt("/receipts/diag.tgz.json").SHA256, r.SHA256)
	got, err := w.as("desk").get("/acme/diag.tgz")
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("support reads %d bytes, %v; want the %d sent", len(got), err, len(content))
	}
	again, err := u.Commit(ctx)
	if err != nil || again.ID != r.ID {
		t.Errorf("a second close: %v, %v; want the same receipt", again, err)
	}
}

func TestRefusalIsStickyAndLeavesAReceipt(t *testing.T) {
	w := newWorld(t)
	acme := w.as("acme")
	u := acme.create("/junk.tgz", fresh)
	_, err := u.Write(bytes.Repeat([]byte("no bundle at all "), 100))
	if kind(err) != "refused" {
		t.Fatalf("write of junk: %v, want a refusal", err)
	}
	_, again := u.Write([]byte("x"))
	_, closed := u.Commit(ctx)
	for _, e := range []error{again, closed} {
		acme.equal("sticky text", explain(e), explain(err))
	}
	w.contains("text", explain(err), "junk.tgz refused at byte", "rule format")
	acme.equal("stat on this connection", acme.size("/junk.tgz"), "missing")
	_, serr := acme.Stat(ctx, "/junk.tgz")
	acme.equal("stat tells why", explain(serr), explain(err))
	acme.equal("listing", acme.ls("/"), "receipts/")
	r := acme.receipt("/receipts/junk.tgz.json")
	acme.equal("verdict", r.Verdict, Rejected)
	acme.equal("message", r.Rejection.Message, explain(err))
	w.as("acme").equal("stat on another connection", w.as("acme").size("/junk.tgz"), "missing")
	acme.equal("support", w.as("desk").ls("/acme"), "")
	acme.mustPut("/junk.tgz", tgz(t, 100, 1))
	acme.equal("a sound one after it", acme.ls("/receipts"), "junk.tgz.json junk.tgz.refused.json")
	acme.equal("now its receipt", acme.receipt("/receipts/junk.tgz.json").Verdict, Accepted)
	acme.equal("the refusal stays", acme.receipt("/receipts/junk.tgz.refused.json").Verdict, Rejected)
}

func TestNothingIsOverwritten(t *testing.T) {
	w := newWorld(t)
	one, two, three := tgz(t, 100, 1), tgz(t, 200, 2), tgz(t, 300, 3)
	acme := w.as("acme")
	first := acme.mustPut("/diag.tgz", one)
	again := acme.mustPut("/diag.tgz", one)
	acme.equal("same bytes: the first receipt", again.ID, first.ID)
	acme.equal("repeated", again.Repeated, true)
	acme.equal("one copy", acme.ls("/"), "diag.tgz receipts/")
	second := acme.mustPut("/diag.tgz", two)
	acme.equal("other bytes stand beside", second.StoredAs, "diag~2.tgz")
	w.contains("notice", second.Notice(), "diag~2.tgz")
	acme.equal("stat shows what was sent", acme.size("/diag.tgz"), fmt.Sprint(len(two)))
	acme.equal("another connection sees the first", w.as("acme").size("/diag.tgz"), fmt.Sprint(len(one)))
	acme.equal("third", acme.mustPut("/diag.tgz", three).StoredAs, "diag~3.tgz")
	acme.equal("second again", acme.mustPut("/diag.tgz", two).ID, second.ID)
	acme.equal("listing", acme.ls("/"), "diag.tgz diag~2.tgz diag~3.tgz receipts/")
	got, _ := w.as("desk").get("/acme/diag.tgz")
	acme.equal("the first is untouched", bytes.Equal(got, one), true)
}

func TestResume(t *testing.T) {
	content := tgz(t, 3<<20, 1)
	for _, cut := range []int{1, 100, 1 << 20, len(content) - 1} {
		for _, how := range []string{"drop", "close", "restart", "other account"} {
			t.Run(fmt.Sprintf("%s at %d", how, cut), func(t *testing.T) {
				w := newWorld(t)
				acme := w.as("acme")
				u := acme.create("/diag.tgz", fresh)
				u.Write(content[:cut])
				if how == "close" {
					_, err := u.Commit(ctx)
					w.contains("incomplete", explain(err), "incomplete", commas(int64(cut)))
					acme.equal("this connection", acme.size("/diag.tgz"), "missing")
				} else if err := u.Suspend(ctx); err != nil {
					t.Fatal(err)
				}
				next := "acme"
				switch how {
				case "restart":
					w.restart()
				case "other account":
					next = "acme-ci"
				}
				c := w.as(next)
				c.equal("kept", c.size("/diag.tgz"), fmt.Sprint(cut))
				c.equal("support sees nothing", w.as("desk").ls("/acme"), "")
				u = c.create("/diag.tgz", Flags{Create: true})
				c.equal("fstat", u.Info().Size(), int64(cut))
				if err := u.Begin(int64(cut)); err != nil {
					t.Fatal(err)
				}
				u.Write(content[cut:])
				r, err := u.Commit(ctx)
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256(content)
				c.equal("digest", r.SHA256, hex.EncodeToString(sum[:]))
				c.equal("resumes", r.Resumes, 1)
				c.equal("nothing is left", c.ls("/"), "diag.tgz receipts/")
			})
		}
	}
}

// Every client that resumes opens in a way of its own; another account of the
// tenant may be the one that goes on, after a restart.
func TestResumeAsClientsOpen(t *testing.T) {
	content := tgz(t, 5000, 1)
	for _, c := range []struct {
		client    string
		flags     Flags
		temporary string // renamed when it is whole
	}{
		{"sftp reput", Flags{Create: true, Append: true}, ""},
		{"psftp reput, FileZilla", Flags{}, ""},
		{"lftp put -c", Flags{Create: true}, ""},
		{"curl -C -, sshfs", Flags{Append: true}, ""},
		{"WinSCP", Flags{Create: true}, ".filepart"},
	} {
		t.Run(c.client, func(t *testing.T) {
			w := newWorld(t)
			name := "/diag.tgz" + c.temporary
			w.as("acme").suspended(name, content, 1000)
			w.restart()
			ci := w.as("acme-ci")
			ci.equal("stat", ci.size(name), "1000")
			u := ci.create(name, c.flags)
			ci.equal("fstat", u.Info().Size(), int64(1000))
			if err := u.Begin(1000); err != nil {
				t.Fatal(err)
			}
			u.Write(content[1000:])
			if _, err := u.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			if c.temporary != "" {
				ci.equal("remove of the final name", kind(ci.Remove(ctx, "/diag.tgz")), "missing")
				if err := ci.Rename(ctx, name, "/diag.tgz"); err != nil {
					t.Fatal(err)
				}
			}
			ci.equal("listing", ci.ls("/"), "diag.tgz receipts/")
			ci.equal("resumes", ci.receipt("/receipts/diag.tgz.json").Resumes, 1)
		})
	}
}

func TestKilledDaemonKeepsWhatWasSaved(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5<<20, 1)
	u := w.as("acme").create("/diag.tgz", fresh)
	for i := 0; i < 4<<20; i += 32 << 10 {
		u.Write(content[i : i+32<<10])
	}
	w.store.Crash()
	w.restart()
	c := w.as("acme")
	c.equal("kept", c.size("/diag.tgz"), fmt.Sprint(4<<20))
	u = c.create("/diag.tgz", Flags{Create: true, Append: true})
	if err := u.Begin(4 << 20); err != nil {
		t.Fatal(err)
	}
	u.Write(content[4<<20:])
	if _, err := u.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFirstOffsetDecides(t *testing.T) {
	content := tgz(t, 5000, 1)
	for _, c := range []struct {
		name  string
		flags Flags
		off   int64
		want  string
	}{
		{"from the start", Flags{Create: true}, 0, "ok"},
		{"from the start, truncating", fresh, 0, "ok"},
		{"continuing", Flags{}, 1000, "ok"},
		{"appending", Flags{Append: true, Create: true}, 1000, "ok"},
		{"appending at 0", Flags{Append: true, Create: true}, 0, "refused"},
		{"before the kept size", Flags{}, 999, "refused"},
		{"behind the kept size", Flags{}, 1001, "refused"},
		{"continuing after truncating", fresh, 1000, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			u := w.as("acme").create("/diag.tgz", fresh)
			u.Write(content[:1000])
			u.Suspend(ctx)
			acme := w.as("acme")
			u = acme.create("/diag.tgz", c.flags)
			err := u.Begin(c.off)
			acme.equal("begin", kind(err), c.want)
			if err != nil {
				w.contains("text", explain(err), "1,000 bytes are kept")
				u.Suspend(ctx)
				acme.equal("kept all the same", acme.size("/diag.tgz"), "1000")
				return
			}
			if _, err := u.Write(content[c.off:]); err != nil {
				t.Fatal(err)
			}
			if _, err := u.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTemporaryNamesArePublishedByRename(t *testing.T) {
	content := tgz(t, 100, 1)
	for _, name := range []string{
		"diag.tgz.filepart", "diag.tgz.0a1b2c3d.partial", ".in.diag.tgz", ".diag.tgz.Ab3xYz", ".giosaveAB12cd",
		"diag.tgz(4711).tmp", "diag.tgz.part", "diag.tgz.tmp", "diag.tgz-x7f3",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			acme := w.as("acme")
			acme.mustPut("/"+name, content)
			acme.equal("unfinished", acme.ls("/"), strings.Join(sorted(name, "receipts/"), " "))
			acme.equal("size", acme.size("/"+name), fmt.Sprint(len(content)))
			acme.equal("support", w.as("desk").ls("/acme"), "")
			acme.equal("no receipt", acme.ls("/receipts"), "")
			mtime := time.Unix(1e9, 0)
			acme.View.(Toucher).Touch(ctx, "/"+name, mtime)
			if err := acme.Rename(ctx, "/"+name, "/diag.tgz"); err != nil {
				t.Fatal(err)
			}
			acme.equal("published", acme.ls("/"), "diag.tgz receipts/")
			i, _ := acme.Stat(ctx, "/diag.tgz")
			acme.equal("time", i.ModTime().Equal(mtime), true)
			acme.equal("receipt", acme.receipt("/receipts/diag.tgz.json").Name, "diag.tgz")
		})
	}
}

func sorted(a, b string) []string {
	if b < a {
		return []string{b, a}
	}
	return []string{a, b}
}

func TestGUIOverwriteKeepsBoth(t *testing.T) {
	w := newWorld(t)
	one, two := tgz(t, 100, 1), tgz(t, 200, 2)
	acme := w.as("acme")
	acme.mustPut("/diag.tgz", one)
	acme.mustPut("/diag.tgz.filepart", two)
	err := acme.Remove(ctx, "/diag.tgz")
	acme.equal("remove of the old one", kind(err), "denied")
	if err := acme.Rename(ctx, "/diag.tgz.filepart", "/diag.tgz"); err != nil {
		t.Fatal(err)
	}
	acme.equal("listing", acme.ls("/"), "diag.tgz diag~2.tgz receipts/")
	w.contains("notice", acme.View.(Noticer).Notice("/diag.tgz"), "kept beside it as diag~2.tgz")
	acme.equal("stat shows what was sent", acme.size("/diag.tgz"), fmt.Sprint(len(two)))
	mtime := time.Unix(1e9, 0)
	acme.View.(Toucher).Touch(ctx, "/diag.tgz", mtime)
	i, _ := acme.Stat(ctx, "/diag~2.tgz")
	acme.equal("a late time goes to what was sent", i.ModTime().Equal(mtime), true)
	j, _ := w.as("acme").Stat(ctx, "/diag.tgz")
	acme.equal("not to the first", j.ModTime().Equal(mtime), false)
}

func TestIncompleteUploadIsNotPublishedByRename(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 100, 1)
	u := w.as("acme").create("/diag.tgz.part", fresh)
	u.Write(content[:50])
	u.Suspend(ctx)
	acme := w.as("acme")
	err := acme.Rename(ctx, "/diag.tgz.part", "/diag.tgz")
	w.contains("rename", explain(err), "incomplete", "50 bytes are kept")
	acme.equal("still there", acme.size("/diag.tgz.part"), "50")
	acme.equal("nothing published", acme.size("/diag.tgz"), "missing")
}

func TestNewerOpenTakesOver(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	stale, again := w.as("acme"), w.as("acme")
	old := stale.create("/diag.tgz", fresh)
	old.Write(content[:1000])
	u := again.create("/diag.tgz", Flags{Create: true})
	again.equal("what the stale one sent is kept", u.Kept(), int64(1000))
	_, err := old.Write(content[1000:])
	w.contains("the stale one", explain(err), "opened again")
	if err := u.Begin(1000); err != nil {
		t.Fatal(err)
	}
	u.Write(content[1000:])
	if _, err := u.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = old.Commit(ctx)
	again.equal("the stale close", kind(err), "canceled")
}

func TestOtherAccountIsToldWhoAndSinceWhen(t *testing.T) {
	w := newWorld(t)
	w.as("acme").create("/diag.tgz", fresh)
	_, err := w.as("acme-ci").Create(ctx, "/diag.tgz", fresh)
	w.contains("open", explain(err), "acme", "2026-11-23 12:00:00 UTC")
	err = w.as("acme-ci").Remove(ctx, "/diag.tgz")
	w.contains("remove", explain(err), "acme")
	if _, err := w.as("globex").Create(ctx, "/diag.tgz", fresh); err != nil {
		t.Errorf("another tenant is in the way: %v", err)
	}
}

func TestRemoveForgetsUnfinished(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	acme := w.as("acme")
	running := acme.create("/a.tgz", fresh)
	running.Write(content[:100])
	if err := w.as("acme").Remove(ctx, "/a.tgz"); err != nil {
		t.Errorf("remove of a running upload: %v", err)
	}
	_, err := running.Write(content[100:])
	acme.equal("the running one", kind(err), "missing")
	u := acme.create("/b.tgz", fresh)
	u.Write(content[:100])
	u.Suspend(ctx)
	if err := acme.Remove(ctx, "/b.tgz"); err != nil {
		t.Errorf("remove of a suspended upload: %v", err)
	}
	acme.equal("listing", acme.ls("/"), "receipts/")
	w.restart()
	acme.equal("after a restart", w.as("acme").ls("/"), "receipts/")
	acme.equal("again", kind(acme.Remove(ctx, "/b.tgz")), "missing")
}

func TestWholeStreamWithoutCloseIsSealed(t *testing.T) {
	w := newWorld(t)
	u := w.as("acme").create("/diag.tgz", fresh)
	u.Write(tgz(t, 100, 1))
	if err := u.Suspend(ctx); err != nil {
		t.Fatal(err)
	}
	acme := w.as("acme")
	acme.equal("listing", acme.ls("/"), "diag.tgz receipts/")
	acme.equal("receipt", acme.receipt("/receipts/diag.tgz.json").CompletedWithoutClose, true)
}

func TestCloseWithoutAWrite(t *testing.T) {
	w := newWorld(t)
	acme := w.as("acme")
	_, err := acme.create("/empty.tgz", fresh).Commit(ctx)
	acme.equal("an empty file", kind(err), "refused")
	r := acme.mustPut("/diag.tgz", tgz(t, 100, 1))
	again, err := acme.create("/diag.tgz", Flags{}).Commit(ctx)
	if err != nil || again.ID != r.ID {
		t.Errorf("a resume of an accepted bundle: %v, %v; want the first receipt", again, err)
	}
	_, err = acme.Create(ctx, "/none.tgz", Flags{})
	acme.equal("without create", kind(err), "missing")
}

func TestExclusiveOpen(t *testing.T) {
	w := newWorld(t)
	acme := w.as("acme")
	acme.mustPut("/diag.tgz", tgz(t, 100, 1))
	_, err := acme.Create(ctx, "/diag.tgz", Flags{Create: true, Excl: true})
	acme.equal("over a bundle", kind(err), "exists")
	acme.create("/new.tgz", Flags{Create: true, Excl: true})
}

func TestExpire(t *testing.T) {
	w := newWorld(t)
	content := tgz(t, 5000, 1)
	acme := w.as("acme")
	u := acme.create("/old.tgz", fresh)
	u.Write(content[:100])
	u.Suspend(ctx)
	acme.put("/junk.tgz", []byte("junk"))
	acme.mustPut("/diag.tgz", content)
	w.now = w.now.Add(6 * 24 * time.Hour)
	u = acme.create("/young.tgz", fresh)
	u.Write(content[:100])
	u.Suspend(ctx)
	w.now = w.now.Add(2 * 24 * time.Hour)
	if err := w.tree.Expire(ctx); err != nil {
		t.Fatal(err)
	}
	acme = w.as("acme")
	acme.equal("the old one went", acme.ls("/"), "diag.tgz receipts/ young.tgz")
	acme.equal("its bytes too", w.events[len(w.events)-1], "expired old.tgz")
}

func TestSums(t *testing.T) {
	w := newWorld(t)
	one, two := tgz(t, 100, 1), tgz(t, 5000, 2)
	acme := w.as("acme")
	acme.mustPut("/diag.tgz", one)
	acme.mustPut("/diag.tgz", two)
	u := acme.create("/kept.tgz", fresh)
	u.Write(one[:50])
	u.Suspend(ctx)
	acme.create("/live.tgz", fresh)
	acme.put("/junk.tgz", bytes.Repeat([]byte("junk"), 1000))
	hex256 := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	for _, c := range []struct {
		who  *conn
		name string
		want string
	}{
		{acme, "/diag.tgz", hex256(two)}, // what this connection sent
		{w.as("acme"), "/diag.tgz", hex256(one)},
		{w.as("acme"), "/kept.tgz", hex256(one[:50])},
		{w.as("acme"), "/live.tgz", "refused"},
		{acme, "/junk.tgz", "missing"},
		{w.as("globex"), "/diag.tgz", "missing"},
		{w.as("desk"), "/acme/diag.tgz", hex256(one)},
		{w.as("desk"), "/acme/kept.tgz", "missing"},
		{w.as("desk-a"), "/globex/diag.tgz", "missing"},
	} {
		got, err := c.who.View.(Summer).Sum(ctx, c.name, SHA256)
		if err != nil {
			got = kind(err)
		}
		c.who.equal(c.name, got, c.want)
	}
	got, err := w.as("desk").View.(Summer).Sum(ctx, "/acme/diag.tgz", MD5)
	if want := fmt.Sprintf("%x", md5.Sum(one)); got != want {
		t.Errorf("md5: got %v, %v; want %v", got, err, want)
	}
	u = w.as("acme").create("/kept.tgz", Flags{})
	w.as("acme").equal("still kept", u.Kept(), int64(50))
	if err := u.Begin(50); err != nil {
		t.Errorf("resume after a sum: %v", err)
	}
}
