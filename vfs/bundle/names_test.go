package bundle

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"
)

// model is what names does, with the names themselves.
type model map[string]kind

func (m model) place(name string, k kind) *Rejection {
	clean := path.Clean(name)
	if clean == "." {
		return clash(kindDir, k, false)
	}
	for i := range len(clean) {
		if clean[i] != '/' {
			continue
		}
		if r := clash(m[clean[:i]], kindDir, true); r != nil {
			return r
		}
		m[clean[:i]] = kindDir
	}
	if r := clash(m[clean], k, false); r != nil {
		return r
	}
	m[clean] = k
	return nil
}

// TestNamesLikeModel places random names and keeps on after rejections, which
// a Check does not.
func TestNamesLikeModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		table, want := newNames([2]uint64{rng.Uint64(), rng.Uint64()}, 1<<20), model{}
		for range 5000 {
			name := randomName(rng)
			k := kind(1 + rng.IntN(3)*rng.IntN(2))
			got := table.place([]byte(name), k)
			if w := want.place(name, k); (got == nil) != (w == nil) || got != nil && *got != *w {
				t.Fatalf("seed %d: place(%q, %d) = %v, want %v", seed, name, k, got, w)
			}
		}
		if table.used != len(want) {
			t.Errorf("seed %d: %d names, want %d", seed, table.used, len(want))
		}
	}
}

func randomName(rng *rand.Rand) string {
	parts := []string{"a", "b", "c", "aaaaaaa", "aaaaaaaa", "aaaaaaaab", ".", "", "d.e", strings.Repeat("x", 40)}
	var s []string
	for range 1 + rng.IntN(5) {
		s = append(s, parts[rng.IntN(len(parts))])
	}
	name := strings.TrimLeft(strings.Join(s, "/"), "/")
	if name == "" {
		return "."
	}
	return name
}

func TestNamesKeepApart(t *testing.T) {
	h := map[uint64]string{}
	key := [2]uint64{1, 2}
	for _, p := range []string{"a", "ab", "a/b", "a/b/c", "ab/c", "a/bc", "b/a", "a\x00", "aaaaaaaa", "aaaaaaaa\x00", "aaaaaaaa/a", "aaaaaaaaa", strings.Repeat("a", 256), strings.Repeat("a", 264)} {
		s := newSip(key)
		for c := range strings.SplitSeq(p, "/") {
			s.component([]byte(c))
		}
		if other, ok := h[s.sum()]; ok {
			t.Errorf("%q and %q have the same hash", p, other)
		}
		h[s.sum()] = p
	}
}
