package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"

	"bundleup/vfs/bundle"
)

// CutBundle cuts a path at the view into a bundle: "case/X.tgz.d/var/log" is "var/log"
// of the bundle "case/X.tgz".
func CutBundle(rel string) (name, sub string, ok bool) {
	for i := 0; i < len(rel); {
		end := len(rel)
		if n := strings.IndexByte(rel[i:], '/'); n >= 0 {
			end = i + n
		}
		c := rel[i:end]
		if outer, ok := strings.CutSuffix(c, insideSuffix); ok && isBundleName(outer) {
			return rel[:i] + outer, strings.TrimPrefix(rel[end:], "/"), true
		}
		i = end + 1
	}
	return "", "", false
}

// within is one bundle seen from inside, by one view.
type within struct {
	view *support
	area *area
	name string // of the bundle, in the area
	op   string
	path string // as the peer named it
}

// do calls f with the bundle's Reader. A damaged index that f finds is made anew,
// once, and f called again.
func (w *within) do(ctx context.Context, f func(*bundle.Reader) error) error {
	var err error
	for range 2 {
		var r *reader
		if r, err = w.acquire(ctx); err != nil {
			return err
		}
		err = f(r.Reader)
		again := w.damaged(r, err)
		w.area.tree.readers.release(r)
		if !again {
			break
		}
	}
	return w.explained(err)
}

// damaged has the index made anew if err says that it must be.
func (w *within) damaged(r *reader, err error) bool {
	var damaged *bundle.IndexError
	if !errors.As(err, &damaged) {
		return false
	}
	w.area.tree.readers.renew(r)
	return true
}

func (w *within) acquire(ctx context.Context) (*reader, error) {
	key := w.area.key(w.name)
	if key.Check() != nil {
		return nil, missing(w.op, w.path) // no upload can have such a name
	}
	r, err := w.area.tree.readers.acquire(ctx, key, w.view.announce)
	return r, w.explained(err)
}

// explained words what a Reader says.
func (w *within) explained(err error) error {
	var ours *Error
	var damage *bundle.DamageError
	switch {
	case err == nil, errors.As(err, &ours):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return missing(w.op, w.path)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errTooMany):
		return &Error{Kind: Refused, Op: w.op, Name: w.path, Text: "too many bundles are being read at once: try again in a moment", Err: err}
	case errors.As(err, &damage):
		return &Error{Kind: Internal, Op: w.op, Name: w.path, Err: err,
			Text: fmt.Sprintf("the stored bundle is damaged at byte %s of its contents: tell whoever runs this server", commas(damage.Offset))}
	case errors.Is(err, fs.ErrInvalid):
		return &Error{Kind: Refused, Op: w.op, Name: w.path, Text: "that is not possible with this kind of file, or links lead in a circle", Err: err}
	}
	return internal(w.op, w.path, err)
}

func (w *within) stat(ctx context.Context, sub string, follow bool) (info *Info, err error) {
	err = w.do(ctx, func(r *bundle.Reader) error {
		info, err = Contents{r}.info(sub, follow)
		return err
	})
	if err == nil && sub == "" {
		info.name = path.Base(w.name + insideSuffix)
	}
	return info, err
}

func (w *within) readlink(ctx context.Context, sub string) (target string, err error) {
	err = w.do(ctx, func(r *bundle.Reader) error {
		target, err = Contents{r}.Readlink(sub)
		return err
	})
	return target, err
}

// list yields what is in a directory.
func (w *within) list(ctx context.Context, sub string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		told := false
		err := w.do(ctx, func(r *bundle.Reader) error {
			for i, err := range (Contents{r}).List(ctx, sub) {
				if err != nil && told {
					yield(nil, w.explained(err)) // names are out: it cannot begin anew
					return nil
				}
				if err != nil {
					return err
				}
				told = true
				if !yield(i, nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// insideInfo shows what is inside a bundle: readable, whatever it was where it came
// from, because copies take the bits over; the Entry has them as they were.
func insideInfo(i fs.FileInfo, name string) *Info {
	mode := i.Mode()&(fs.ModeType|0o777) | 0o444
	if i.IsDir() {
		mode |= 0o111
	}
	info := &Info{name: name, size: i.Size(), mode: mode, time: i.ModTime()}
	if i.IsDir() {
		info.size = 0
	}
	if e, ok := i.Sys().(*bundle.Entry); ok && e != nil {
		info.sys = e
	}
	return info
}
