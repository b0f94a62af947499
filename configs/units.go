package configs

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. As text it is digits, with a fraction if you like, and
// a unit: B, kB, MB, GB, TB, PB (powers of 1000) or KiB, MiB, GiB, TiB, PiB (of 1024).
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if whole, ierr := strconv.ParseInt(digits, 10, 64); ierr == nil && whole >= 0 && whole <= math.MaxInt64/unit {
		*s = Size(whole * unit)
		return nil
	}
	if err != nil || !(n >= 0) || n*float64(unit) >= math.MaxInt64 || strings.ContainsAny(digits, "eExXpP_nN") {
		return fmt.Errorf("%q is not a size: write it like 50GiB", text)
	}
	*s = Size(n * float64(unit))
	return nil
}

// String writes the size in the largest unit that leaves no fraction.
func (s Size) String() string {
	for _, u := range sizeUnits[:5] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Duration is a span of time. As text it is Go's ("72h", "1m30s"), or days ("90d").
type Duration time.Duration

const day = 24 * time.Hour

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return fmt.Errorf("%v is a number without a unit: write %vs for seconds, or m, h, d", n, n)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/int64(day) {
			*d = Duration(time.Duration(n) * day)
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration: write it like 30s, 72h or 90d", text)
	}
	*d = Duration(v)
	return nil
}

// String writes whole days as such.
func (d Duration) String() string {
	if d != 0 && time.Duration(d)%day == 0 {
		return fmt.Sprintf("%dd", time.Duration(d)/day)
	}
	s := time.Duration(d).String()
	s = strings.TrimSuffix(s, "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(s, "m0s")]
	return strings.TrimSuffix(s, "h0m") + map[bool]string{true: "h"}[strings.HasSuffix(s, "h0m")]
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Time is a moment. As text it is RFC 3339 ("2027-01-31T18:00:00Z"), or a date,
// which means the beginning of that day in UTC.
type Time struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Time) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if v, err := time.Parse(layout, s); err == nil && !v.IsZero() {
			t.Time = v.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a time: write it like 2027-01-31 or 2027-01-31T18:00:00Z", text)
}

// String writes the beginning of a day as its date.
func (t Time) String() string {
	if t.Equal(t.UTC().Truncate(day)) {
		return t.UTC().Format(time.DateOnly)
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
