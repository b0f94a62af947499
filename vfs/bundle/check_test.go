package bundle

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// verdict is everything of a verdict that must not depend on the writes.
type verdict struct {
	manifest Manifest
	r        Rejection
}

func verdictOf(m *Manifest, r *Rejection) (v verdict) {
	if m != nil {
		v.manifest = *m
	}
	if r != nil {
		v.r = *r
		v.r.Err = nil
		if r.Err != nil {
			v.r.Reason += " | " + r.Err.Error()
		}
	}
	return v
}

func TestCorpus(t *testing.T) {
	count := map[Rule]int{}
	for _, s := range corpus(t) {
		count[s.rule]++
		t.Run(s.name, func(t *testing.T) {
			m, r := judge(t, s.data)
			checkVerdict(t, s, m, r)
		})
	}
	t.Log(count)
}

func checkVerdict(t *testing.T, s sample, m *Manifest, r *Rejection) {
	t.Helper()
	switch {
	case s.rule == "" && r != nil:
		t.Errorf("refused: %v", r)
	case s.rule != "" && r == nil:
		t.Errorf("accepted as %+v, want rule %s", *m, s.rule)
	case r != nil && r.Rule != s.rule:
		t.Errorf("refused by rule %s (%v), want %s", r.Rule, r, s.rule)
	case r != nil && (r.Reason == "" || r.Mend == ""):
		t.Errorf("rejection %+v has no reason or no mend", r)
	case r != nil && (r.Offset < 0 || r.Offset > int64(len(s.data))):
		t.Errorf("offset %d is not in the file of %d bytes", r.Offset, len(s.data))
	case m != nil && m.Size != int64(len(s.data)):
		t.Errorf("manifest has size %d, want %d", m.Size, len(s.data))
	}
}

// TestSplitting: any splitting of the writes gives the same verdict, and so
// does any save and restore between them.
func TestSplitting(t *testing.T) {
	for _, s := range corpus(t) {
		if len(s.data) > 9<<10 {
			continue // TestSplittingLong
		}
		t.Run(s.name, func(t *testing.T) {
			want := verdictOf(judge(t, s.data))
			compare(t, "one byte a write", want, s.data, func(int) int { return 1 })
			for seed := range uint64(3) {
				rng := rand.New(rand.NewPCG(seed, 1))
				next := func(left int) int { return min(1+rng.IntN(1<<rng.IntN(12)), left) }
				compare(t, fmt.Sprint("random writes ", seed), want, s.data, next)
				compareSaved(t, fmt.Sprint("saved at random ", seed), want, s.data, next)
			}
		})
	}
}

func TestSplittingLong(t *testing.T) {
	for _, s := range corpus(t) {
		if len(s.data) <= 9<<10 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			want := verdictOf(judge(t, s.data))
			rng := rand.New(rand.NewPCG(1, 2))
			next := func(left int) int { return min(1+rng.IntN(10000), left) }
			compare(t, "random writes", want, s.data, next)
			compareSaved(t, "saved at random", want, s.data, next)
		})
	}
}

func compare(t *testing.T, how string, want verdict, data []byte, next func(int) int) {
	t.Helper()
	if got := verdictOf(feed(t, NewCheck(Limits{}), data, next)); got != want {
		t.Errorf("%s: verdict %+v, want %+v", how, got, want)
	}
}

// compareSaved restores the check in a new one before every write.
func compareSaved(t *testing.T, how string, want verdict, data []byte, next func(int) int) {
	t.Helper()
	c := NewCheck(Limits{})
	for len(data) > 0 {
		c = reborn(t, c)
		n := next(len(data))
		if _, err := c.Write(data[:n]); err != nil {
			break
		}
		data = data[n:]
	}
	m, err := c.Finish()
	if got := verdictOf(m, asRejection(t, err)); got != want {
		t.Errorf("%s: verdict %+v, want %+v", how, got, want)
	}
}

func reborn(t testing.TB, c *Check) *Check {
	t.Helper()
	state, err := c.AppendBinary([]byte("in front"))
	if err != nil {
		t.Fatal(err)
	}
	n := NewCheck(Limits{})
	if err := n.UnmarshalBinary(state[len("in front"):]); err != nil {
		t.Fatal(err)
	}
	if n.Progress() != c.Progress() || n.Sound() != c.Sound() {
		t.Fatalf("restored check is at %+v, want %+v", n.Progress(), c.Progress())
	}
	return n
}

// TestCut: no sound bundle may be cut anywhere but in its padding or before a
// member that adds nothing, and what is left is told as such.
func TestCut(t *testing.T) {
	for _, s := range corpus(t) {
		if s.rule != "" || len(s.data) > 64<<10 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			step := 1 + len(s.data)/200
			for n := 1; n < len(s.data); n += step {
				cut(t, s.data[:n])
			}
		})
	}
}

// wholeMembers reports whether data is whole gzip members and zeros, of which
// up to seven may be the last member's.
func wholeMembers(data []byte) bool {
	n := len(bytes.TrimRight(data, "\x00"))
	for end := n; end <= min(n+7, len(data)); end++ {
		z, err := gzip.NewReader(bytes.NewReader(data[:end]))
		if err == nil {
			_, err = io.Copy(io.Discard, z)
		}
		if err == nil {
			return true
		}
	}
	return false
}

// cut judges a sound bundle's beginning, and that Sound and Finish agree.
func cut(t *testing.T, data []byte) {
	t.Helper()
	c := NewCheck(Limits{})
	if _, err := c.Write(data); err != nil {
		t.Errorf("cut at %d: refused before the end: %v", len(data), err)
		return
	}
	sound := c.Sound()
	_, err := c.Finish()
	if sound != (err == nil) {
		t.Errorf("cut at %d: Sound is %v, Finish says %v", len(data), sound, err)
	}
	if err == nil && !wholeMembers(data) {
		t.Errorf("cut at %d: accepted", len(data))
	}
	r := asRejection(t, err)
	if r != nil && r.Rule != RuleTruncated && r.Rule != RuleTarEnd && r.Rule != RuleTarHeader {
		t.Errorf("cut at %d: %v, want a cut", len(data), r)
	}
	if r != nil && IsTruncated(err) != (r.Rule == RuleTruncated) {
		t.Errorf("cut at %d: IsTruncated is wrong for %v", len(data), r)
	}
}

func TestFinishChangesNothing(t *testing.T) {
	data := gz(whole(small))
	c := NewCheck(Limits{})
	for i := range data {
		if _, err := c.Finish(); err == nil {
			t.Fatalf("Finish after %d of %d bytes accepts", i, len(data))
		}
		if _, err := c.Write(data[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	m, err := c.Finish()
	if err != nil {
		t.Fatal(err)
	}
	want := Manifest{Entries: 1, Unpacked: 2048, Members: 1, Size: int64(len(data))}
	if *m != want {
		t.Errorf("manifest %+v, want %+v", *m, want)
	}
}

func TestRejectionIsSticky(t *testing.T) {
	c := NewCheck(Limits{})
	n, err := c.Write(append(gz(whole(small)), "junk"...))
	if want := len(gz(whole(small))); n != want || err == nil {
		t.Fatalf("Write gives %d, %v, want %d and a rejection", n, err, want)
	}
	if n, again := c.Write([]byte("more")); n != 0 || again != err {
		t.Errorf("second Write gives %d, %v, want 0 and the same rejection", n, again)
	}
	if _, again := c.Finish(); again != err {
		t.Errorf("Finish gives %v, want the same rejection", again)
	}
	if c.Sound() {
		t.Error("Sound after a rejection")
	}
	if _, err := c.AppendBinary(nil); err == nil {
		t.Error("AppendBinary of a refused stream gives no error")
	}
}

func TestOnEntry(t *testing.T) {
	body := whole(
		entry('5', "d/", ""),
		pax('x', "path", "d/renamed", "mtime", "12.5"), entry('0', "x", "hello"),
		link('2', "l", "/target"),
		raw{typ: 'S', name: "s", data: "abc", magic: magicGNU, edit: oldFragments(1<<32, 0, 0, 3)},
	)
	var got []string
	c := NewCheck(Limits{})
	c.OnEntry(func(e *Entry) {
		got = append(got, fmt.Sprintf("%d %s>%s %d/%d %v %o %d %d", e.Type, e.Name, e.Linkname, e.Size, e.RealSize, e.Sparse, e.Mode, e.ModTime.UnixMilli(), e.Offset))
	})
	for _, b := range gz(body) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"2 d/> 0/0 false 644 1700000000000 512",
		"1 d/renamed> 5/5 false 644 12500 2048",
		"3 l>/target 0/0 false 644 1700000000000 3072",
		"1 s> 3/4294967296 true 644 1700000000000 3584",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("entries\n%q, want\n%q", got, want)
	}
}

func TestLimits(t *testing.T) {
	body := whole(small, entry('0', "b", ""), entry('5', "c", ""))
	data := gz(body[:600], body[600:])
	for _, tc := range []struct {
		name string
		l    Limits
		ok   bool
	}{
		{"size reached", Limits{MaxSize: int64(len(data))}, true},
		{"size exceeded", Limits{MaxSize: int64(len(data)) - 1}, false},
		{"unpacked reached", Limits{MaxUnpacked: int64(len(body))}, true},
		{"unpacked exceeded", Limits{MaxUnpacked: int64(len(body)) - 1}, false},
		{"entries reached", Limits{MaxEntries: 3}, true},
		{"entries exceeded", Limits{MaxEntries: 2}, false},
		{"members reached", Limits{MaxMembers: 2}, true},
		{"members exceeded", Limits{MaxMembers: 1}, false},
	} {
		_, r := feed(t, NewCheck(tc.l), data, func(n int) int { return n })
		_, single := feed(t, NewCheck(tc.l), data, func(int) int { return 1 })
		if verdictOf(nil, r) != verdictOf(nil, single) {
			t.Errorf("%s: %v whole, %v by the byte", tc.name, r, single)
		}
		if (r == nil) != tc.ok || r != nil && r.Rule != RuleLimit {
			t.Errorf("%s: %v, want accepted: %v", tc.name, r, tc.ok)
		}
	}
}

func TestLimitsValidate(t *testing.T) {
	if err := (Limits{}).Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultLimits().Validate(); err != nil {
		t.Error(err)
	}
	for _, l := range []Limits{{MaxSize: -1}, {MaxRatio: -1}, {MaxEntries: 1 << 40}} {
		if l.Validate() == nil {
			t.Errorf("limits %+v are valid", l)
		}
	}
}

// TestRatio: a bomb is refused soon after the first GiB, at the same place
// however it is cut.
func TestRatio(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	w.Write(entry('0', "zeros", "").with(124, "77777777777\x00").bytes())
	w.Flush()
	head := bytes.Clone(b.Bytes())
	b.Reset()
	w.Write(make([]byte, 1<<20))
	w.Flush()
	bomb := append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), head...)
	bomb = append(bomb, bytes.Repeat(b.Bytes(), 1200)...)
	c := NewCheck(Limits{})
	_, r := feed(t, c, bomb, func(left int) int { return min(left, 32<<10) })
	if r == nil || r.Rule != RuleLimit || r.Entry != "zeros" {
		t.Fatalf("bomb: %v, want rule limit", r)
	}
	if got := c.Progress().Unpacked; got < ratioFrom || got > ratioFrom+(32<<20) {
		t.Errorf("refused after %d bytes", got)
	}
	_, other := feed(t, NewCheck(Limits{}), bomb, func(left int) int { return min(left, 5001) })
	if verdictOf(nil, other) != verdictOf(nil, r) {
		t.Errorf("in other writes %v, want %v", other, r)
	}
}

// TestImpliedDirectories: few entries may not make the table of names large.
func TestImpliedDirectories(t *testing.T) {
	var b []byte
	for i := range 40 {
		name := fmt.Sprintf("%x", i) + string(bytes.Repeat([]byte("/d"), 1900))
		b = append(b, archive(long('L', name), small.gnu())...)
	}
	c := NewCheck(Limits{MaxEntries: 100})
	_, r := feed(t, c, gz(b), func(n int) int { return n })
	if r == nil || r.Rule != RuleLimit {
		t.Errorf("40 names with 76,000 directories: %v, want rule limit", r)
	}
}

// TestWalkerSaved saves the walker behind every byte of what is inside the
// samples.
func TestWalkerSaved(t *testing.T) {
	for _, s := range corpus(t) {
		z, err := gzip.NewReader(bytes.NewReader(s.data))
		if err != nil {
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(z, 20<<10))
		whole := walker{maxEntries: 100, names: newNames([2]uint64{1, 2}, 100)}
		want := whole.write(body)
		w := walker{maxEntries: 100, names: newNames([2]uint64{1, 2}, 100)}
		var got *Rejection
		for i := 0; i < len(body) && got == nil; i++ {
			w = rebornWalker(t, &w)
			got = w.write(body[i : i+1])
		}
		if (got == nil) != (want == nil) || got != nil && *got != *want || string(w.name) != string(whole.name) {
			t.Errorf("%s: saved behind every byte %v, else %v", s.name, got, want)
		}
	}
}

func rebornWalker(t *testing.T, w *walker) walker {
	t.Helper()
	save := &codec{}
	w.fields(save)
	n := walker{maxEntries: w.maxEntries, pos: w.pos, names: newNames([2]uint64{}, w.maxEntries)}
	load := &codec{load: true, b: save.b}
	n.fields(load)
	if load.err != nil || len(load.b) > 0 {
		t.Fatalf("restore: %v, %d bytes left", load.err, len(load.b))
	}
	return n
}
