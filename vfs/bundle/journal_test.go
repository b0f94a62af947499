package bundle

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// journalOf records a sound archive in writes whose lengths next gives. If save is
// set the check is restored in another one before every write.
func journalOf(t testing.TB, data []byte, next func(left int) int, save bool) []byte {
	t.Helper()
	c := NewCheck(Limits{})
	c.Record(dense)
	var j []byte
	for len(data) > 0 {
		if j = c.Index(j); c.IndexSize() != int64(len(j)) {
			t.Fatalf("the journal has %d bytes, IndexSize says %d", len(j), c.IndexSize())
		}
		if save {
			c = recordingReborn(t, c)
		}
		n := next(len(data))
		if _, err := c.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	j = c.Index(j)
	if _, err := c.Finish(); err != nil {
		t.Fatal(err)
	}
	return c.IndexEnd(j)
}

func recordingReborn(t testing.TB, c *Check) *Check {
	t.Helper()
	state, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := NewCheck(Limits{})
	n.Record(IndexOptions{})
	if err := n.UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestJournalEveryByte: a save and restore at every offset of an archive, of which
// half is one member and half another, gives the same journal.
func TestJournalEveryByte(t *testing.T) {
	body := whole(entry('5', "d/", ""), pax('x', "path", "d/e/f", "mtime", "1.5"), entry('0', "x", "some data"), link('1', "h", "d/e/f"),
		raw{typ: 'S', name: "s", data: "abc", magic: magicGNU, edit: oldFragments(99, 0, 0, 3)})
	var data []byte
	for _, part := range [][]byte{body[:1300], body[1300:]} {
		data = append(data, member{body: part}.bytes()...)
	}
	want := journalOf(t, data, func(left int) int { return left }, false)
	if got := journalOf(t, data, func(int) int { return 1 }, true); !bytes.Equal(got, want) {
		t.Error("saved at every byte, the journal is another one")
	}
}

// TestJournalSplitting: saves and restores, and any splitting of the writes, give
// the same journal.
func TestJournalSplitting(t *testing.T) {
	for _, s := range corpus(t) {
		if s.rule != "" || len(s.data) > 4<<10 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			want := journalOf(t, s.data, func(left int) int { return left }, false)
			step := 1 + len(s.data)/300 // every byte of the small ones
			if got := journalOf(t, s.data, func(left int) int { return min(step, left) }, true); !bytes.Equal(got, want) {
				t.Error("saved on the way, the journal is another one")
			}
		})
	}
	for name, data := range longSamples(t) {
		t.Run(name, func(t *testing.T) {
			want := journalOf(t, data, func(left int) int { return left }, false)
			rng := rand.New(rand.NewPCG(1, 2))
			next := func(left int) int { return min(1+rng.IntN(40000), left) }
			if got := journalOf(t, data, next, true); !bytes.Equal(got, want) {
				t.Error("saved at random, the journal is another one")
			}
		})
	}
}

func TestRecordingNeedsBoth(t *testing.T) {
	c := NewCheck(Limits{})
	c.Record(IndexOptions{})
	if _, err := c.AppendBinary(nil); err == nil {
		t.Error("AppendBinary before Index gives no error")
	}
	c.Index(nil)
	with, err := c.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	without, err := NewCheck(Limits{}).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := NewCheck(Limits{})
	if err := n.UnmarshalBinary(with); err != nil || n.Recording() {
		t.Errorf("without Record: %v, recording %v", err, n.Recording())
	}
	n.Record(IndexOptions{})
	if err := n.UnmarshalBinary(without); err != nil || n.Recording() {
		t.Errorf("of a state without a journal: %v, recording %v", err, n.Recording())
	}
}
