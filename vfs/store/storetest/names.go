package storetest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"bundleup/vfs/store"
)

func testList(t *testing.T, m *medium) {
	for _, key := range []store.Key{"b/z.tgz", "b/a.tgz", "b/B.tgz", "b/ä.tgz", "b/a/x.tgz", "a/x.tgz", "b/a b.tgz"} {
		m.seal(key, []byte(key), nil)
	}
	m.wantList("", "a/", "b/")
	m.wantList("b", "B.tgz", "a/", "a b.tgz", "a.tgz", "z.tgz", "ä.tgz")
	for info, err := range m.List(t.Context(), "b") {
		m.ok(err)
		if want := int64(len(info.Key)); !info.Dir && info.Size != want {
			t.Errorf("size of %s = %d, want %d", info.Key, info.Size, want)
		}
		if info.ModTime.IsZero() {
			t.Errorf("%s has no time", info.Key)
		}
	}
	for range m.List(t.Context(), "b") {
		break
	}
}

func testListMissing(t *testing.T, m *medium) {
	m.wantList("")
	m.seal("acme/X.tgz", nil, nil)
	for _, dir := range []store.Key{"globex", "acme/none", "acme/X.tgz"} {
		var errs []error
		for _, err := range m.List(t.Context(), dir) {
			errs = append(errs, err)
		}
		if len(errs) != 1 {
			t.Fatalf("list of %s yields %v, want one error", dir, errs)
		}
		m.fails(errs[0], fs.ErrNotExist)
	}
}

func testMkdir(t *testing.T, m *medium) {
	for range 2 {
		m.ok(m.Mkdir(t.Context(), "acme/case-1/deep"))
	}
	m.crash()
	m.wantList("", "acme/")
	m.wantList("acme", "case-1/")
	m.wantList("acme/case-1/deep")
	m.seal("acme/X.tgz", nil, nil)
	m.fails(m.Mkdir(t.Context(), "acme/X.tgz"), store.ErrExist)
	m.fails(m.Mkdir(t.Context(), "acme/X.tgz/below"), store.ErrExist)
	_, err := m.Open(t.Context(), "acme/case-1")
	m.fails(err, fs.ErrNotExist)
}

func testRecords(t *testing.T, m *medium) {
	r := capability[store.Recorder](m)
	ctx := t.Context()
	m.wantRecords(r, "")
	m.ok(r.PutRecord(ctx, "acme/X.tgz", "refused.json", []byte("one")))
	m.ok(r.PutRecord(ctx, "acme/X.tgz", "refused.json", []byte("two")))
	m.ok(r.PutRecord(ctx, "acme/case/Y.tgz", "refused.json", nil))
	m.seal("acme/X.tgz", []byte("bytes"), map[string][]byte{"receipt.json": []byte("ok")})
	m.crash()
	r = capability[store.Recorder](m)
	m.wantDoc("acme/X.tgz", "refused.json", "two")
	m.wantRecords(r, "", "acme/")
	m.wantRecords(r, "acme", "X.tgz[receipt.json refused.json]", "case/")
	m.wantRecords(r, "acme/case", "Y.tgz[refused.json]")
	m.wantRecords(r, "globex")

	m.ok(r.RemoveRecord(ctx, "acme/X.tgz", "refused.json"))
	m.ok(r.RemoveRecord(ctx, "acme/case/Y.tgz", "refused.json"))
	m.fails(r.RemoveRecord(ctx, "acme/case/Y.tgz", "refused.json"), fs.ErrNotExist)
	_, err := r.Record(ctx, "acme/case/Y.tgz", "refused.json")
	m.fails(err, fs.ErrNotExist)
	m.wantRecords(r, "acme/case")
	m.wantDoc("acme/X.tgz", "receipt.json", "ok")
	m.ok(r.PutRecord(ctx, "acme/case/Y.tgz", "again.json", nil))
	m.wantRecords(r, "acme/case", "Y.tgz[again.json]")
}

// wantRecords checks what Records yields: "name", its documents in brackets, a
// slash if more is below.
func (m *medium) wantRecords(r store.Recorder, dir store.Key, want ...string) {
	m.Helper()
	var got []string
	for info, err := range r.Records(m.Context(), dir) {
		m.ok(err)
		s := info.Key.Base()
		if len(info.Docs) > 0 {
			s += fmt.Sprint(slices.Sorted(maps.Keys(info.Docs)))
		}
		if info.Dir {
			s += "/"
		}
		got = append(got, s)
	}
	if !slices.Equal(got, want) {
		m.Fatalf("records of %q = %q, want %q", dir, got, want)
	}
}

// testRecordsOfLoser: an upload that loses its key leaves no document behind,
// and documents of an earlier refusal are replaced by the winner's only.
func testRecordsOfLoser(t *testing.T, m *medium) {
	r := capability[store.Recorder](m)
	m.ok(r.PutRecord(t.Context(), "acme/X.tgz", "receipt.json", []byte("refused")))
	m.seal("acme/X.tgz", []byte("winner"), map[string][]byte{"receipt.json": []byte("accepted")})
	m.wantDoc("acme/X.tgz", "receipt.json", "accepted")
	_, w := m.create("acme/X.tgz", []byte("loser"))
	docs := map[string][]byte{"receipt.json": []byte("lost"), "extra.json": []byte("lost")}
	m.fails(w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: docs}), store.ErrExist)
	m.crash()
	m.wantDoc("acme/X.tgz", "receipt.json", "accepted")
	m.wantRecords(capability[store.Recorder](m), "acme", "X.tgz[receipt.json]")
}

func testTouch(t *testing.T, m *medium) {
	touch := capability[store.Toucher](m)
	before := time.Now().Add(-time.Minute)
	m.seal("acme/X.tgz", []byte("bytes"), nil)
	if got := m.modTime("acme/X.tgz"); got.Before(before) || got.After(time.Now().Add(time.Minute)) {
		t.Errorf("time after a seal without one = %v, want now", got)
	}
	want := time.Unix(1_500_000_000, 0)
	m.ok(touch.Touch(t.Context(), "acme/X.tgz", want))
	m.crash()
	if got := m.modTime("acme/X.tgz"); !got.Equal(want) {
		t.Errorf("time after Touch = %v, want %v", got, want)
	}
	touch = capability[store.Toucher](m)
	m.fails(touch.Touch(t.Context(), "acme/Y.tgz", want), fs.ErrNotExist)
	m.fails(touch.Touch(t.Context(), "acme", want), fs.ErrNotExist)
}

func (m *medium) modTime(key store.Key) time.Time {
	m.Helper()
	o, err := m.Open(m.Context(), key)
	m.ok(err)
	defer o.Close()
	return o.Info().ModTime
}

func testReadAt(t *testing.T, m *medium) {
	data := []byte(strings.Repeat("0123456789", 100))
	m.seal("acme/X.tgz", data, nil)
	o, err := m.Open(t.Context(), "acme/X.tgz")
	m.ok(err)
	defer o.Close()
	m.ok(iotest.TestReader(io.NewSectionReader(o, 0, o.Info().Size), data))
	for _, tc := range []struct {
		off  int64
		size int
		want string
		err  error
	}{
		{0, 3, "012", nil},
		{997, 3, "789", nil},
		{997, 4, "789", io.EOF},
		{1000, 1, "", io.EOF},
		{2000, 1, "", io.EOF},
		{1000, 0, "", nil},
	} {
		p := make([]byte, tc.size)
		n, err := o.ReadAt(p, tc.off)
		if tc.want == "789" && tc.size == 3 && err == io.EOF {
			err = nil // io.ReaderAt allows either at the very end
		}
		if tc.size == 0 && err == io.EOF {
			err = nil
		}
		if string(p[:n]) != tc.want || err != tc.err {
			t.Errorf("ReadAt(%d bytes, %d) = %q, %v, want %q, %v", tc.size, tc.off, p[:n], err, tc.want, tc.err)
		}
	}
}

func testReaders(t *testing.T, m *medium) {
	data := []byte(strings.Repeat("abcdefghij", 10_000))
	m.seal("acme/X.tgz", data, nil)
	o, err := m.Open(t.Context(), "acme/X.tgz")
	m.ok(err)
	defer o.Close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			off := int64(i * 10_000)
			p := make([]byte, 10_000)
			for range 20 {
				if _, err := o.ReadAt(p, off); err != nil {
					t.Error(err)
				}
				if string(p) != string(data[off:off+10_000]) {
					t.Errorf("reader %d got other bytes", i)
				}
			}
		})
	}
	wg.Wait()
}

func testBadKeys(t *testing.T, m *medium) {
	bad := []store.Key{"/abs", "../up", "a/../b", "a//b", "a/", "./a", "a\\b", "a\x00b", "a/\xff", store.Key(strings.Repeat("x", 256)), store.Key(strings.Repeat("x/", 2100) + "x")}
	hidden := []store.Key{"", ".hidden", "acme/.hidden/X.tgz"}
	_, w := m.create("acme/X.tgz", []byte("bytes"))
	for _, key := range append(bad, hidden...) {
		if err := w.Seal(t.Context(), key, store.Meta{}); err == nil {
			t.Fatalf("seal as %q succeeds", key)
		}
		if err := m.Mkdir(t.Context(), key); err == nil {
			t.Errorf("mkdir of %q succeeds", key)
		}
		if _, err := m.Open(t.Context(), key); err == nil {
			t.Errorf("open of %q succeeds", key)
		}
	}
	for _, key := range append(bad, "") {
		if _, err := m.Create(t.Context(), m.id(), key); err == nil {
			t.Errorf("create of %q succeeds", key)
		}
	}
	for _, doc := range []string{"", ".", "..", ".hidden", "a/b", "../x", strings.Repeat("x", 201)} {
		if err := w.Seal(t.Context(), "acme/X.tgz", store.Meta{Docs: map[string][]byte{doc: nil}}); err == nil {
			t.Fatalf("seal with a document %q succeeds", doc)
		}
	}
	for _, id := range []store.ID{"", "../../../../../../../../etc", "short"} {
		if _, err := m.Create(t.Context(), id, "acme/X.tgz"); err == nil {
			t.Errorf("create of id %q succeeds", id)
		}
	}
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
}

func testCancelled(t *testing.T, m *medium) {
	ctx := m.cancelled()
	m.seal("acme/old.tgz", nil, nil)
	_, w := m.create("acme/X.tgz", []byte("bytes"))
	_, createErr := m.Create(ctx, m.id(), "acme/Y.tgz")
	_, openErr := m.Open(ctx, "acme/old.tgz")
	var listErr error
	for _, err := range m.List(ctx, "") {
		listErr = err
	}
	for _, err := range []error{
		w.Save(ctx, nil),
		w.Seal(ctx, "acme/X.tgz", store.Meta{}),
		w.Discard(ctx),
		m.Mkdir(ctx, "acme/dir"),
		createErr, openErr, listErr,
	} {
		m.fails(err, context.Canceled)
	}
	m.wantList("acme", "old.tgz")
	m.ok(w.Seal(t.Context(), "acme/X.tgz", store.Meta{}))
}
