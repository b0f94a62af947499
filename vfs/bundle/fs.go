package bundle

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"
)

// lookup finds what a name of fs.FS stands for.
func (r *Reader) lookup(op, name string, follow bool) (*found, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	f, err := r.find([]byte(RawName(name)), follow)
	if err == nil && f == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return f, nil
}

// Open opens a file or directory of the bundle as unpacking it would leave it:
// of several entries of one name the last one counts, directories that the
// archive has no entry for are made up, sparse files have their holes, a hard
// link is the file that it leads to. Names are FSName's. Symbolic links are
// followed inside the bundle; one that is absolute or climbs out leads to
// fs.ErrNotExist.
//
// Files are io.ReaderAt and io.Seeker too, directories fs.ReadDirFile; all are
// safe for concurrent ReadAt. Sys of a FileInfo is the *Entry of the archive,
// which for a hard link is the link's own.
func (r *Reader) Open(name string) (fs.File, error) {
	f, err := r.lookup("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := r.info(f, name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if f.Type == TypeDir {
		return &dir{r: r, name: name, info: info, path: f.path}, nil
	}
	if info.content.Type == TypeHardlink {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errLost}
	}
	c, err := r.contentOf(info.content)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &File{name: name, info: info, content: c}, nil
}

// Stat tells of a file, through symbolic links.
func (r *Reader) Stat(name string) (fs.FileInfo, error) { return r.stat("stat", name, true) }

// Lstat tells of a file, and of a symbolic link as such.
func (r *Reader) Lstat(name string) (fs.FileInfo, error) { return r.stat("lstat", name, false) }

func (r *Reader) stat(op, name string, follow bool) (fs.FileInfo, error) {
	f, err := r.lookup(op, name, follow)
	if err != nil {
		return nil, err
	}
	info, err := r.info(f, name)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return info, nil
}

// ReadLink gives the target of a symbolic link as the archive has it.
func (r *Reader) ReadLink(name string) (string, error) {
	f, err := r.lookup("readlink", name, false)
	if err != nil {
		return "", err
	}
	if f.Type != TypeSymlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return string(f.Linkname), nil
}

// ReadDir gives all that a directory has, by name. List does not hold it.
func (r *Reader) ReadDir(name string) ([]fs.DirEntry, error) {
	var all []fs.DirEntry
	for d, err := range r.List(name) {
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

// List goes through a directory of any size, sorted by the bytes that the names
// have in the archive.
func (r *Reader) List(name string) iter.Seq2[fs.DirEntry, error] {
	return func(yield func(fs.DirEntry, error) bool) {
		f, err := r.lookup("readdir", name, true)
		if err == nil && f.Type != TypeDir {
			err = &fs.PathError{Op: "readdir", Path: name, Err: errors.New("not a directory")}
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for child, err := range r.children(f.path) {
			if err != nil {
				yield(nil, &fs.PathError{Op: "readdir", Path: name, Err: err})
				return
			}
			if !yield(&dirEntry{r, child}, nil) {
				return
			}
		}
	}
}

// fileInfo is an fs.FileInfo.
type fileInfo struct {
	name    string
	entry   *Entry
	content *found // that has the size and the times: another one for a hard link
}

// info tells of f under a name, of which the last component counts. A hard link
// that leads nowhere, as a bundle of a part of a tree may have, is an empty file
// that cannot be opened.
func (r *Reader) info(f *found, name string) (*fileInfo, error) {
	c, err := r.content(f)
	if errors.Is(err, fs.ErrNotExist) {
		c, err = f, nil
	}
	if err != nil {
		return nil, err
	}
	return &fileInfo{path.Base(name), &f.Entry, c}, nil
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.content.size() }
func (i *fileInfo) Mode() fs.FileMode  { return modeOf(&i.content.Entry) }
func (i *fileInfo) ModTime() time.Time { return i.content.ModTime }
func (i *fileInfo) IsDir() bool        { return i.content.Type == TypeDir }
func (i *fileInfo) Sys() any           { return i.entry }

// size is what the unpacked file has; the data of a dump directory is none.
func (f *found) size() int64 {
	switch f.Type {
	case TypeFile, TypeVendor:
		return f.RealSize
	case TypeSymlink:
		return int64(len(f.Linkname))
	}
	return 0
}

// modeOf turns a tar mode and type into those of fs.
func modeOf(e *Entry) fs.FileMode {
	m := fs.FileMode(e.Mode & 0o777)
	for _, b := range [...]struct {
		bit  uint32
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if e.Mode&b.bit != 0 {
			m |= b.mode
		}
	}
	return m | typeOf(e)
}

func typeOf(e *Entry) fs.FileMode {
	switch e.Type {
	case TypeDir:
		return fs.ModeDir
	case TypeSymlink:
		return fs.ModeSymlink
	case TypeFIFO:
		return fs.ModeNamedPipe
	}
	return 0
}

// dirEntry is an fs.DirEntry. That of a hard link looks for its target when it
// is asked for more than the name.
type dirEntry struct {
	r *Reader
	f *found
}

func (d *dirEntry) Name() string {
	_, base := parentOf(d.f.path)
	return escapeBytes(string(base))
}

func (d *dirEntry) IsDir() bool { return d.f.Type == TypeDir }

func (d *dirEntry) Type() fs.FileMode {
	if c, err := d.r.content(d.f); err == nil {
		return typeOf(&c.Entry)
	}
	return 0
}

func (d *dirEntry) Info() (fs.FileInfo, error) {
	i, err := d.r.info(d.f, d.Name())
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: d.Name(), Err: err}
	}
	return i, nil
}

func (d *dirEntry) String() string { return fs.FormatDirEntry(d) }

// dir is an open directory.
type dir struct {
	r    *Reader
	name string
	info *fileInfo
	path []byte

	next func() (*found, error, bool) // nil before the first ReadDir
	stop func()
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }

func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

func (d *dir) Close() error {
	if d.stop != nil {
		d.stop()
	}
	return nil
}

// ReadDir is that of fs.ReadDirFile. It goes on where the last call stopped.
func (d *dir) ReadDir(n int) (all []fs.DirEntry, err error) {
	if d.next == nil {
		d.next, d.stop = iter.Pull2(d.r.children(d.path))
	}
	for n <= 0 || len(all) < n {
		f, err, ok := d.next()
		if err != nil {
			return all, &fs.PathError{Op: "readdir", Path: d.name, Err: err}
		}
		if !ok {
			break
		}
		all = append(all, &dirEntry{d.r, f})
	}
	if n > 0 && len(all) == 0 {
		return nil, io.EOF
	}
	return all, nil
}
