package scp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"bundleup/vfs"
)

// upload is what a sink needs of a *vfs.Upload.
type upload interface {
	Touch(mtime time.Time)
	Write(p []byte) (int, error)
	Commit(ctx context.Context) (*vfs.Receipt, error)
	Suspend(ctx context.Context) error
	Discard(ctx context.Context) error
}

// maxDepth bounds directories within directories, on both ways.
const maxDepth = 64

// sink receives: scp -t.
type sink struct {
	*session
	options
	target      string // absolute
	isDirectory bool   // the target was one when the command began
	dirs        []string
	mtime       time.Time // for the next entry, from its T record; zero: none
	entries     int       // directly under the target
	buf         []byte    // for content; made for the first file
}

func newSink(s *session, o options) *sink {
	return &sink{session: s, options: o, target: absolute(o.paths[0])}
}

// absolute is the view's name of a path as clients give it. Every account's
// home is its root.
func absolute(name string) string {
	if name == "~" || strings.HasPrefix(name, "~/") {
		name = name[1:]
	}
	return path.Join("/", name)
}

// run answers records until the client ends its side.
func (s *sink) run() error {
	if err := s.lookAtTarget(); err != nil {
		return fatal{err}
	}
	if err := s.ok(); err != nil {
		return err
	}
	for {
		line, err := s.record()
		if err == io.EOF && len(s.dirs) == 0 {
			return nil
		}
		if err != nil {
			return noEOF(err)
		}
		if done, err := s.handle(line); done || err != nil {
			return err
		}
	}
}

// lookAtTarget finds out what the target is, and refuses one that must be a
// directory and is none.
func (s *sink) lookAtTarget() error {
	info, err := s.view.Stat(s.ctx, s.target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.isDirectory = err == nil && info.IsDir()
	slash := strings.HasSuffix(s.paths[0], "/") && !s.recursive // -r makes it
	switch {
	case s.isDirectory || !s.directory && !slash:
		return nil
	case err == nil:
		return refused(s.target, "%s is not a directory", s.target)
	}
	return refused(s.target, "there is no directory %s: make it first, or upload to /", s.target)
}

// handle does what one record says; done is at the end of all of them.
func (s *sink) handle(line string) (done bool, err error) {
	if line == "" {
		return false, violated("unexpected newline")
	}
	switch line[0] {
	case answerFailed: // a file that the client cannot read, as it has told
		s.failed = true
		return false, nil
	case answerFatal:
		return false, errHungUp
	case 'T':
		if s.mtime, err = parseTimes(line); err != nil {
			return false, err
		}
		return false, s.ok()
	case 'C':
		return false, s.file(line)
	case 'D':
		return false, s.enter(line)
	case 'E':
		return s.leave(line)
	}
	return false, violated("expected control record")
}

// dir is the directory that the next entry goes into; "" where the target's own
// name is the entry's.
func (s *sink) dir() string {
	switch {
	case len(s.dirs) > 0:
		return s.dirs[len(s.dirs)-1]
	case s.isDirectory:
		return s.target
	}
	return ""
}

// place is the view's name for the next entry.
func (s *sink) place(name string) (string, error) {
	dir := s.dir()
	if err := checkName(name, dir != ""); err != nil {
		return "", err
	}
	if dir != "" {
		return path.Join(dir, name), nil
	}
	if s.entries++; s.entries > 1 {
		return "", refused(s.target, "several files need a directory to go to, and %s is none", s.target)
	}
	return s.target, nil
}

// takeTime gives what the last T record said and forgets it.
func (s *sink) takeTime() time.Time {
	t := s.mtime
	s.mtime = time.Time{}
	return t
}

// enter makes the directory of a D record. After a refusal the client sends
// nothing of what is in it.
func (s *sink) enter(line string) error {
	if !s.recursive {
		return violated("received directory without -r")
	}
	e, err := parseEntry(line)
	if err != nil {
		return err
	}
	s.takeTime()
	dir, err := s.place(e.name)
	if err == nil {
		err = s.mkdir(dir)
	}
	if err != nil {
		return s.refuse(cmp.Or(dir, e.name), err)
	}
	s.dirs = append(s.dirs, dir)
	return s.ok()
}

// mkdir makes a directory that may exist.
func (s *sink) mkdir(dir string) error {
	if len(s.dirs) == maxDepth {
		return refused(dir, "directories go at most %d deep", maxDepth)
	}
	err := s.view.Mkdir(s.ctx, dir)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if info, serr := s.view.Stat(s.ctx, dir); serr != nil || !info.IsDir() {
		return err
	}
	return nil
}

// leave ends a directory. Where none was entered it ends the command, as in
// OpenSSH.
func (s *sink) leave(line string) (done bool, err error) {
	if line != "E" {
		return false, violated("expected control record")
	}
	if len(s.dirs) > 0 {
		s.dirs = s.dirs[:len(s.dirs)-1]
		return false, s.ok()
	}
	return true, s.ok()
}

// file receives the file of a C record. When the record is refused the client
// sends none of its content.
func (s *sink) file(line string) error {
	e, err := parseEntry(line)
	if err != nil {
		return err
	}
	mtime := s.takeTime()
	name, err := s.place(e.name)
	var up upload
	if err == nil {
		up, err = s.create(s.ctx, name, vfs.Flags{Create: true, Trunc: true})
	}
	if err != nil {
		return s.refuse(cmp.Or(name, e.name), err)
	}
	if !mtime.IsZero() {
		up.Touch(mtime)
	}
	return s.receive(up, name, e.size)
}

// receive takes the content of an upload and gives the verdict. However it is
// left, the upload has ended.
func (s *sink) receive(up upload, name string, size int64) error {
	ended := false
	defer func() {
		if !ended {
			s.suspend(up, name)
		}
	}()
	if err := s.ok(); err != nil {
		return err
	}
	failure, err := s.content(up, size)
	if err != nil {
		return err
	}
	whole, err := s.answer()
	switch {
	case err == io.EOF: // curl ends here, without a word
		whole = true
	case err != nil:
		return err
	}
	if failure != nil {
		return s.refuse(name, failure)
	}
	ended = true
	return s.verdict(up, name, whole)
}

// content moves size bytes into the upload. When that fails the rest is read
// all the same: the client listens only behind the last byte.
func (s *sink) content(up upload, size int64) (failure, err error) {
	if s.buf == nil {
		s.buf = make([]byte, chunk)
	}
	for left := size; left > 0 && err == nil; {
		n := 0
		n, err = io.ReadFull(s.in, s.buf[:min(left, chunk)])
		left -= int64(n)
		if failure == nil && n > 0 {
			_, failure = up.Write(s.buf[:n])
		}
	}
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return failure, noEOF(err)
}

// verdict ends an upload that was received to its last byte and answers. A
// client that could not read its own file has filled it up with zeros, which
// nobody may continue behind.
func (s *sink) verdict(up upload, name string, whole bool) error {
	if !whole {
		if err := up.Discard(s.ctx); err != nil {
			return s.refuse(name, err)
		}
		return s.refuse(name, refused(name, "the file could not be read where it comes from: send it again"))
	}
	receipt, err := up.Commit(s.ctx)
	if err != nil {
		return s.refuse(name, err)
	}
	if notice := receipt.Notice(); notice != "" {
		s.note(printable(notice))
	}
	return s.ok()
}

func (s *sink) suspend(up upload, name string) {
	if err := up.Suspend(s.ctx); err != nil {
		s.logFailure(name, err)
	}
}
