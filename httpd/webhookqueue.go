package httpd

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// errQueueFull says that an event found no room.
var errQueueFull = errors.New("the queue is full")

// Names of the queue's files: a number of sixteen digits, and on the way there a
// name that the next start removes.
const (
	queueSuffix = ".json"
	queueTemp   = ".tmp"
)

// queue is events that wait on the disk, in the order in which they came. An event
// that was put is there after a crash; one that was dropped may come again after
// one. It is safe for concurrent use. Another process may put events into the same
// directory, which scan finds; only one may drop them.
type queue struct {
	root      *os.Root
	temp      string // this process's name on the way
	maxEvents int
	maxBytes  int64

	mu    sync.Mutex // guards all below, and the directory
	list  []queued
	bytes int64
	next  uint64
	wake  chan struct{} // has an element when something was put
}

// queued is one event: the number that is its name, its size in bytes, when it came.
type queued struct {
	number uint64
	size   int64
	since  time.Time
}

func (q queued) name() string { return fmt.Sprintf("%016d%s", q.number, queueSuffix) }

// openQueue opens the queue in dir, which it makes if need be, with what an earlier
// process left. Files of other names are left alone.
// With shared another process has the directory as well.
func openQueue(dir string, maxEvents int, maxBytes int64, shared bool) (*queue, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	q := &queue{
		root: root, temp: rand.Text() + queueTemp, maxEvents: maxEvents, maxBytes: maxBytes,
		next: 1, wake: make(chan struct{}, 1),
	}
	if !shared {
		err = q.removeTemps()
	}
	if err == nil {
		err = q.scan()
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return q, nil
}

func (q *queue) removeTemps() error {
	files, err := fs.ReadDir(q.root.FS(), ".")
	for _, f := range files {
		if strings.HasSuffix(f.Name(), queueTemp) {
			err = errors.Join(err, q.root.Remove(f.Name()))
		}
	}
	return err
}

// scan reads which events there are.
func (q *queue) scan() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	files, err := fs.ReadDir(q.root.FS(), ".")
	if err != nil {
		return err
	}
	q.list, q.bytes = q.list[:0], 0
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), queueSuffix)
		n, err := strconv.ParseUint(digits, 10, 63)
		if !ok || err != nil || !f.Type().IsRegular() {
			continue
		}
		i, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		e := queued{n, i.Size(), i.ModTime()}
		if e.name() == f.Name() {
			q.list = append(q.list, e)
			q.bytes += e.size
		}
	}
	slices.SortFunc(q.list, func(a, b queued) int { return cmp.Compare(a.number, b.number) })
	if n := len(q.list); n > 0 {
		q.next = max(q.next, q.list[n-1].number+1)
	}
	return nil
}

// put appends an event durably, or gives errQueueFull.
func (q *queue) put(event []byte, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) >= q.maxEvents || q.bytes+int64(len(event)) > q.maxBytes {
		return errQueueFull
	}
	e, err := q.write(event, now)
	if err != nil {
		return err
	}
	q.next = e.number + 1
	q.list = append(q.list, e)
	q.bytes += e.size
	q.rouse()
	return nil
}

func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// write makes the file appear whole and durable, bytes, name, directory, under the
// next number that is free.
func (q *queue) write(event []byte, now time.Time) (queued, error) {
	e := queued{q.next, int64(len(event)), now}
	if err := q.writeTemp(event); err != nil {
		return e, err
	}
	err := q.root.Link(q.temp, e.name())
	for n := 0; errors.Is(err, fs.ErrExist) && n < q.maxEvents; n++ { // another process took it
		e.number++
		err = q.root.Link(q.temp, e.name())
	}
	err = errors.Join(err, q.root.Remove(q.temp))
	if err == nil {
		err = q.syncDir()
	}
	return e, err
}

func (q *queue) writeTemp(event []byte) error {
	f, err := q.root.OpenFile(q.temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(event)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (q *queue) syncDir() error {
	d, err := q.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// head is the oldest event; ok is false where there is none. One whose file is gone
// has no bytes and no error.
func (q *queue) head() (e queued, event []byte, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return queued{}, nil, false, nil
	}
	e = q.list[0]
	event, err = q.root.ReadFile(e.name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return e, event, true, err
}

// drop removes an event. Where its file stays, the event comes again after a
// restart: who receives it knows it by its ID.
func (q *queue) drop(e queued) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.IndexFunc(q.list, func(o queued) bool { return o.number == e.number }); i >= 0 {
		q.list = slices.Delete(q.list, i, i+1)
		q.bytes -= e.size
	}
	if err := q.root.Remove(e.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return q.syncDir()
}

// state is what waits: how many, their bytes, since when the oldest.
func (q *queue) state() (events int, bytes int64, oldest time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) > 0 {
		oldest = q.list[0].since
	}
	return len(q.list), q.bytes, oldest
}

func (q *queue) close() error { return q.root.Close() }
