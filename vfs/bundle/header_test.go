package bundle

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestNumber(t *testing.T) {
	for _, tc := range []struct {
		field string
		want  int64
		ok    bool
	}{
		{"0000644\x00", 0o644, true}, {"00000644", 0o644, true}, {"000644 \x00", 0o644, true}, {"000644\x00 ", 0o644, true}, {"   644 \x00", 0o644, true},
		{"77777777", 0o77777777, true}, {"        ", 0, true}, {string(make([]byte, 8)), 0, true}, {"7 \x00 \x00   ", 7, true}, {"\x00\x00\x00\x00\x00\x007", 7, true},
		{"00006448", 0, false}, {"0000 644", 0, false}, {"-0000644", 0, false}, {"000064\x001", 0, false}, {"0x000644", 0, false}, {"000064\xb7\x00", 0, false},
		{"00000000012\x00", 10, true}, {"777777777777", 0o777777777777, true}, {"000000012 \x00 ", 10, true}, {"00000000 012", 0, false}, {"0000000001\x002", 0, false},
		{"\x80\x00\x00\x00\x00\x00\x00\x05", 5, true}, {"\xff\xff\xff\xff\xff\xff\xff\xfe", -2, true}, {"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", 1<<63 - 1, true},
		{"\x80\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00", 0, false}, {"\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\x00\x00", -1 << 63, true},
	} {
		f := []byte(tc.field)
		if len(f) < 8 {
			f = append(f, 0)
		}
		got, _, ok := number(f)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("number(%q) = %d, %v, want %d, %v", f, got, ok, tc.want, tc.ok)
		}
	}
}

// TestNumberLikeText compares with what strconv makes of the trimmed field.
func TestNumberLikeText(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200000 {
		f := make([]byte, []int{8, 12}[rng.IntN(2)])
		for i := range f {
			f[i] = "00112345677 \x008"[rng.IntN(14)]
			if rng.IntN(8) > 0 && i < len(f)-rng.IntN(3) {
				f[i] = byte('0' + rng.IntN(8))
			}
		}
		text := strings.Trim(string(f), " \x00")
		want, err := strconv.ParseInt("0"+text, 8, 64)
		got, digits, ok := number(f)
		if ok != (err == nil) || ok && got != want || ok && (digits == 0) != (text == "") {
			t.Fatalf("number(%q) = %d, %d digits, %v, want %d, %v", f, got, digits, ok, want, err)
		}
	}
}

func TestSum(t *testing.T) {
	var b block
	for i := range b {
		b[i] = 0xff
	}
	if got := b.sum(); got != 512*255 {
		t.Errorf("sum of ones is %d, want %d", got, 512*255)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	want := uint32(0)
	for i := range b {
		b[i] = byte(rng.Uint32())
		want += uint32(b[i])
	}
	if got := b.sum(); got != want {
		t.Errorf("sum is %d, want %d", got, want)
	}
}
