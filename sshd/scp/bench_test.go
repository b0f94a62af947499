package scp

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"bundleup/vfs"
)

const benchSize = 64 << 20

// BenchmarkSink is what the protocol alone costs an upload: the upload throws
// its bytes away.
func BenchmarkSink(b *testing.B) {
	v := newFakeView()
	record := fmt.Sprintf("C0644 %d a.tgz\n", benchSize) + strings.Repeat("x", benchSize) + "\x00"
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		s := newSession(b.Context(), IO{In: strings.NewReader(record), Out: io.Discard, Err: io.Discard}, v)
		s.create = func(context.Context, string, vfs.Flags) (upload, error) { return sunk{}, nil }
		if exit := s.main([]string{"-t", "."}); exit != 0 {
			b.Fatalf("exit %d", exit)
		}
	}
}

// BenchmarkSource is what it costs a download.
func BenchmarkSource(b *testing.B) {
	v := newFakeView("/a.tgz=" + strings.Repeat("x", benchSize))
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		s := newSession(b.Context(), IO{In: strings.NewReader("\x00\x00\x00"), Out: io.Discard, Err: io.Discard}, v)
		if exit := s.main([]string{"-f", "a.tgz"}); exit != 0 {
			b.Fatalf("exit %d", exit)
		}
	}
}

type sunk struct{ upload }

func (sunk) Write(p []byte) (int, error)                  { return len(p), nil }
func (sunk) Commit(context.Context) (*vfs.Receipt, error) { return &vfs.Receipt{}, nil }
