package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// trail appends to the files. One goroutine uses it at a time; other processes may
// append as well, for every append happens under the lock of FILE.lock.
type trail struct {
	cfg  Config
	file *os.File // nil: to be opened
	size int64    // of file
	at   link     // its last line
}

// append writes the events durably, all or none: on an error the caller has them
// still. A crash can leave the first few, or a torn line, which the next append
// removes.
func (t *trail) append(events []Event) error {
	unlock, err := lock(t.cfg.File, syscall.LOCK_EX)
	if err != nil {
		return fmt.Errorf("audit: lock: %w", err)
	}
	defer unlock()
	found, err := t.refresh()
	if err == nil {
		err = t.write(append(found, events...))
	}
	if err != nil {
		t.close()
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// lock waits for the lock of the trail. The lock file stays: removing it would let
// two processes hold two locks.
func lock(file string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	f, err := openFile(file+".lock", os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// openFile opens a file of the trail. One that root makes belongs to whom its
// directory belongs to: the daemon must be able to go on with it.
func openFile(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil || os.Geteuid() != 0 {
		return f, err
	}
	dir, err := os.Stat(filepath.Dir(name))
	if err != nil {
		f.Close()
		return nil, err
	}
	if s, ok := dir.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
		err = f.Chown(int(s.Uid), int(s.Gid))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (t *trail) close() {
	if t.file != nil {
		t.file.Close()
		t.file = nil
	}
}

// refresh opens the trail where another process has written or rotated it since,
// and tells what was wrong with its end.
func (t *trail) refresh() (found []Event, err error) {
	if t.file != nil {
		have, err1 := t.file.Stat()
		now, err2 := os.Stat(t.cfg.File)
		if err1 == nil && err2 == nil && os.SameFile(have, now) && now.Size() == t.size {
			return nil, nil
		}
		t.close()
	}
	if t.file, err = openFile(t.cfg.File, os.O_RDWR|os.O_CREATE); err != nil {
		return nil, err
	}
	torn, err := t.readEnd()
	if err != nil {
		return nil, err
	}
	if torn > 0 {
		found = append(found, t.event(Event{Type: Repaired, Bytes: torn, Detail: "a torn last line was removed"}))
	}
	head, err := readHead(t.cfg.File)
	if err != nil {
		return nil, err
	}
	if head.seq > t.at.seq || head.seq == t.at.seq && head.hash != t.at.hash {
		found = append(found, t.event(Event{Type: Cut,
			Detail: fmt.Sprintf("the trail ended at line %d, its head says line %d with hash %s", t.at.seq, head.seq, head.hash)}))
	}
	return found, nil
}

func (t *trail) event(e Event) Event {
	e.Time = t.cfg.Now()
	return e
}

// readEnd finds the last line and cuts off what is behind it.
func (t *trail) readEnd() (torn int64, err error) {
	if t.at, t.size, torn, err = endOf(t.file); err != nil {
		return 0, err
	}
	if torn > 0 {
		if err := errors.Join(t.file.Truncate(t.size), t.file.Sync()); err != nil {
			return 0, err
		}
	}
	if t.size > 0 {
		return torn, nil
	}
	// A new file goes on behind the newest of the older ones.
	older, err := olderFiles(t.cfg.File)
	if err != nil || len(older) == 0 {
		return torn, err
	}
	f, err := os.Open(older[len(older)-1])
	if err != nil {
		return 0, err
	}
	defer f.Close()
	t.at, _, _, err = endOf(f)
	return torn, err
}

// endOf finds the last whole line of a file, the size up to it, and what is behind.
func endOf(f *os.File) (at link, size, torn int64, err error) {
	i, err := f.Stat()
	if err != nil {
		return at, 0, 0, err
	}
	from := max(0, i.Size()-2*maxLine)
	b, err := io.ReadAll(io.NewSectionReader(f, from, i.Size()-from))
	if err != nil {
		return at, 0, 0, err
	}
	whole := bytes.LastIndexByte(b, '\n') + 1
	if whole == 0 && from > 0 {
		return at, 0, 0, errors.New("the file does not end in a line: is it an audit trail?")
	}
	torn = int64(len(b) - whole)
	if whole == 0 {
		return at, 0, torn, nil
	}
	last := b[bytes.LastIndexByte(b[:whole-1], '\n')+1 : whole]
	_, _, at, err = parseLine(last)
	if err != nil && !errors.Is(err, errChanged) {
		return at, 0, 0, fmt.Errorf("last line: %w: is it an audit trail?", err)
	}
	return at, from + int64(whole), torn, nil
}

// write appends, syncs, and moves the head.
func (t *trail) write(events []Event) error {
	b, at, err := encode(events, t.at)
	if err != nil {
		return err
	}
	if t.size > 0 && t.size+int64(len(b)) > t.cfg.RotateSize {
		rotated, err := t.rotate()
		if err != nil {
			return fmt.Errorf("rotate: %w", err)
		}
		if b, at, err = encode(append([]Event{rotated}, events...), t.at); err != nil {
			return err
		}
	}
	if _, err := t.file.WriteAt(b, t.size); err != nil {
		return errors.Join(err, t.file.Truncate(t.size))
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	if t.size == 0 {
		if err := syncDir(filepath.Dir(t.cfg.File)); err != nil {
			return err
		}
	}
	t.size, t.at = t.size+int64(len(b)), at
	for line := range strings.Lines(string(b)) {
		t.cfg.Written(strings.TrimSuffix(line, "\n"))
	}
	return writeHead(t.cfg.File, at)
}

func encode(events []Event, at link) (b []byte, end link, err error) {
	for _, e := range events {
		if b, at, err = appendLine(b, e, at); err != nil {
			return nil, at, err
		}
	}
	return b, at, nil
}

// rotate gives the file the name of an older one and begins a new one. Its first
// line tells what became of the rest.
func (t *trail) rotate() (Event, error) {
	first, err := firstSeq(t.file)
	if err != nil {
		return Event{}, err
	}
	old := fmt.Sprintf("%s.%020d", t.cfg.File, first)
	if err := os.Rename(t.cfg.File, old); err != nil {
		return Event{}, err
	}
	t.close()
	if t.file, err = openFile(t.cfg.File, os.O_RDWR|os.O_CREATE|os.O_EXCL); err != nil {
		return Event{}, err
	}
	t.size = 0
	e := t.event(Event{Type: Rotated, Name: filepath.Base(old)})
	e.RemovedTo, err = t.removeOld()
	return e, err
}

// removeOld removes the oldest files beyond Keep and tells the last line in them.
func (t *trail) removeOld() (to uint64, err error) {
	older, err := olderFiles(t.cfg.File)
	if err != nil || t.cfg.Keep == 0 || len(older) <= t.cfg.Keep {
		return 0, err
	}
	drop := older[:len(older)-t.cfg.Keep]
	to = firstOf(t.cfg.File, older[len(drop)]) - 1
	for _, name := range drop {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return to, syncDir(filepath.Dir(t.cfg.File))
}

func firstSeq(f *os.File) (uint64, error) {
	b := make([]byte, maxLine)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	_, _, own, err := parseLine(b[:bytes.IndexByte(b[:n], '\n')+1])
	if err != nil && !errors.Is(err, errChanged) {
		return 0, fmt.Errorf("first line: %w", err)
	}
	return own.seq, nil
}

// olderFiles are the rotated files, the oldest first.
func olderFiles(file string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(file), e.Name())
		if firstOf(file, name) > 0 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

// firstOf is the number of the first line in an older file, by its name; 0 if it is
// not one.
func firstOf(file, name string) uint64 {
	digits, ok := strings.CutPrefix(filepath.Base(name), filepath.Base(file)+".")
	if !ok || len(digits) != 20 {
		return 0
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// The head file is one line of fixed length, number and hash of the last line of
// the trail. It is written behind it, so that it is never ahead but where the trail
// was cut.
const headFormat = "%020d %s\n"

func headFile(file string) string { return file + ".head" }

func writeHead(file string, at link) error {
	f, err := openFile(headFile(file), os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, headFormat, at.seq, at.hash), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readHead reads the head; where there is none it is the zero link.
func readHead(file string) (link, error) {
	f, err := os.Open(headFile(file))
	if errors.Is(err, fs.ErrNotExist) {
		return link{}, nil
	}
	if err != nil {
		return link{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return link{}, err
	}
	return parseHead(strings.TrimSpace(string(b)))
}
