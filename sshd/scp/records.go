package scp

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// entry is a C or D record: "C0644 1234 name".
type entry struct {
	size int64
	name string
}

// parseEntry reads a C or D record. The mode is checked and dropped: a view has
// none to set.
func parseEntry(line string) (e entry, err error) {
	mode, rest, ok := strings.Cut(line[1:], " ")
	if !ok || len(mode) != 4 || strings.Trim(mode, "01234567") != "" {
		return e, violated("bad mode")
	}
	size, name, ok := strings.Cut(rest, " ")
	if !ok {
		return e, violated("size not delimited")
	}
	n, err := number(size, math.MaxInt64)
	if err != nil {
		return e, violated("bad size")
	}
	return entry{size: n, name: name}, nil
}

// maxTime is the last second of the year 9999, behind which a time has no
// RFC 3339 form for the receipt.
const maxTime = 253402300799

// parseTimes reads a T record, "T<mtime> <microseconds> <atime> <microseconds>",
// and gives the modification time.
func parseTimes(line string) (time.Time, error) {
	fields := strings.Split(line[1:], " ")
	if len(fields) != 4 {
		return time.Time{}, violated("bad times")
	}
	var n [4]int64
	for i, max := range []int64{maxTime, 999_999, math.MaxInt64, 999_999} {
		var err error
		if n[i], err = number(fields[i], max); err != nil {
			return time.Time{}, violated("bad times")
		}
	}
	return time.Unix(n[0], n[1]*1000), nil
}

// number reads decimal digits, and only digits.
func number(s string, max int64) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err == nil && int64(n) > max {
		err = strconv.ErrRange
	}
	return int64(n), err
}

// checkName reports why a record may not carry name. One that has no directory
// to be in may be empty (SSH.NET): the target's name counts then.
func checkName(name string, inDirectory bool) error {
	switch {
	case name == "" && !inDirectory:
		return nil
	case name == "":
		return refused(name, "the file has no name and the target is a directory: name the file in the target")
	case name == ".", name == "..", strings.Contains(name, "/"):
		return refused(name, "unexpected file name %q: send plain names", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return refused(name, "the name %q holds a control character: rename the file", name)
	}
	return nil
}
