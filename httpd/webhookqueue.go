package httpd

import (
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
	queueTemp   = "new.tmp"
)

// queue is events that wait on the disk, in the order in which they came. An event
// that was put is there after a crash; one that was dropped may come again after
// one. It is safe for concurrent use.
type queue struct {
	root      *os.Root
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
func openQueue(dir string, maxEvents int, maxBytes int64) (*queue, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	q := &queue{root: root, maxEvents: maxEvents, maxBytes: maxBytes, next: 1, wake: make(chan struct{}, 1)}
	if err := q.load(); err != nil {
		root.Close()
		return nil, err
	}
	return q, nil
}

func (q *queue) load() error {
	if err := q.root.Remove(queueTemp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := fs.ReadDir(q.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), queueSuffix)
		n, err := strconv.ParseUint(digits, 10, 63)
		if !ok || err != nil || !f.Type().IsRegular() {
			continue
		}
		i, err := f.Info()
		if err != nil {
			return err
		}
		e := queued{n, i.Size(), i.ModTime()}
		if e.name() == f.Name() {
			q.list = append(q.list, e)
			q.bytes += e.size
		}
	}
	slices.SortFunc(q.list, func(a, b queued) int { return int(int64(a.number) - int64(b.number)) })
	if n := len(q.list); n > 0 {
		q.next = q.list[n-1].number + 1
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
	e := queued{q.next, int64(len(event)), now}
	if err := q.write(e, event); err != nil {
		return err
	}
	q.next++
	q.list = append(q.list, e)
	q.bytes += e.size
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// write makes the file appear whole and durable: bytes, name, directory.
func (q *queue) write(e queued, event []byte) error {
	f, err := q.root.OpenFile(queueTemp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(event)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := q.root.Rename(queueTemp, e.name()); err != nil {
		return err
	}
	return q.syncDir()
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

// drop removes the oldest event. Where its file stays, the event comes again after a
// restart: who receives it knows it by its ID.
func (q *queue) drop() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.list[0]
	q.list = q.list[1:]
	q.bytes -= e.size
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
