package sftp

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"bundleup/vfs"
)

// session answers the requests of one channel. The filter before the server
// sees to it that only ReadAt of open files is called concurrently, and calls
// WriteAt itself.
type session struct {
	ctx    context.Context
	view   vfs.View
	create func(ctx context.Context, name string, f vfs.Flags) (upload, error)
	notes  notes
	log    *slog.Logger
	hangUp func() // ends the channel at once; nil for most clients, see ErrHungUp
	ahead  *budget
	take   func() bool // see Options.TakeHandle
	give   func()
	// open is the upload behind a path: the server gives FSTAT and FSETSTAT
	// without their handle.
	open map[string]*incoming
	// made is what the last Filewrite made, for the filter.
	made *incoming
}

func newSession(ctx context.Context, view vfs.View, stderr io.Writer, log *slog.Logger) *session {
	return &session{
		ctx:  ctx,
		view: view,
		create: func(ctx context.Context, name string, f vfs.Flags) (upload, error) {
			return view.Create(ctx, name, f)
		},
		notes: notes{stderr},
		log:   log,
		ahead: &budget{maxAhead},
		take:  func() bool { return true },
		give:  func() {},
		open:  make(map[string]*incoming),
	}
}

func (s *session) handlers() sftp.Handlers {
	return sftp.Handlers{FileGet: s, FilePut: s, FileCmd: s, FileList: s}
}

// caught is deferred by everything that the server calls: a panic there would
// end the process.
func (s *session) caught(op string, err *error) {
	if p := recover(); p != nil {
		s.log.Error("panic", "op", op, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = statusPanic
	}
}

// fail makes the status of a failed request. What a person should read, beyond
// what his client says of the code, goes to stderr as well, and first. Clients
// try out whether names exist; op is "open" only for uploads, where a missing
// directory is worth a word.
func (s *session) fail(op, name string, err error) error {
	told, kind := explained(err)
	level := slog.LevelInfo
	switch {
	case kind == vfs.NotExist && op != "open", kind == vfs.Exists:
		return told
	case kind == vfs.Internal:
		level = slog.LevelError
	case op == "write", op == "close":
		level = slog.LevelDebug // how an upload ended is told by the view's events
	}
	s.log.Log(s.ctx, level, "request failed", "op", op, "name", printable(name), "err", printable(err.Error()))
	s.notes.line(told.text)
	return told
}

// giveFailed is deferred, before caught, by what opens a handle that was taken.
func (s *session) giveFailed(err *error) {
	if *err != nil {
		s.give()
	}
}

// Filewrite opens an upload.
func (s *session) Filewrite(r *sftp.Request) (w io.WriterAt, err error) {
	if !s.take() {
		return nil, statusTooMany
	}
	defer s.giveFailed(&err)
	defer s.caught("open", &err)
	p := r.Pflags()
	flags := vfs.Flags{Create: p.Creat, Trunc: p.Trunc, Excl: p.Excl, Append: p.Append}
	to, err := s.create(s.ctx, r.Filepath, flags)
	if err != nil {
		return nil, s.fail("open", r.Filepath, err)
	}
	fresh := p.Trunc || p.Excl || to.Kept() == 0 && !p.Append
	in := &incoming{s: s, name: r.Filepath, to: to}
	in.seq = sequence{to: to, fresh: fresh, room: s.ahead}
	s.open[r.Filepath], s.made = in, in
	return in, nil
}

// takeMade is called when the reply to an OPEN for writing was written, while the
// server has nothing else to do.
func (s *session) takeMade() io.WriterAt {
	in := s.made
	s.made = nil
	return in
}

// forget ends in's claim on its path, unless a later open has it.
func (s *session) forget(in *incoming) {
	if s.open[in.name] == in {
		delete(s.open, in.name)
	}
}

// Filecmd does what needs no handle.
func (s *session) Filecmd(r *sftp.Request) (err error) {
	defer s.caught(r.Method, &err)
	switch r.Method {
	case "Setstat":
		return s.setstat(r)
	case "Rename":
		err = s.rename(r.Filepath, r.Target)
	case "Remove":
		err = s.view.Remove(s.ctx, r.Filepath)
	case "Mkdir":
		err = s.view.Mkdir(s.ctx, r.Filepath)
	case "Rmdir":
		err = refused("directories stay: only unfinished uploads can be removed")
	default:
		return statusUnsupported
	}
	if err != nil {
		return s.fail(strings.ToLower(r.Method), r.Filepath, err)
	}
	return nil
}

// rename publishes an upload that has a temporary name.
func (s *session) rename(from, to string) error {
	if err := s.view.Rename(s.ctx, from, to); err != nil {
		return err
	}
	if n, ok := s.view.(vfs.Noticer); ok && n.Notice(to) != "" {
		s.notes.line(n.Notice(to))
	}
	return nil
}

// PosixRename is a rename: nothing is ever overwritten.
func (s *session) PosixRename(r *sftp.Request) error {
	return s.Filecmd(&sftp.Request{Method: "Rename", Filepath: r.Filepath, Target: r.Target})
}

// setstat takes times, ignores modes and owners, and only checks a size:
// clients send all of them at any moment and give up where it fails.
func (s *session) setstat(r *sftp.Request) error {
	a := r.Attributes()
	if a == nil {
		return statusMalformed
	}
	flags := r.AttrFlags()
	if flags.Acmodtime {
		s.touch(r.Filepath, a.ModTime())
	}
	if !flags.Size {
		return nil
	}
	if err := s.resize(r.Filepath, a.Size); err != nil {
		return s.fail("setstat", r.Filepath, err)
	}
	return nil
}

func (s *session) touch(name string, mtime time.Time) {
	if in := s.open[name]; in != nil {
		in.to.Touch(mtime)
		return
	}
	t, ok := s.view.(vfs.Toucher)
	if !ok {
		return
	}
	err := t.Touch(s.ctx, name, mtime)
	if kind, _ := vfs.Explain(err); err != nil && kind == vfs.Internal {
		s.log.Error("time not kept", "name", printable(name), "err", printable(err.Error()))
	}
}

// resize fails where a client believes that it cut or extended a file.
func (s *session) resize(name string, size uint64) error {
	if in := s.open[name]; in != nil {
		return in.resize(size)
	}
	i, err := s.view.Stat(s.ctx, name)
	if err != nil || i.IsDir() || size == uint64(i.Size()) {
		return nil
	}
	return refused(fmt.Sprintf("%s has %d bytes and cannot be set to %d: bundles never change", name, i.Size(), size))
}

// Filelist answers STAT, FSTAT and OPENDIR.
func (s *session) Filelist(r *sftp.Request) (l sftp.ListerAt, err error) {
	defer s.caught(r.Method, &err)
	switch r.Method {
	case "List":
		return s.list(r.Filepath)
	case "Stat", "Lstat":
		i, err := s.stat(r.Filepath)
		if err != nil {
			told, _ := explained(err)
			return nil, told
		}
		return single{i}, nil
	}
	return nil, statusUnsupported
}

func (s *session) stat(name string) (fs.FileInfo, error) {
	if in := s.open[name]; in != nil {
		return in.info()
	}
	return s.view.Stat(s.ctx, name)
}

// Lstat answers LSTAT, where the view has links.
func (s *session) Lstat(r *sftp.Request) (l sftp.ListerAt, err error) {
	linker, ok := s.view.(vfs.Linker)
	if !ok || s.open[r.Filepath] != nil {
		return s.Filelist(r)
	}
	defer s.caught(r.Method, &err)
	i, err := linker.Lstat(s.ctx, r.Filepath)
	if err != nil {
		told, _ := explained(err)
		return nil, told
	}
	return single{i}, nil
}

// Readlink answers READLINK.
func (s *session) Readlink(name string) (target string, err error) {
	defer s.caught("readlink", &err)
	linker, ok := s.view.(vfs.Linker)
	if !ok {
		return "", statusUnsupported
	}
	target, err = linker.Readlink(s.ctx, name)
	if err != nil {
		told, _ := explained(err)
		return "", told
	}
	return target, nil
}

// single is a list of one file.
type single struct{ fs.FileInfo }

// ListAt implements sftp.ListerAt.
func (i single) ListAt(out []fs.FileInfo, _ int64) (int, error) {
	out[0] = i.FileInfo
	return 1, nil
}
