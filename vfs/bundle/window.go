package bundle

import (
	"bytes"
	"encoding/binary"

	"bundleup/vfs/bundle/inflate"
)

const (
	// maxCheckpoint is more than a decoder's checkpoint takes.
	maxCheckpoint = 256
	// maxGap is how many bytes that nobody needs are kept rather than begin
	// another run.
	maxGap = 3
	// maxWindow is longer than every window: a run takes at most 6 bytes and
	// stands for one at least, with a gap of maxGap+1 in front.
	maxWindow = maxCheckpoint + 2*inflate.HistoryLen + 64
)

// appendWindow appends what a decoder needs at a checkpoint: the checkpoint
// behind its length, the length of the history, the number of runs, for each run
// how many bytes of the history come before it that nobody needs and how many it
// has, and then the bytes of all runs. used has a 1 for each byte that is needed; nil
// stands for all.
func appendWindow(b, checkpoint, history, used []byte) []byte {
	b = appendText(b, checkpoint)
	b = binary.AppendUvarint(b, uint64(len(history)))
	runs := runsOf(len(history), used)
	b = binary.AppendUvarint(b, uint64(len(runs)))
	at := 0
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r[0]-at))
		b = binary.AppendUvarint(b, uint64(r[1]-r[0]))
		at = r[1]
	}
	for _, r := range runs {
		b = append(b, history[r[0]:r[1]]...)
	}
	return b
}

// runsOf finds the runs of a history of n bytes, as begin and end.
func runsOf(n int, used []byte) (runs [][2]int) {
	if used == nil && n > 0 {
		return [][2]int{{0, n}}
	}
	for at := 0; ; {
		gap := bytes.IndexByte(used[at:], 1)
		if gap < 0 {
			return runs
		}
		begin := at + gap
		for at = begin; at < len(used) && used[at] != 0; at++ {
		}
		if last := len(runs) - 1; last >= 0 && begin-runs[last][1] <= maxGap {
			runs[last][1] = at
		} else {
			runs = append(runs, [2]int{begin, at})
		}
	}
}

// parseWindow is the reverse of appendWindow for bytes that are not trusted;
// what nobody needs of the history is zero.
func parseWindow(b []byte) (checkpoint, history []byte, ok bool) {
	checkpoint, b, ok = cutText(b, maxCheckpoint)
	n, b, ok2 := cutUvarint(b, inflate.HistoryLen)
	count, b, ok3 := cutUvarint(b, n)
	if !ok || !ok2 || !ok3 {
		return nil, nil, false
	}
	history = make([]byte, n)
	data := b
	for range 2 * count {
		if _, data, ok = cutUvarint(data, n); !ok {
			return nil, nil, false
		}
	}
	at := 0
	for range count {
		var gap, run int
		gap, b, _ = cutUvarint(b, n)
		run, b, _ = cutUvarint(b, n)
		if gap > n-at || run > n-at-gap || run > len(data) {
			return nil, nil, false
		}
		at += gap
		at += copy(history[at:], data[:run])
		data = data[run:]
	}
	return checkpoint, history, len(data) == 0
}

// cutUvarint cuts a number off the front of b that is at most limit.
func cutUvarint(b []byte, limit int) (v int, rest []byte, ok bool) {
	u, n := binary.Uvarint(b)
	if n <= 0 || u > uint64(limit) {
		return 0, nil, false
	}
	return int(u), b[n:], true
}

// cutText cuts bytes behind their length off the front of b, at most limit.
func cutText(b []byte, limit int) (text, rest []byte, ok bool) {
	n, b, ok := cutUvarint(b, limit)
	if !ok || n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
