package s3

// step is a run of parts of one size.
type step struct {
	count int
	size  int64
}

// schedule says how large a part is, as a pure function of its number: whoever
// resumes an upload cuts it as its first writer did, and 10,000 parts, S3's
// limit, reach 5 TiB although the first ones are small.
//
// One part is filled while the one before it is on its way. What a killed daemon
// costs is these two: 16 MiB of an upload's first 7.8 GiB, and then less than a
// hundredth of what was sent before.
type schedule []step

const mib = 1 << 20

// schedules holds every schedule that states in a bucket may name, by version.
// What stands here is never changed: uploads are cut by it.
var schedules = map[int]schedule{
	1: {{1000, 16 * mib}, {1000, 64 * mib}, {1500, 256 * mib}, {6500, 768 * mib}},
	2: {{1000, 8 * mib}, {1000, 32 * mib}, {1000, 128 * mib}, {1000, 384 * mib}, {6000, 800 * mib}},
}

const currentSchedule = 2

// size is the length of part n, counted from 1, in bytes; 0 behind the last.
func (s schedule) size(n int) int64 {
	for _, st := range s {
		if n <= st.count {
			return st.size
		}
		n -= st.count
	}
	return 0
}

// start is the offset of part n, counted from 1, in bytes.
func (s schedule) start(n int) int64 {
	off, left := int64(0), n-1
	for _, st := range s {
		k := min(left, st.count)
		off += int64(k) * st.size
		left -= k
	}
	return off
}

// full is how many whole parts lie below off.
func (s schedule) full(off int64) int {
	n := 0
	for _, st := range s {
		k := min(off/st.size, int64(st.count))
		n += int(k)
		off -= k * st.size
		if k < int64(st.count) {
			break
		}
	}
	return n
}
