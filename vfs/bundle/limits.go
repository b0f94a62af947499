package bundle

import (
	"fmt"
	"math"
)

// Limits bound what a Check accepts. All of them count over the whole stream,
// across gzip members. A field of zero stands for its default.
type Limits struct {
	// MaxSize is the greatest number of compressed bytes; default 5 TiB.
	MaxSize int64
	// MaxUnpacked is the greatest number of bytes out of the decoder, those
	// behind the tar end marker included; default 16 TiB.
	MaxUnpacked int64
	// MaxRatio is the greatest ratio of unpacked to compressed bytes, looked
	// at once 1 GiB has been unpacked; default 200. DEFLATE cannot exceed 1032.
	MaxRatio int
	// MaxEntries is the greatest number of tar entries; default 1,000,000.
	// The table of their names grows with it: see Check.
	MaxEntries int64
	// MaxMembers is the greatest number of gzip members; default 65,536.
	MaxMembers int64
}

// ratioFrom is how many bytes must be unpacked before the ratio is judged.
const ratioFrom = 1 << 30

// maxEntriesLimit is what MaxEntries itself may be: the name table of so many
// entries still fits in memory that a large machine has.
const maxEntriesLimit = 1 << 30

// DefaultLimits are the limits of an empty configuration.
func DefaultLimits() Limits {
	return Limits{
		MaxSize:     5 << 40,
		MaxUnpacked: 16 << 40,
		MaxRatio:    200,
		MaxEntries:  1_000_000,
		MaxMembers:  65_536,
	}
}

// Validate reports the first field that is out of range. Zero is in range.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name   string
		v, max int64
	}{
		{"max_size", l.MaxSize, math.MaxInt64 - 1<<32},
		{"max_unpacked", l.MaxUnpacked, math.MaxInt64 - 1<<32},
		{"max_ratio", int64(l.MaxRatio), math.MaxInt32},
		{"max_entries", l.MaxEntries, maxEntriesLimit},
		{"max_members", l.MaxMembers, math.MaxInt64 - 1},
	} {
		if f.v < 0 || f.v > f.max {
			return fmt.Errorf("check limits: %s is %d, want 1 to %d, or 0 for the default", f.name, f.v, f.max)
		}
	}
	return nil
}

// filled is l with its defaults in place. What Validate would report is taken
// as the default too, so that no Check is ever without a bound.
func (l Limits) filled() Limits {
	d := DefaultLimits()
	if l.Validate() != nil {
		return d
	}
	for _, f := range []struct{ v, def *int64 }{
		{&l.MaxSize, &d.MaxSize},
		{&l.MaxUnpacked, &d.MaxUnpacked},
		{&l.MaxEntries, &d.MaxEntries},
		{&l.MaxMembers, &d.MaxMembers},
	} {
		if *f.v == 0 {
			*f.v = *f.def
		}
	}
	if l.MaxRatio == 0 {
		l.MaxRatio = d.MaxRatio
	}
	return l
}
