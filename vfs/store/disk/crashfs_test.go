package disk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

var errCrashed = errors.New("the machine is down")

// crashFS is a files in memory that knows what has been synced. It is more
// pessimistic than file systems are: after a crash any subset of the unsynced
// changes of a directory may be there, a rename across directories may have
// happened on one side only, and of unsynced bytes any prefix may have been
// written, with zeros behind it.
type crashFS struct {
	root *inode
	lock sync.Locker // held during an operation; nil where there is one goroutine
	step int         // operations so far

	// fault, if not nil, is asked at every operation. before fails it, after
	// lets it happen and then fails it.
	fault func(step int, op, name string) (before, after error)
	trace func(step int, op, name string)
}

// inode is a file or a directory, as it is now and as it is for certain.
type inode struct {
	dir     bool
	entries map[string]*inode
	stable  map[string]*inode
	pending []change // from stable to entries, oldest first

	data, stableData   []byte
	mtime, stableMtime time.Time

	// poisoned says that a sync failed: as on Linux, the next one succeeds
	// and writes nothing.
	poisoned bool
}

// change is one atomic step in a directory: names that appear, are replaced
// or, if nil, vanish.
type change map[string]*inode

func newDir() *inode {
	return &inode{dir: true, mtime: time.Unix(1, 0), entries: map[string]*inode{}, stable: map[string]*inode{}}
}

func newCrashFS() *crashFS { return &crashFS{root: newDir()} }

// newSharedFS is for tests that save beside what else they do.
func newSharedFS() *crashFS { return &crashFS{root: newDir(), lock: new(sync.Mutex)} }

func (n *inode) apply(c change) {
	n.pending = append(n.pending, c)
	set(n.entries, c)
}

func set(entries map[string]*inode, c change) {
	for name, node := range c {
		if node == nil {
			delete(entries, name)
		} else {
			entries[name] = node
		}
	}
}

// hold keeps others out, where there are any, until what it gives is called.
func (c *crashFS) hold() (release func()) {
	if c.lock == nil {
		return func() {}
	}
	c.lock.Lock()
	return c.lock.Unlock
}

// do is one operation: count it, fail it or carry it out.
func (c *crashFS) do(op, name string, f func() error) error {
	defer c.hold()()
	c.step++
	if c.trace != nil {
		c.trace(c.step, op, name)
	}
	var before, after error
	if c.fault != nil {
		before, after = c.fault(c.step, op, name)
	}
	if before != nil {
		return &fs.PathError{Op: op, Path: name, Err: before}
	}
	err := f()
	if err == nil {
		err = after
	}
	if err != nil && err != io.EOF {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return err
}

// crash is what a machine finds after power came back. keep says for each
// unsynced change whether it made it.
func (c *crashFS) crash(keep func() bool, rng *rand.Rand) *crashFS {
	seen := map[*inode]*inode{}
	return &crashFS{root: c.root.crash(keep, rng, seen), lock: c.lock}
}

func (n *inode) crash(keep func() bool, rng *rand.Rand, seen map[*inode]*inode) *inode {
	if m := seen[n]; m != nil {
		return m
	}
	m := newDir()
	seen[n] = m
	if !n.dir {
		*m = inode{data: n.crashData(keep, rng), mtime: n.stableMtime}
		if keep() {
			m.mtime = n.mtime
		}
		m.stableData, m.stableMtime = slices.Clone(m.data), m.mtime
		return m
	}
	left := maps.Clone(n.stable)
	for _, c := range n.pending {
		if keep() {
			set(left, c)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		m.entries[name] = left[name].crash(keep, rng, seen)
	}
	m.stable = maps.Clone(m.entries)
	return m
}

func (n *inode) crashData(keep func() bool, rng *rand.Rand) []byte {
	if !keep() {
		return slices.Clone(n.stableData)
	}
	data := slices.Clone(n.data)
	if keep() || len(data) == 0 {
		return data
	}
	cut := rng.IntN(len(data))
	for i := cut; i < len(data); i++ {
		data[i] = 0
		if i < len(n.stableData) {
			data[i] = n.stableData[i]
		}
	}
	return data
}

// find walks to a name; "." is the root.
func (c *crashFS) find(name string) (*inode, error) {
	n := c.root
	if name == "." {
		return n, nil
	}
	for elem := range strings.SplitSeq(name, "/") {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[elem]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// at finds the directory that holds name, and name's last element.
func (c *crashFS) at(name string) (*inode, string, error) {
	d, err := c.find(parent(name))
	if err == nil && !d.dir {
		err = syscall.ENOTDIR
	}
	return d, name[strings.LastIndexByte(name, '/')+1:], err
}

func (c *crashFS) OpenFile(name string, flag int) (f file, err error) {
	err = c.do("open", name, func() error {
		d, base, err := c.at(name)
		if err != nil {
			return err
		}
		n := d.entries[base]
		switch {
		case n == nil && flag&os.O_CREATE == 0:
			return syscall.ENOENT
		case n != nil && flag&os.O_EXCL != 0:
			return syscall.EEXIST
		case n != nil && n.dir:
			return syscall.EISDIR
		case n == nil:
			n = &inode{mtime: time.Now()}
			d.apply(change{base: n})
		}
		f = &crashFile{c, n, name}
		return nil
	})
	return f, err
}

func (c *crashFS) Mkdir(name string) error {
	return c.do("mkdir", name, func() error {
		d, base, err := c.at(name)
		if err != nil {
			return err
		}
		if d.entries[base] != nil {
			return syscall.EEXIST
		}
		d.apply(change{base: newDir()})
		return nil
	})
}

func (c *crashFS) Link(oldname, newname string) error {
	return c.do("link", newname, func() error {
		n, err := c.find(oldname)
		if err != nil {
			return err
		}
		d, base, err := c.at(newname)
		if err != nil {
			return err
		}
		if d.entries[base] != nil {
			return syscall.EEXIST
		}
		d.apply(change{base: n})
		return nil
	})
}

func (c *crashFS) Rename(oldname, newname string) error {
	return c.do("rename", newname, func() error {
		n, err := c.find(oldname)
		if err != nil {
			return err
		}
		from, old, _ := c.at(oldname)
		to, base, err := c.at(newname)
		if err != nil {
			return err
		}
		switch there := to.entries[base]; {
		case there == n:
			return nil // as rename(2)
		case there != nil && there.dir:
			return syscall.EISDIR
		}
		if from == to {
			to.apply(change{base: n, old: nil})
			return nil
		}
		to.apply(change{base: n})
		from.apply(change{old: nil})
		return nil
	})
}

func (c *crashFS) Remove(name string) error {
	return c.do("remove", name, func() error {
		n, err := c.find(name)
		if err != nil {
			return err
		}
		if len(n.entries) > 0 {
			return syscall.ENOTEMPTY
		}
		d, base, _ := c.at(name)
		d.apply(change{base: nil})
		return nil
	})
}

func (c *crashFS) Lstat(name string) (fi fs.FileInfo, err error) {
	err = c.do("lstat", name, func() error {
		n, err := c.find(name)
		if err == nil {
			fi = n.info(name[strings.LastIndexByte(name, '/')+1:])
		}
		return err
	})
	return fi, err
}

func (c *crashFS) SameFile(a, b fs.FileInfo) bool {
	return a.(*crashInfo).n == b.(*crashInfo).n
}

func (c *crashFS) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = c.do("readdir", name, func() error {
		n, err := c.find(name)
		if err != nil {
			return err
		}
		if !n.dir {
			return syscall.ENOTDIR
		}
		for base, n := range n.entries {
			entries = append(entries, fs.FileInfoToDirEntry(n.info(base)))
		}
		// Real directories have an order of their own; a repeatable one here.
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(b.Name(), a.Name()) })
		return nil
	})
	return entries, err
}

func (c *crashFS) Chtimes(name string, mtime time.Time) error {
	return c.do("chtimes", name, func() error {
		n, err := c.find(name)
		if err == nil {
			n.mtime = mtime
		}
		return err
	})
}

func (c *crashFS) SyncDir(name string) error {
	return c.do("syncdir", name, func() error {
		n, err := c.find(name)
		if err != nil {
			return err
		}
		n.stable, n.pending = maps.Clone(n.entries), nil
		return nil
	})
}

// crashFile is an open file of a crashFS; writes append.
type crashFile struct {
	c    *crashFS
	n    *inode
	name string
}

func (f *crashFile) Write(p []byte) (n int, err error) {
	err = f.c.do("write", f.name, func() error {
		f.n.data = append(f.n.data, p...)
		n = len(p)
		return nil
	})
	if err != nil && !errors.Is(err, errCrashed) {
		defer f.c.hold()()
		n = len(p) / 2 // as on a full disk
		f.n.data = append(f.n.data, p[:n]...)
	}
	return n, err
}

func (f *crashFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.c.do("read", f.name, func() error {
		n = copy(p, f.n.data[min(off, int64(len(f.n.data))):])
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *crashFile) Truncate(size int64) error {
	return f.c.do("truncate", f.name, func() error {
		f.n.data = slices.Clone(f.n.data[:size])
		return nil
	})
}

func (f *crashFile) Sync() error {
	return f.sync("sync", func() {
		f.n.stableData, f.n.stableMtime = slices.Clone(f.n.data), f.n.mtime
	})
}

func (f *crashFile) sync(op string, keep func()) error {
	err := f.c.do(op, f.name, func() error {
		if !f.n.poisoned {
			keep()
		}
		return nil
	})
	if err != nil {
		defer f.c.hold()()
		f.n.poisoned = true
	}
	return err
}

func (f *crashFile) SyncData() error {
	return f.sync("syncdata", func() { f.n.stableData = slices.Clone(f.n.data) })
}

func (f *crashFile) Flush(_, _ int64, wait bool) error {
	op := "flush"
	if wait {
		op = "flush and wait"
	}
	return f.c.do(op, f.name, func() error { return nil })
}

func (f *crashFile) Stat() (fi fs.FileInfo, err error) {
	err = f.c.do("stat", f.name, func() error {
		fi = f.n.info(f.name)
		return nil
	})
	return fi, err
}

func (f *crashFile) Lock() error { return nil }

func (f *crashFile) Close() error { return nil }

// crashInfo describes an inode as it was.
type crashInfo struct {
	n     *inode
	name  string
	size  int64
	mtime time.Time
}

func (n *inode) info(name string) *crashInfo {
	return &crashInfo{n, name, int64(len(n.data)), n.mtime}
}

func (i *crashInfo) Name() string       { return i.name }
func (i *crashInfo) Size() int64        { return i.size }
func (i *crashInfo) ModTime() time.Time { return i.mtime }
func (i *crashInfo) IsDir() bool        { return i.n.dir }
func (i *crashInfo) Sys() any           { return nil }
func (i *crashInfo) Mode() fs.FileMode {
	if i.n.dir {
		return fs.ModeDir | dirMode
	}
	return fileMode
}
