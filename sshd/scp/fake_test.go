package scp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"bundleup/vfs"
)

// fakeView is a view in memory. Directories end in "/" in its table; every
// upload takes what it is sent unless a hook says otherwise.
type fakeView struct {
	vfs.View // panics where a test did not expect a call

	files   map[string]string
	uploads []*fakeUpload
	mtime   time.Time

	onCreate func(u *fakeUpload) error
	readErr  error // what reading fails with behind the first byte
	listErr  error // what listing fails with, at its end
	statErr  error // what every Stat fails with
}

func newFakeView(names ...string) *fakeView {
	v := &fakeView{files: map[string]string{"/": ""}, mtime: time.Unix(1_000_000_000, 0)}
	for _, n := range names {
		name, content, _ := strings.Cut(n, "=")
		v.files[name] = content
	}
	return v
}

func viewError(k vfs.Kind, text string) error {
	return &vfs.Error{Kind: k, Op: "test", Name: "test", Text: text}
}

var errMissing = viewError(vfs.NotExist, "no such file or directory")

func (v *fakeView) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	if v.statErr != nil {
		return nil, v.statErr
	}
	if content, ok := v.files[name]; ok && name != "/" {
		return fakeInfo{v, path.Base(name), int64(len(content)), 0o444}, nil
	}
	if _, ok := v.files[strings.TrimSuffix(name, "/")+"/"]; ok {
		return fakeInfo{v, path.Base(name), 0, fs.ModeDir | 0o555}, nil
	}
	return nil, errMissing
}

func (v *fakeView) List(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(v.files)) {
			whole := strings.TrimSuffix(name, "/")
			if whole == "" || path.Dir(whole) != dir {
				continue
			}
			info, err := v.Stat(ctx, whole)
			if !yield(info, err) {
				return
			}
		}
		if v.listErr != nil {
			yield(nil, v.listErr)
		}
	}
}

func (v *fakeView) Open(ctx context.Context, name string) (vfs.File, error) {
	if strings.Contains(name, "denied") {
		return nil, viewError(vfs.Denied, "bundles are sent, not read back")
	}
	info, err := v.Stat(ctx, name)
	return &fakeFile{strings.NewReader(v.files[name]), info, v.readErr}, err
}

func (v *fakeView) Mkdir(_ context.Context, name string) error {
	if strings.Contains(name, "denied") {
		return viewError(vfs.Denied, "this account may not do that")
	}
	_, file := v.files[name]
	if _, dir := v.files[name+"/"]; dir || file {
		return viewError(vfs.Exists, "it exists already")
	}
	v.files[name+"/"] = ""
	return nil
}

func (v *fakeView) create(_ context.Context, name string, f vfs.Flags) (upload, error) {
	u := &fakeUpload{view: v, name: name, flags: f}
	switch {
	case strings.Contains(name, "denied"):
		return nil, viewError(vfs.Denied, "this account may not do that")
	case !strings.HasSuffix(name, ".tgz"):
		return nil, viewError(vfs.Refused, "bundle names end in .tgz: put "+path.Base(name)+" diag.tgz")
	}
	if v.onCreate != nil {
		if err := v.onCreate(u); err != nil {
			return nil, err
		}
	}
	v.uploads = append(v.uploads, u)
	return u, nil
}

// story is what became of all uploads, in order.
func (v *fakeView) story() string {
	var s []string
	for _, u := range v.uploads {
		s = append(s, u.story())
	}
	return strings.Join(s, "; ")
}

// fakeUpload records what it is told.
type fakeUpload struct {
	view    *fakeView
	name    string
	flags   vfs.Flags
	content []byte
	mtime   time.Time
	ends    []string

	onWrite   func(u *fakeUpload) error
	commitErr error
	receipt   vfs.Receipt
}

func (u *fakeUpload) story() string {
	s := fmt.Sprintf("%s %q %s", u.name, u.content, strings.Join(u.ends, "+"))
	if !u.mtime.IsZero() {
		s += fmt.Sprintf(" at %d", u.mtime.Unix())
	}
	return s
}

func (u *fakeUpload) Touch(t time.Time) { u.mtime = t }

func (u *fakeUpload) Write(p []byte) (int, error) {
	if len(u.ends) > 0 {
		return 0, errors.New("write after the end")
	}
	u.content = append(u.content, p...)
	if u.onWrite != nil {
		if err := u.onWrite(u); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (u *fakeUpload) Commit(context.Context) (*vfs.Receipt, error) {
	u.ends = append(u.ends, "commit")
	if u.commitErr != nil {
		return nil, u.commitErr
	}
	u.view.files[u.name] = string(u.content)
	return &u.receipt, nil
}

func (u *fakeUpload) Suspend(context.Context) error {
	u.ends = append(u.ends, "suspend")
	return nil
}

func (u *fakeUpload) Discard(context.Context) error {
	u.ends = append(u.ends, "discard")
	return nil
}

type fakeInfo struct {
	v    *fakeView
	name string
	size int64
	mode fs.FileMode
}

func (i fakeInfo) Name() string       { return i.name }
func (i fakeInfo) Size() int64        { return i.size }
func (i fakeInfo) Mode() fs.FileMode  { return i.mode }
func (i fakeInfo) ModTime() time.Time { return i.v.mtime }
func (i fakeInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fakeInfo) Sys() any           { return nil }

type fakeFile struct {
	io.ReaderAt
	info fs.FileInfo
	err  error
}

func (f *fakeFile) ReadAt(p []byte, off int64) (int, error) {
	if f.err != nil {
		return 1, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

func (f *fakeFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *fakeFile) Close() error               { return nil }

// told is what one run said.
type told struct {
	out, err string
	exit     int
}

// play runs the command with all of in at once: the transcripts do not depend
// on when the other side reads.
func play(t testing.TB, v *fakeView, command string, in io.Reader) told {
	t.Helper()
	args, ok := Split(command)
	if !ok {
		t.Fatalf("%q is no scp command", command)
	}
	var out, errs strings.Builder
	s := newSession(context.Background(), IO{In: in, Out: &out, Err: &errs}, v)
	s.create = v.create
	exit := s.main(args)
	return told{out.String(), errs.String(), exit}
}

func (got told) check(t *testing.T, want told) {
	t.Helper()
	if got.out != want.out {
		t.Errorf("out:\ngot  %q\nwant %q", got.out, want.out)
	}
	if got.err != want.err {
		t.Errorf("err:\ngot  %q\nwant %q", got.err, want.err)
	}
	if got.exit != want.exit {
		t.Errorf("exit: got %d, want %d", got.exit, want.exit)
	}
}
