package s3

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"
)

// inParallel calls f with 0 to n-1, at most limit at once, and waits for all.
func inParallel(n, limit int, f func(i int)) {
	var wg sync.WaitGroup
	turn := make(chan struct{}, limit)
	for i := range n {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			f(i)
		})
	}
	wg.Wait()
}

// parseCRC reads a checksum as the headers write it; an empty one is 0.
func parseCRC(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, errors.New("a checksum is malformed")
	}
	return binary.BigEndian.Uint32(b), nil
}
