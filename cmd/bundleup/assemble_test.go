package main

import "testing"

func TestPasswordHashesFollowTheCores(t *testing.T) {
	for _, c := range []struct{ set, cores, want int }{{0, 1, 1}, {0, 2, 1}, {0, 8, 4}, {0, 1000, 64}, {5, 2, 5}} {
		if got := passwordHashes(c.set, c.cores); got != c.want {
			t.Errorf("%d set, %d cores: got %d, want %d", c.set, c.cores, got, c.want)
		}
	}
}
