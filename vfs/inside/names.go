package inside

import (
	"io/fs"
	"path"
	"strings"

	"bundleup/vfs"
)

const (
	bundleExt = ".tgz"
	insideExt = ".d" // behind a bundle's name: what is inside
	// maxMatches bounds what one pattern may name.
	maxMatches = 10_000
	// maxDepth bounds directories within directories.
	maxDepth = 1000
)

// isBundle says that a name outside of bundles is a bundle's.
func isBundle(name string) bool {
	base := path.Base(name)
	return len(base) > len(bundleExt) && strings.EqualFold(base[len(base)-len(bundleExt):], bundleExt)
}

// cutInside says whether a name lies in a bundle, and where that one's name ends.
func cutInside(name string) (bundle, sub string, ok bool) {
	for i := 0; i < len(name); i++ {
		end := strings.IndexByte(name[i:], '/')
		if end < 0 {
			end = len(name) - i
		}
		if c, ok := strings.CutSuffix(name[i:i+end], insideExt); ok && isBundle(c) {
			return name[:i] + c, strings.TrimPrefix(name[i+end:], "/"), true
		}
		i += end
	}
	return "", "", false
}

// entered is a name as it is written after a bundle was entered: X.tgz/var is
// X.tgz.d/var, for there is nothing else below a bundle.
func entered(name string) string {
	if _, _, ok := cutInside(name); ok {
		return name
	}
	parts := strings.Split(name, "/")
	for i, p := range parts[:len(parts)-1] {
		if isBundle(p) && strings.Trim(strings.Join(parts[i+1:], ""), "/") != "" {
			parts[i] = p + insideExt
			break
		}
	}
	return strings.Join(parts, "/")
}

// expand gives the names that an argument stands for: itself if it exists, else what
// matches its wildcards, sorted. It complains if that is nothing.
func (r *run) expand(arg string) []string {
	name := entered(arg)
	_, err := r.lstat(name)
	if err == nil {
		return []string{name}
	}
	if !strings.ContainsAny(name, `*?[`) {
		r.complain(name, err)
		return nil
	}
	start, rest := "", name
	if strings.HasPrefix(name, "/") {
		start, rest = "/", strings.TrimLeft(name, "/")
	}
	names := []string{start}
	for component := range strings.SplitSeq(rest, "/") {
		if component == "" {
			continue
		}
		if names = r.match(names, component); names == nil {
			break
		}
	}
	if len(names) == 0 {
		r.complain(name, err)
	}
	return names
}

// match gives what matches one component in each of dirs.
func (r *run) match(dirs []string, component string) (names []string) {
	if !strings.ContainsAny(component, `*?[`) {
		for _, dir := range dirs {
			name := join(listable(dir), component)
			if _, err := r.lstat(name); err == nil {
				names = append(names, name)
			}
		}
		return names
	}
	// A shell negates a class with "!", path.Match with "^".
	pattern := strings.ReplaceAll(component, "[!", "[^")
	for _, dir := range dirs {
		dir = listable(dir)
		for i, err := range r.fsys.List(r.ctx, orDot(dir)) {
			if err != nil {
				break // what cannot be listed matches nothing
			}
			name, ok := matching(dir, pattern, i)
			if !ok {
				continue
			}
			if len(names) == maxMatches {
				r.say(component + ": too many names match: only some are taken")
				return names
			}
			names = append(names, name)
		}
	}
	return names
}

// matching is the name of i if it matches; a bundle also matches by the name of its
// inside.
func matching(dir, pattern string, i fs.FileInfo) (string, bool) {
	if ok, _ := path.Match(pattern, i.Name()); ok {
		return join(dir, i.Name()), true
	}
	if i.Mode().IsRegular() && isBundle(i.Name()) {
		if ok, _ := path.Match(pattern, i.Name()+insideExt); ok {
			return join(dir, i.Name()+insideExt), true
		}
	}
	return "", false
}

// listable is what has the names of the next component: for a bundle its inside.
func listable(dir string) string {
	if _, _, ok := cutInside(dir); ok || !isBundle(dir) {
		return dir
	}
	return dir + insideExt
}

func orDot(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// join puts a name behind a directory without cleaning either.
func join(dir, name string) string {
	if dir == "" || strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

// lstat describes a name, and a link itself.
func (r *run) lstat(name string) (fs.FileInfo, error) {
	if l, ok := r.fsys.(vfs.Linker); ok {
		return l.Lstat(r.ctx, name)
	}
	return r.fsys.Stat(r.ctx, name)
}
