package vfs

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"bundleup/vfs/bundle"
)

// maxLinks bounds the symbolic links on one path, as Linux does.
const maxLinks = 40

// A bundle is a world of its own: the root of its links is its own root. The Reader
// follows what is relative and stays inside; for absolute targets, and those that
// climb above the root, a name is walked here as in a chroot.

// lookup describes a name of the Reader, following a link at its end or not.
func lookup(r *bundle.Reader, name string, follow bool) (fs.FileInfo, error) {
	stat := r.Lstat
	if follow {
		stat = r.Stat
	}
	i, err := stat(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return i, err
	}
	at, err := walk(r, name, follow)
	if err != nil {
		return nil, err
	}
	return r.Lstat(at)
}

// directory finds the directory that a name leads to.
func directory(r *bundle.Reader, name string) (string, error) {
	i, err := r.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if name, err = enter(r, name); err == nil {
			i, err = r.Stat(name)
		}
	}
	if err == nil && !i.IsDir() {
		err = fs.ErrNotExist
	}
	return name, err
}

// enter gives the name, free of links, that a name leads to.
func enter(r *bundle.Reader, name string) (string, error) { return walk(r, name, true) }

// walk is enter, where a link at the end is followed or not.
func walk(r *bundle.Reader, name string, follow bool) (string, error) {
	var at []string
	todo := strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		if at = step(at, c); c == "" || c == "." || c == ".." {
			continue
		}
		next := strings.Join(at, "/")
		i, err := r.Lstat(next)
		if err != nil {
			return "", err
		}
		if i.Mode().Type() != fs.ModeSymlink || !follow && len(todo) == 0 {
			continue
		}
		if links++; links > maxLinks {
			return "", fs.ErrNotExist
		}
		target, err := r.ReadLink(next)
		if err != nil {
			return "", err
		}
		at = at[:len(at)-1]
		if strings.HasPrefix(target, "/") {
			at = nil
		}
		todo = append(components(target), todo...)
	}
	if len(at) == 0 {
		return ".", nil
	}
	return strings.Join(at, "/"), nil
}

// step goes one component on; ".." at the root stays there.
func step(at []string, c string) []string {
	switch {
	case c == "" || c == ".":
	case c != "..":
		at = append(slices.Clip(at), c)
	case len(at) > 0:
		at = at[:len(at)-1]
	}
	return at
}

// components cuts a raw link target into names of the Reader.
func components(target string) (list []string) {
	for c := range strings.SplitSeq(target, "/") {
		if c != "" && c != "." && c != ".." {
			c = bundle.FSName(c)
		}
		list = append(list, c)
	}
	return list
}

// relative is a link's target as a client may follow it by itself: one that would
// lead out of the bundle leads to where it leads in here.
func relative(r *bundle.Reader, name string) (string, error) {
	at, err := walk(r, name, false)
	if err != nil {
		return "", err
	}
	target, err := r.ReadLink(at)
	if err != nil {
		return "", err
	}
	var from []string
	if dir := path.Dir(at); dir != "." {
		from = strings.Split(dir, "/")
	}
	if !escapes(from, target) {
		return target, nil
	}
	to := from
	if strings.HasPrefix(target, "/") {
		to = nil
	}
	for c := range strings.SplitSeq(target, "/") {
		to = step(to, c)
	}
	return path.Join(strings.Repeat("../", len(from)), strings.Join(to, "/")), nil
}

// escapes says that a target leads above the root, if only on its way.
func escapes(from []string, target string) bool {
	if strings.HasPrefix(target, "/") {
		return true
	}
	depth := len(from)
	for c := range strings.SplitSeq(target, "/") {
		switch c {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return true
		}
	}
	return false
}
