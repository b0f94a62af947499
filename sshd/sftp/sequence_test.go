package sftp

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func newSequence(kept int64, fresh bool) (*sequence, *fakeUpload) {
	u := &fakeUpload{kept: kept}
	return &sequence{to: u, fresh: fresh, room: &budget{maxAhead}}, u
}

func TestSequence(t *testing.T) {
	type write struct {
		off  int64
		data string
		err  string // part of the refusal
	}
	for _, test := range []struct {
		name   string
		kept   int64
		fresh  bool
		writes []write
		want   string
		hole   string
	}{
		{"in order", 0, true, []write{{0, "ab", ""}, {2, "cd", ""}}, "abcd", ""},
		{"reversed", 0, true, []write{{4, "ef", ""}, {2, "cd", ""}, {0, "ab", ""}}, "abcdef", ""},
		{"without 0", 0, true, []write{{2, "cd", ""}}, "", "byte 0 never came"},
		{"resumed", 3, false, []write{{3, "de", ""}, {5, "f", ""}}, "def", ""},
		{"anew over kept", 3, false, []write{{0, "ab", ""}, {2, "c", ""}}, "abc", ""},
		{"kept, elsewhere", 3, false, []write{{7, "x", "nothing is kept there"}}, "", ""},
		{"truncated, at the kept size first", 3, true, []write{{3, "d", ""}, {0, "abc", ""}}, "abcd", ""},
		{"again", 0, true, []write{{0, "ab", ""}, {0, "ab", "came again"}}, "ab", ""},
		{"overlap", 0, true, []write{{0, "ab", ""}, {1, "bc", "came again"}}, "ab", ""},
		{"waiting twice", 0, true, []write{{5, "x", ""}, {5, "y", "byte 0 is missing"}}, "", "byte 0"},
		{"a hole", 0, true, []write{{0, "ab", ""}, {5, "x", ""}}, "ab", "byte 2 never came"},
		{"too far", 0, true, []write{{0, "ab", ""}, {maxAhead + 3, "x", "byte 2 is missing"}}, "ab", ""},
		{"nothing", 0, true, []write{{9, "", ""}}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			q, u := newSequence(test.kept, test.fresh)
			for _, w := range test.writes {
				if err := q.write([]byte(w.data), w.off); !told(err, w.err) {
					t.Errorf("write at %d: got %v, want %q", w.off, err, w.err)
				}
			}
			if string(u.got) != test.want {
				t.Errorf("got %q, want %q", u.got, test.want)
			}
			if err := q.hole(); !told(err, test.hole) {
				t.Errorf("hole: got %v, want %q", err, test.hole)
			}
			q.drop()
			if q.room.left != maxAhead {
				t.Errorf("budget: %d of %d left", q.room.left, maxAhead)
			}
		})
	}
}

// told reports whether err's text for the peer holds want; none for "".
func told(err error, want string) bool {
	if err == nil || want == "" {
		return err == nil && want == ""
	}
	s, _ := explained(err)
	return strings.Contains(s.text, want)
}

// TestSequenceShuffled is ssh2's fastPut: 64 blocks of 32 KiB in any order, the
// window moving on with the answers.
func TestSequenceShuffled(t *testing.T) {
	const block, window = 32 << 10, 64
	data := randomBytes(10<<20 + 5)
	q, u := newSequence(0, true)
	r := rand.New(rand.NewPCG(1, 2))
	var open []int
	for next := 0; next < len(data) || len(open) > 0; {
		for len(open) < window && next < len(data) {
			open, next = append(open, next), next+block
		}
		// The oldest block of a full window comes within a window's time.
		i := r.IntN(len(open))
		if u.off+(window-1)*block <= int64(open[len(open)-1]) {
			i = 0
		}
		off := open[i]
		open = append(open[:i], open[i+1:]...)
		if err := q.write(data[off:min(off+block, len(data))], int64(off)); err != nil {
			t.Fatalf("write at %d: %v", off, err)
		}
	}
	if !bytes.Equal(u.got, data) || q.hole() != nil || q.room.left != maxAhead {
		t.Errorf("got %d bytes, want %d; hole %v; budget %d", len(u.got), len(data), q.hole(), q.room.left)
	}
}

// TestSequenceBudget fills the channel's memory with the smallest blocks, from
// two uploads.
func TestSequenceBudget(t *testing.T) {
	q, _ := newSequence(0, true)
	other, _ := newSequence(0, true)
	other.room = q.room
	blocks := 0
	for off := int64(1); ; off++ {
		q, off := []*sequence{q, other}[off%2], off
		if err := q.write([]byte("x"), off); err != nil {
			break
		}
		blocks++
	}
	if want := maxAhead / (blockCost + 1); blocks != want {
		t.Errorf("%d one-byte blocks wait, want %d", blocks, want)
	}
	other.drop()
	q.drop()
	if q.room.left != maxAhead {
		t.Errorf("budget: %d left after drop", q.room.left)
	}
}
