package scp

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"bundleup/vfs"
)

// rootName is what the root directory is called in its D record: it has no name
// of its own, and clients refuse ".".
const rootName = "bundles"

// What received files and directories are to the client's own user. A view's
// read-only modes would keep him from replacing or removing his copy.
const (
	fileMode = 0o644
	dirMode  = 0o755
)

// source sends: scp -f.
type source struct {
	*session
	options
	buf []byte // for content; made for the first file
}

func newSource(s *session, o options) *source {
	return &source{session: s, options: o}
}

// run sends what every path names, after the client said that it is ready.
func (s *source) run() error {
	if ready, err := s.answer(); !ready {
		return noEOF(err)
	}
	for _, p := range s.joined() {
		names, err := s.expand(absolute(p))
		if err != nil {
			if err := s.refuse(absolute(p), err); err != nil {
				return err
			}
		}
		for _, name := range names {
			if err := s.named(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// joined takes several words for one path with blanks, as OpenSSH sends it,
// where that exists.
func (s *source) joined() []string {
	if len(s.paths) < 2 {
		return s.paths
	}
	whole := strings.Join(s.paths, " ")
	if _, err := s.view.Stat(s.ctx, absolute(whole)); err != nil {
		return s.paths
	}
	return []string{whole}
}

func (s *source) named(name string) error {
	info, err := s.view.Stat(s.ctx, name)
	if err != nil {
		return s.refuse(name, err)
	}
	return s.entry(name, info, 0)
}

// entry sends a file or a directory. Its error ends the command; what fails for
// the entry alone is told.
func (s *source) entry(name string, info fs.FileInfo, depth int) error {
	if info.Mode().Type() == fs.ModeSymlink {
		return s.link(name)
	}
	var err error
	switch {
	case !info.IsDir() && !info.Mode().IsRegular() && depth > 0:
		s.note(printable(name + ": not a regular file: it is not copied"))
		return nil
	case !info.IsDir() && !info.Mode().IsRegular():
		err = refused(name, "not a regular file")
	case !info.IsDir():
		return s.file(name)
	case !s.recursive:
		err = refused(name, "is a directory: give -r to copy it")
	case depth == maxDepth:
		err = refused(name, "directories go at most %d deep", maxDepth)
	}
	if err != nil {
		return s.refuse(name, err)
	}
	return s.directory(name, info, depth)
}

// link sends the file that a symbolic link leads to. One that leads to a directory
// could lead back to where it lies, and is only told of, as one that leads nowhere:
// bundles are full of them, and the copy has all that there is.
func (s *source) link(name string) error {
	info, err := s.view.Stat(s.ctx, name)
	if err == nil && info.Mode().IsRegular() {
		return s.file(name)
	}
	s.note(printable(name + ": the symbolic link is not copied"))
	return nil
}

// recordName is a name as a record carries it, with the newlines that would end the
// record encoded as OpenSSH's source does it (VIS_NL of vis(3)).
func recordName(name string) string { return strings.ReplaceAll(path.Base(name), "\n", `\^J`) }

// directory sends a directory with all that is in it.
func (s *source) directory(name string, info fs.FileInfo, depth int) error {
	base := recordName(name)
	if name == "/" {
		base = rootName
	}
	if accepted, err := s.announce('D', info.ModTime(), dirMode, 0, base); !accepted {
		return err
	}
	for i, err := range s.view.List(s.ctx, name) {
		if err != nil {
			if err := s.refuse(name, err); err != nil {
				return err
			}
			break
		}
		if err := s.entry(path.Join(name, i.Name()), i, depth+1); err != nil {
			return err
		}
	}
	if err := s.write([]byte("E\n")); err != nil {
		return err
	}
	_, err := s.answer()
	return noEOF(err)
}

// file sends one file.
func (s *source) file(name string) error {
	f, err := s.view.Open(s.ctx, name)
	if err != nil {
		return s.refuse(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s.refuse(name, err)
	}
	if accepted, err := s.announce('C', info.ModTime(), fileMode, info.Size(), recordName(name)); !accepted {
		return err
	}
	if err := s.content(f, name, info.Size()); err != nil {
		return err
	}
	if err := s.ok(); err != nil {
		return err
	}
	// libssh2 hangs up behind the last byte.
	if _, err = s.answer(); err == io.EOF {
		return nil
	}
	return err
}

// announce sends the records before a file or directory, and reports whether
// the client wants it.
func (s *source) announce(kind byte, mtime time.Time, mode, size int64, base string) (bool, error) {
	if s.times {
		t := max(0, mtime.Unix())
		if err := s.write(fmt.Appendf(nil, "T%d 0 %d 0\n", t, t)); err != nil {
			return false, err
		}
		if accepted, err := s.answer(); !accepted {
			return false, noEOF(err)
		}
	}
	if err := s.write(fmt.Appendf(nil, "%c%04o %d %s\n", kind, mode, size, base)); err != nil {
		return false, err
	}
	accepted, err := s.answer()
	return accepted, noEOF(err)
}

// content sends size bytes of f. When they cannot be read the command ends:
// OpenSSH's source fills up with zeros to stay in step, but then the other end
// has a file of the right size and wrong content.
func (s *source) content(f vfs.File, name string, size int64) error {
	if s.buf == nil {
		s.buf = make([]byte, chunk)
	}
	for off := int64(0); off < size; {
		p := s.buf[:min(chunk, size-off)]
		n, err := f.ReadAt(p, off)
		if n < len(p) {
			if err == io.EOF || err == nil {
				err = io.ErrUnexpectedEOF
			}
			return cut(name, err)
		}
		if err := s.write(p); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// cut is the error for a file whose announced content ends early.
func cut(name string, cause error) error {
	kind, _ := vfs.Explain(cause)
	return &vfs.Error{Kind: kind, Op: "read", Name: name, Err: cause,
		Text: path.Base(name) + " could not be read to its end: the copy is incomplete: fetch it again"}
}
