package s3

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"syscall"

	"bundleup/vfs/store"
)

// budget is the memory that all parts and read windows of a Store share, in
// blocks. It never waits: who gets no block uses the disk, so that slow uploads
// cannot starve others.
type budget struct {
	block int // bytes of one

	mu    sync.Mutex // guards what follows
	left  int        // blocks that may still be taken
	spare [][]byte   // blocks given back
	most  int        // blocks in use at once since the last trim
	used  int
}

const (
	blockSize = mib
	// maxSpare bounds how many blocks an idle daemon holds.
	maxSpare = 32
)

func newBudget(bytes int64, block int) *budget {
	return &budget{block: block, left: int(bytes / int64(block))}
}

// get takes a block, or returns nil.
func (b *budget) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return nil
	}
	b.left--
	b.used++
	b.most = max(b.most, b.used)
	if n := len(b.spare); n > 0 {
		p := b.spare[n-1]
		b.spare = b.spare[:n-1]
		return p
	}
	return make([]byte, b.block)
}

// put gives blocks back. They stay for the next part: let go, they would be garbage
// that no budget counts.
func (b *budget) put(blocks [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += len(blocks)
	b.used -= len(blocks)
	b.spare = append(b.spare, blocks...)
}

// trim lets the blocks go that were of no use since the last call.
func (b *budget) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if keep := max(maxSpare, b.most-b.used); len(b.spare) > keep {
		clear(b.spare[keep:])
		b.spare = b.spare[:keep]
	}
	b.most = b.used
}

// inMemory is the size of the largest part that may be in memory whole.
const inMemory = 64 * mib

// part is one part of an upload while it is filled and sent: blocks of memory,
// and behind them, when there are no more, a file that has no name.
type part struct {
	number int
	cap    int64
	budget *budget
	dir    string // for the file

	blocks [][]byte
	memory int64 // bytes in the blocks
	file   *os.File
	size   int64
	crc    uint32
}

func newPart(b *budget, dir string, number int, cap int64) *part {
	return &part{number: number, cap: cap, budget: b, dir: dir}
}

func (p *part) room() int64 { return p.cap - p.size }

// Write appends, at most up to the part's size.
func (p *part) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := p.some(b[done:])
		p.crc = crc32.Update(p.crc, castagnoli, b[done:done+n])
		p.size += int64(n)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// some writes what fits into one place.
func (p *part) some(b []byte) (int, error) {
	if p.file != nil {
		return p.toFile(b)
	}
	at := p.memory % int64(p.budget.block)
	if p.memory == int64(len(p.blocks)*p.budget.block) {
		block := []byte(nil)
		if p.cap <= inMemory {
			block = p.budget.get()
		}
		if block == nil {
			return p.toFile(b)
		}
		p.blocks = append(p.blocks, block)
	}
	n := copy(p.blocks[p.memory/int64(p.budget.block)][at:], b)
	p.memory += int64(n)
	return n, nil
}

func (p *part) toFile(b []byte) (int, error) {
	if p.file == nil {
		f, err := os.CreateTemp(p.dir, "part-")
		if err != nil {
			return 0, spoolError(err)
		}
		p.file = f
		// Without a name it is gone when the process is.
		if err := os.Remove(f.Name()); err != nil {
			return 0, spoolError(err)
		}
	}
	n, err := p.file.WriteAt(b, p.size-p.memory)
	return n, spoolError(err)
}

func spoolError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("spool part: %w: %w", store.ErrFull, err)
	}
	return fmt.Errorf("spool part: %w", err)
}

// ReadAt implements io.ReaderAt.
func (p *part) ReadAt(b []byte, off int64) (int, error) {
	done := 0
	for done < len(b) {
		at := off + int64(done)
		if at >= p.size {
			return done, io.EOF
		}
		var n int
		if at < p.memory {
			block := p.blocks[at/int64(p.budget.block)]
			from := at % int64(p.budget.block)
			n = copy(b[done:], block[from:min(int64(p.budget.block), from+p.memory-at)])
		} else {
			var err error
			want := min(int64(len(b)-done), p.size-at)
			if n, err = p.file.ReadAt(b[done:done+int(want)], at-p.memory); err != nil && int64(n) < want {
				return done + n, spoolError(err)
			}
		}
		done += n
	}
	return done, nil
}

func (p *part) body() body { return body{p, p.size, p.crc} }

// free gives memory and disk back. It may be called again.
func (p *part) free() {
	p.budget.put(p.blocks)
	p.blocks, p.memory, p.size = nil, 0, 0
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
}
