package bundle

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Scratch is temporary room: Write appends, ReadAt reads what was written. An
// *os.File that is empty will do. Who made it closes and removes it.
type Scratch interface {
	io.Writer
	io.ReaderAt
}

// spool keeps bytes to read them once later: a little in memory, more in
// scratch.
type spool struct {
	scratch func() (Scratch, error) // nil: only memory
	mem     []byte
	file    Scratch
	size    int64
}

// spoolMemory is how much of a spool stays in memory.
const spoolMemory = 1 << 20

func (s *spool) Write(b []byte) (int, error) {
	s.mem = append(s.mem, b...)
	s.size += int64(len(b))
	if s.scratch == nil || len(s.mem) < spoolMemory {
		return len(b), nil
	}
	if s.file == nil {
		f, err := s.scratch()
		if err != nil {
			return 0, fmt.Errorf("make scratch room: %w", err)
		}
		s.file = f
	}
	return len(b), s.flush()
}

func (s *spool) flush() error {
	_, err := s.file.Write(s.mem)
	s.mem = s.mem[:0]
	if err != nil {
		return fmt.Errorf("write scratch: %w", err)
	}
	return nil
}

// reader reads all from the start. Nothing may be written any more.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.mem)
	}
	stored := io.NewSectionReader(s.file, 0, s.size-int64(len(s.mem)))
	return io.MultiReader(bufio.NewReaderSize(stored, 64<<10), bytes.NewReader(s.mem))
}

// ReadAt reads what was written.
func (s *spool) ReadAt(b []byte, at int64) (n int, err error) {
	stored := s.size - int64(len(s.mem))
	if at < stored {
		if n, err = s.file.ReadAt(b[:min(int64(len(b)), stored-at)], at); n < len(b) && at+int64(n) < stored {
			return n, err
		}
	}
	if at += int64(n); n < len(b) && at < s.size {
		n += copy(b[n:], s.mem[at-stored:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// sortMemory is how many bytes of items are sorted in memory at once.
const sortMemory = 8 << 20

// mergeMemory is shared by the buffers of a merge.
const mergeMemory = 8 << 20

// sorter sorts items by their keys, in memory of sortMemory, with runs in
// scratch. Keys must differ.
type sorter struct {
	scratch func() (Scratch, error) // nil: only memory
	data    []byte
	items   []span32 // in data: key, then value
	file    Scratch
	runs    []int64 // where each ends
}

// span32 is an item in memory.
type span32 struct{ at, value, end uint32 }

func (s *sorter) add(key, value []byte) error {
	at := len(s.data)
	s.data = append(append(s.data, key...), value...)
	s.items = append(s.items, span32{uint32(at), uint32(at + len(key)), uint32(len(s.data))})
	const most = 1<<32 - 1<<20
	switch {
	case s.scratch != nil && len(s.data)+12*len(s.items) >= sortMemory:
		return s.run()
	case len(s.data) > most:
		return errors.New("sort entries: too many to do without scratch")
	}
	return nil
}

func (s *sorter) sort() {
	slices.SortFunc(s.items, func(a, b span32) int {
		return bytes.Compare(s.data[a.at:a.value], s.data[b.at:b.value])
	})
}

// run writes what is in memory as a sorted run.
func (s *sorter) run() error {
	if s.file == nil {
		f, err := s.scratch()
		if err != nil {
			return fmt.Errorf("make scratch room: %w", err)
		}
		s.file = f
	}
	s.sort()
	end := int64(0)
	if len(s.runs) > 0 {
		end = s.runs[len(s.runs)-1]
	}
	w := bufio.NewWriterSize(s.file, 64<<10)
	var head []byte
	for _, it := range s.items {
		head = binary.AppendUvarint(head[:0], uint64(it.value-it.at))
		head = binary.AppendUvarint(head, uint64(it.end-it.value))
		w.Write(head)
		w.Write(s.data[it.at:it.end])
		end += int64(len(head)) + int64(it.end-it.at)
	}
	s.runs = append(s.runs, end)
	s.data, s.items = s.data[:0], s.items[:0]
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write scratch: %w", err)
	}
	return nil
}

// each calls f with every item in the order of the keys; what f gets is valid
// during the call.
func (s *sorter) each(f func(key, value []byte) error) error {
	if len(s.runs) == 0 {
		s.sort()
		for _, it := range s.items {
			if err := f(s.data[it.at:it.value], s.data[it.value:it.end]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.run(); err != nil {
		return err
	}
	s.data, s.items = nil, nil
	return s.merge(f)
}

func (s *sorter) merge(f func(key, value []byte) error) error {
	var h runHeap
	from := int64(0)
	buffer := max(mergeMemory/len(s.runs), 4<<10)
	for _, end := range s.runs {
		r := &runReader{r: bufio.NewReaderSize(io.NewSectionReader(s.file, from, end-from), buffer)}
		from = end
		if err := r.next(); err == nil {
			h = append(h, r)
		} else if err != io.EOF {
			return fmt.Errorf("read scratch: %w", err)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		if err := f(h[0].key, h[0].value); err != nil {
			return err
		}
		switch err := h[0].next(); {
		case err == io.EOF:
			heap.Pop(&h)
		case err != nil:
			return fmt.Errorf("read scratch: %w", err)
		default:
			heap.Fix(&h, 0)
		}
	}
	return nil
}

// runReader reads a run.
type runReader struct {
	r          *bufio.Reader
	b          []byte
	key, value []byte
}

// next gives io.EOF at the run's end.
func (r *runReader) next() error {
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return err
	}
	m, err := binary.ReadUvarint(r.r)
	if err != nil || n > maxBlock || m > maxBlock {
		return io.ErrUnexpectedEOF
	}
	r.b = slices.Grow(r.b[:0], int(n+m))[:n+m]
	r.key, r.value = r.b[:n], r.b[n:]
	if _, err = io.ReadFull(r.r, r.b); err != nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// runHeap has the run with the least key on top.
type runHeap []*runReader

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return bytes.Compare(h[i].key, h[j].key) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*runReader)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
