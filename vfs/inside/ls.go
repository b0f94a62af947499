package inside

import (
	"io/fs"
	"path"
	"strings"

	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

// timeFormat is how a time is shown: always the same width, always with its zone.
const timeFormat = "2006-01-02 15:04:05Z"

func (r *run) ls(args []string) int {
	f, err := parse(args, "la1", "")
	if err != nil {
		return r.misused(err.Error())
	}
	if len(f.args) == 0 {
		f.args = []string{"."}
	}
	var dirs []string
	for _, arg := range f.args {
		for _, name := range r.expand(arg) {
			i, err := r.lstat(name)
			switch {
			case err != nil:
				r.complain(name, err)
			case r.isDir(name, i):
				dirs = append(dirs, name)
			default:
				r.line(name, name, i, f.set['l'])
			}
		}
	}
	for n, dir := range dirs {
		if len(dirs)+len(f.args) > 2 {
			if n > 0 {
				r.out.printf("\n")
			}
			r.out.printf("%s:\n", dir)
		}
		r.listDir(dir, f.set['l'])
	}
	return exitOK
}

// isDir says that name is a directory, or a link to one.
func (r *run) isDir(name string, i fs.FileInfo) bool {
	if i.Mode().Type() == fs.ModeSymlink {
		if to, err := r.fsys.Stat(r.ctx, name); err == nil {
			return to.IsDir()
		}
	}
	return i.IsDir()
}

func (r *run) listDir(dir string, long bool) {
	for i, err := range r.fsys.List(r.ctx, dir) {
		if err != nil {
			r.complain(dir, err)
			return
		}
		r.line(join(dir, i.Name()), i.Name(), i, long)
		if r.ctx.Err() != nil {
			return
		}
	}
}

// line is one line of a listing; full is the name to look it up by.
func (r *run) line(full, shown string, i fs.FileInfo, long bool) {
	shown = r.shown(shown)
	if !long {
		r.out.printf("%s\n", shown)
		return
	}
	size, link := i.Size(), ""
	if i.Mode().Type() == fs.ModeSymlink {
		link = " -> " + r.target(full, i)
	}
	r.out.printf("%s %12d %s %s%s\n", modeOf(i), size, i.ModTime().UTC().Format(timeFormat), shown, link)
}

// shown is a name as a listing has it: on one line, where a person looks at it.
func (r *run) shown(name string) string {
	if r.out.terminal {
		return strings.ReplaceAll(name, "\n", `\x0a`)
	}
	return name
}

// modeOf is the mode as it was where the bundle was made.
func modeOf(i fs.FileInfo) string {
	mode := i.Mode()
	if e, ok := i.Sys().(*bundle.Entry); ok && e != nil {
		mode = mode.Type() | fs.FileMode(e.Mode&0o777)
	}
	s := []byte(mode.Perm().String())
	switch mode.Type() {
	case fs.ModeDir:
		s[0] = 'd'
	case fs.ModeSymlink:
		s[0] = 'l'
	case fs.ModeNamedPipe:
		s[0] = 'p'
	}
	return string(s)
}

// target is where a link leads, as it is in the archive.
func (r *run) target(name string, i fs.FileInfo) string {
	if e, ok := i.Sys().(*bundle.Entry); ok && e != nil {
		return string(e.Linkname)
	}
	if l, ok := r.fsys.(vfs.Linker); ok {
		if to, err := l.Readlink(r.ctx, name); err == nil {
			return to
		}
	}
	return "?"
}

// find goes through everything below its paths. Bundles are entered.
func (r *run) find(args []string) int {
	f, err := parse(args, "", "", "name", "type")
	if err == nil && f.values["type"] != "" && len(f.values["type"]) != 1 {
		err = fs.ErrInvalid
	}
	if err == nil {
		_, err = path.Match(f.values["name"], "")
	}
	if err != nil {
		return r.misused(err.Error())
	}
	if len(f.args) == 0 {
		f.args = []string{"."}
	}
	for _, arg := range f.args {
		for _, name := range r.expand(arg) {
			r.walk(name, 0, func(name string, i fs.FileInfo) {
				if f.wants(name, i) {
					r.out.printf("%s\n", r.shown(name))
				}
			})
		}
	}
	return exitOK
}

// wants says whether find shows a name.
func (f *flags) wants(name string, i fs.FileInfo) bool {
	if pattern, ok := f.values["name"]; ok {
		if ok, _ := path.Match(pattern, path.Base(name)); !ok {
			return false
		}
	}
	switch f.values["type"] {
	case "f":
		return i.Mode().IsRegular()
	case "d":
		return i.IsDir()
	case "l":
		return i.Mode().Type() == fs.ModeSymlink
	}
	return true
}

// walk calls f with a name and with all below it; bundles are followed by what is
// inside. Links are not followed.
func (r *run) walk(name string, depth int, f func(string, fs.FileInfo)) {
	i, err := r.lstat(name)
	if err != nil {
		r.complain(name, err)
		return
	}
	r.walkInfo(name, i, depth, f)
}

func (r *run) walkInfo(name string, i fs.FileInfo, depth int, f func(string, fs.FileInfo)) {
	f(name, i)
	_, _, inner := cutInside(name)
	dir := name
	switch {
	case r.ctx.Err() != nil || depth == maxDepth:
		return
	case i.Mode().IsRegular() && isBundle(name) && !inner:
		dir = name + insideExt
	case !i.IsDir():
		return
	}
	for child, err := range r.fsys.List(r.ctx, dir) {
		if err != nil {
			r.complain(dir, err)
			return
		}
		r.walkInfo(join(dir, child.Name()), child, depth+1, f)
		if r.ctx.Err() != nil {
			return
		}
	}
}
