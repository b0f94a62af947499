package inside

import (
	"bytes"
	"io"

	"bundleup/vfs"
)

// chunk is how much of a file is read at once, in bytes.
const chunk = 256 << 10

// files opens what each argument stands for and calls f, which may fail.
func (r *run) files(args []string, f func(name string, file vfs.File, size int64) error) int {
	if len(args) == 0 {
		return r.misused("no file is named")
	}
	for _, arg := range args {
		for _, name := range r.expand(arg) {
			if r.ctx.Err() != nil {
				return exitFailed
			}
			if err := r.file(name, f); err != nil {
				r.complain(name, err)
			}
		}
	}
	return exitOK
}

func (r *run) file(name string, f func(string, vfs.File, int64) error) error {
	file, err := r.fsys.Open(r.ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	i, err := file.Stat()
	if err != nil {
		return err
	}
	return f(name, file, i.Size())
}

func (r *run) cat(args []string) int {
	f, err := parse(args, "", "")
	if err != nil {
		return r.misused(err.Error())
	}
	return r.files(f.args, func(_ string, file vfs.File, size int64) error { return r.copy(file, 0, size) })
}

// copy writes [from, to) of a file out.
func (r *run) copy(file vfs.File, from, to int64) error {
	buf := make([]byte, min(chunk, max(to-from, 1)))
	for from < to {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		n, err := readFull(file, buf[:min(int64(len(buf)), to-from)], from)
		if _, werr := r.out.Write(buf[:n]); werr != nil {
			return r.ctx.Err()
		}
		if from += int64(n); err != nil {
			return err
		}
	}
	return nil
}

// readFull is ReadAt, where the end of the file before p is full is an error.
func readFull(file io.ReaderAt, p []byte, off int64) (int, error) {
	n, err := file.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *run) head(args []string) int { return r.part(args, r.headLines, r.headBytes) }

func (r *run) tail(args []string) int { return r.part(args, r.tailLines, r.tailBytes) }

// part writes a part of each file, with a title if there are several.
func (r *run) part(args []string, lines, octets func(vfs.File, int64, int64) error) int {
	f, err := parse(dated(args), "q", "nc")
	n, err2 := f.number("n", 10)
	c, err3 := f.number("c", -1)
	for _, err := range []error{err, err2, err3} {
		if err != nil {
			return r.misused(err.Error())
		}
	}
	first, titles := true, len(f.args) > 1 && !f.set['q']
	return r.files(f.args, func(name string, file vfs.File, size int64) error {
		if titles {
			if !first {
				r.out.printf("\n")
			}
			r.out.printf("==> %s <==\n", name)
		}
		first = false
		if c >= 0 {
			return octets(file, size, c)
		}
		return lines(file, size, n)
	})
}

// dated takes the old form "-20" for "-n 20", which fingers know.
func dated(args []string) []string {
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0][1] >= '0' && args[0][1] <= '9' {
		return append([]string{"-n", args[0][1:]}, args[1:]...)
	}
	return args
}

func (r *run) headBytes(file vfs.File, size, n int64) error { return r.copy(file, 0, min(size, n)) }

func (r *run) tailBytes(file vfs.File, size, n int64) error {
	return r.copy(file, max(0, size-n), size)
}

func (r *run) headLines(file vfs.File, size, n int64) error {
	buf := make([]byte, 64<<10)
	for off := int64(0); off < size && n > 0; {
		got, err := readFull(file, buf[:min(int64(len(buf)), size-off)], off)
		p := buf[:got]
		for at := 0; n > 0; {
			i := bytes.IndexByte(p[at:], '\n')
			if i < 0 {
				break
			}
			if at, n = at+i+1, n-1; n == 0 {
				p = p[:at]
			}
		}
		if _, werr := r.out.Write(p); werr != nil {
			return r.ctx.Err()
		}
		if off += int64(got); err != nil {
			return err
		}
	}
	return nil
}

// tailLines looks for the beginning of the last lines from the end on, and reads
// nothing that is far from it.
func (r *run) tailLines(file vfs.File, size, n int64) error {
	from, err := lastLines(file, size, n, r.ctx.Err)
	if err != nil {
		return err
	}
	return r.copy(file, from, size)
}

// lastLines is the offset of the n-th line from the end. A newline at the very end
// ends a line and begins none.
func lastLines(file io.ReaderAt, size, n int64, stopped func() error) (int64, error) {
	if n == 0 {
		return size, nil
	}
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		if err := stopped(); err != nil {
			return 0, err
		}
		p := buf[:min(int64(len(buf)), end)]
		start := end - int64(len(p))
		if _, err := readFull(file, p, start); err != nil {
			return 0, err
		}
		if end == size && p[len(p)-1] == '\n' {
			p = p[:len(p)-1]
		}
		for {
			i := bytes.LastIndexByte(p, '\n')
			if i < 0 {
				break
			}
			if n--; n == 0 {
				return start + int64(i) + 1, nil
			}
			p = p[:i]
		}
		end = start
	}
	return 0, nil
}
