package bundle

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// room is Scratch in memory that can fail.
type room struct {
	b    []byte
	fail error // of writes, if not nil
}

func (r *room) Write(p []byte) (int, error) {
	if r.fail != nil {
		return 0, r.fail
	}
	r.b = append(r.b, p...)
	return len(p), nil
}

func (r *room) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(r.b).ReadAt(p, at) }

// TestCompileScratch: more entries than fit into memory are sorted in scratch room, and
// the index is the same as without.
func TestCompileScratch(t *testing.T) {
	data := gz(manyEntries(120000))
	j := journalOf(t, data, func(left int) int { return min(left, 32<<10) }, false)
	compile := func(o CompileOptions) ([]byte, error) {
		var b bytes.Buffer
		err := Compile(t.Context(), &b, bytes.NewReader(j), int64(len(j)), o)
		return b.Bytes(), err
	}
	want, err := compile(CompileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var rooms []*room
	got, err := compile(CompileOptions{Scratch: func() (Scratch, error) {
		rooms = append(rooms, &room{})
		return rooms[len(rooms)-1], nil
	}})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("with scratch: %d bytes, %v, want the %d that come without", len(got), err, len(want))
	}
	if len(rooms) == 0 || len(rooms) > 3 || len(rooms[0].b) == 0 {
		t.Errorf("%d rooms were used, want 1 to 3", len(rooms))
	}
	full := errors.New("full")
	if _, err := compile(CompileOptions{Scratch: func() (Scratch, error) { return nil, full }}); !errors.Is(err, full) {
		t.Errorf("without room: %v", err)
	}
	if _, err := compile(CompileOptions{Scratch: func() (Scratch, error) { return &room{fail: full}, nil }}); !errors.Is(err, full) {
		t.Errorf("in a room that is full: %v", err)
	}
}

// TestBuildIndexScratch: the journal of a bundle that is read anew goes to scratch room
// as well.
func TestBuildIndexScratch(t *testing.T) {
	data := gz(manyEntries(120000))
	build := func(scratch func() (Scratch, error)) []byte {
		var b bytes.Buffer
		_, err := BuildIndex(t.Context(), &b, io.Reader(bytes.NewReader(data)), Limits{}, BuildOptions{CompileOptions: CompileOptions{Scratch: scratch}})
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	rooms := 0
	got := build(func() (Scratch, error) { rooms++; return &room{}, nil })
	if want := build(nil); !bytes.Equal(got, want) || rooms == 0 {
		t.Errorf("%d bytes in %d rooms, want the %d that come without", len(got), rooms, len(want))
	}
}
