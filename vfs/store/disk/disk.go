// Package disk keeps sealed objects as plain files below one directory.
//
//	bundles/acme/case-17/X.tgz        sealed objects, nothing else
//	records/acme/case-17/X.tgz/NAME   their documents, and those of refusals
//	records/.tmp/                     documents being written
//	uploads/acme/ID/                  data, aside, name and state of an upload
//	lock                              held by the daemon that owns the root
//
// A root belongs to one daemon. While one process of it takes over from another
// both have the root open: see Share.
//
// What it guarantees: an object is in bundles only when its bytes, its
// documents and every directory on the way are synced, or, between a crash and
// the next Open, when the upload's directory holds an intent from which Open
// completes it. A link, which cannot replace, decides who owns a key. All
// access goes through an os.Root, so no symbolic link leads out of it.
//
// What it leaves out: expiry and quotas. What was sealed goes by Erase only.
// Files have mode 0600 and directories 0700: bundles are a customer's secrets
// and the daemon is the only reader. A backup runs as the same user or root.
//
// The three directories must be on one file system that has hard links and an
// fsync that means it.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"bundleup/vfs/store"
)

// The top of the layout.
const (
	bundlesDir = "bundles"
	recordsDir = "records"
	uploadsDir = "uploads"
	tempDir    = "records/.tmp" // emptied by Open
	lockName   = "lock"
)

// ErrLocked says that another process owns the root.
var ErrLocked = errors.New("another bundleup is using this directory")

// Options are the settings of a Store. The zero value is usable.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Lock is the root's lock as an older process of the daemon handed it over, see
	// Store.Share. Open takes it and closes it. Nil: nobody else may have the root.
	Lock *os.File
}

// Report counts what Open found and repaired.
type Report struct {
	Suspended  int // uploads that can be resumed
	Sealed     int // half-done seals that were completed
	RolledBack int // half-done seals that another object had overtaken
	Removed    int // uploads without a saved state, and temporary files
	Stuck      int // uploads left alone because of Err: a seal that cannot be completed now, a torn file
	Err        error
}

// Store implements store.Store, Resumer, Recorder, LargeRecorder, Toucher, Eraser
// and Finder.
type Store struct {
	files  files
	now    func() time.Time
	report Report
	lock   *os.File    // of the root; nil in tests
	owned  []io.Closer // the lock and the root, in closing order
	space  func() (free, size uint64, err error)
	mine   string        // begins the names of this process's files in tempDir
	temps  atomic.Uint64 // numbers them
	shared atomic.Bool   // other processes may have the root open; see Share

	// patience is how long Resume waits for another process to let go of an upload.
	patience time.Duration

	// pruning is read-locked while a record directory is made, filled or
	// synced, so that it is not removed as empty meanwhile, and locked while
	// shared begins. No other lock is waited for under it but mu.
	pruning sync.RWMutex

	mu      sync.Mutex // guards what follows; no I/O under it
	durable map[string]struct{}
	uploads map[store.ID]*upload
	claims  map[store.Key]*claim
}

// upload is what the store knows of a directory in uploads.
type upload struct {
	tenant string
	open   bool      // a Writer has it
	half   bool      // a seal must be completed first
	key    store.Key // of that seal; empty if its intent cannot be read
	data   io.Closer // of the Writer; nil before it has any
}

// Open opens the store in the directory root, which it makes if need be, and
// repairs what a crash left behind; see Report. The root stays locked until
// Close. The work is proportional to the number of unfinished uploads. With
// Options.Lock nothing is repaired before Alone.
func Open(root string, opts Options) (*Store, error) {
	if err := makeRoot(filepath.Clean(root)); err != nil {
		return nil, fmt.Errorf("open store %q: %w", root, mark(err))
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := lockRoot(r, opts.Lock)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("open store %q: %w", root, err)
	}
	s, err := open(rootFiles{r}, opts)
	if err != nil {
		lock.Close()
		r.Close()
		return nil, fmt.Errorf("open store %q: %w", root, err)
	}
	s.lock, s.owned = lock, []io.Closer{lock, r}
	s.space = func() (free, size uint64, err error) { return space(lock) }
	return s, nil
}

// open builds and repairs a Store on any file layer.
func open(f files, opts Options) (*Store, error) {
	s := &Store{
		files:    f,
		now:      opts.Now,
		mine:     rand.Text() + ".",
		patience: patience,
		durable:  map[string]struct{}{},
		uploads:  map[store.ID]*upload{},
		claims:   map[store.Key]*claim{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.shared.Store(opts.Lock != nil)
	err := s.makeLayout()
	if err == nil && !s.Shared() {
		s.report, err = s.repair()
	}
	if err != nil {
		return nil, mark(err)
	}
	return s, nil
}

// makeRoot makes the root and its parents durable. A directory that exists is
// taken as it is.
func makeRoot(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := makeRoot(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncAndClose(os.Open(filepath.Dir(dir)))
}

// lockRoot takes the lock file for this process, or the lock that was handed over.
func lockRoot(r *os.Root, handed *os.File) (*os.File, error) {
	f, err := r.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if handed != nil {
		if err := sameFile(f, handed); err != nil {
			return nil, errors.Join(err, f.Close(), handed.Close())
		}
		f.Close()
		f = handed
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sameFile reports that a lock of another root was handed over.
func sameFile(a, b *os.File) error {
	i, err := a.Stat()
	if err != nil {
		return err
	}
	j, err := b.Stat()
	if err == nil && !os.SameFile(i, j) {
		err = errors.New("the lock that was handed over is another root's")
	}
	return err
}

// Report tells what Open found. It does not change.
func (s *Store) Report() Report { return s.report }

// Free is the number of bytes that the file system has left for this user.
func (s *Store) Free(ctx context.Context) (uint64, error) {
	free, _, err := s.look(ctx)
	return free, err
}

// Size is the number of bytes that the file system has in all.
func (s *Store) Size(ctx context.Context) (uint64, error) {
	_, size, err := s.look(ctx)
	return size, err
}

func (s *Store) look(ctx context.Context) (free, size uint64, err error) {
	if err = ctx.Err(); err == nil {
		free, size, err = s.space()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("space of the disk: %w", err)
	}
	return free, size, nil
}

// Close gives the root free for another process. Writers and Objects should be
// closed before; what a Writer has open is closed, so that it writes no more.
func (s *Store) Close() error {
	var errs []error
	s.mu.Lock()
	for _, u := range s.uploads {
		if u.open && u.data != nil {
			errs = append(errs, u.data.Close())
		}
	}
	s.mu.Unlock()
	for _, c := range s.owned {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// mark adds store.ErrFull to the errors that mean it.
func mark(err error) error {
	if err != nil && isFull(err) && !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return err
}

var (
	_ store.Store    = (*Store)(nil)
	_ store.Resumer  = (*Store)(nil)
	_ store.Recorder = (*Store)(nil)
	_ store.Toucher  = (*Store)(nil)
	_ store.Eraser   = (*Store)(nil)
	_ store.Finder   = (*Store)(nil)

	_ store.LargeRecorder = (*Store)(nil)
)
