package scp

import (
	"path"
	"strings"
)

// maxMatches bounds what one pattern may name.
const maxMatches = 10_000

// expand gives the names that match a path with the shell's wildcards, sorted,
// in any of its components. A name that exists is itself, whatever is in it.
func (s *source) expand(name string) ([]string, error) {
	_, missing := s.view.Stat(s.ctx, name)
	switch {
	case missing == nil:
		return []string{name}, nil
	case !strings.ContainsAny(name, `*?[`):
		return nil, missing
	}
	names := []string{"/"}
	for component := range strings.SplitSeq(name[1:], "/") {
		var err error
		if names, err = s.within(names, component); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, missing
	}
	return names, nil
}

// within gives what matches one component in each of dirs.
func (s *source) within(dirs []string, component string) (names []string, err error) {
	if !strings.ContainsAny(component, `*?[`) {
		return s.existing(dirs, component), nil
	}
	// A shell negates a class with "!", path.Match with "^".
	pattern := strings.ReplaceAll(component, "[!", "[^")
	for _, dir := range dirs {
		for info, err := range s.view.List(s.ctx, dir) {
			if err != nil {
				break // what cannot be listed matches nothing
			}
			ok, err := path.Match(pattern, info.Name())
			if err != nil {
				return nil, refused(component, "the pattern %s is malformed", component)
			}
			if !ok {
				continue
			}
			if len(names) == maxMatches {
				return nil, refused(component, "the pattern %s matches more than %d names: ask for fewer at once", component, maxMatches)
			}
			names = append(names, path.Join(dir, info.Name()))
		}
	}
	return names, nil
}

func (s *source) existing(dirs []string, component string) (names []string) {
	for _, dir := range dirs {
		name := path.Join(dir, component)
		if _, err := s.view.Stat(s.ctx, name); err == nil {
			names = append(names, name)
		}
	}
	return names
}
