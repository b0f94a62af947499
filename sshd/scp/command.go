package scp

import "strings"

const blanks = " \t\r\n"

// Split cuts the command line of an exec request into the arguments for Run, if
// it begins with the word scp, alone or at the end of an absolute path. What
// follows the flags is cut as the client meant it, which takes some guessing,
// because some quote for the shell that used to be here, and some do not:
//
// With -t there is one path. If what is left is one word to a shell (libssh2's
// '/x.tgz', a person's my\ file.tgz) that word is it; if it is several or its
// quotes do not close (OpenSSH's /up/my file.tgz) all of it is, as it stands.
//
// With -f the rest is words to a shell, each a path; if its quotes do not close
// all of it is one path. Run decides by what exists whether several words were
// one name with blanks.
func Split(command string) (args []string, ok bool) {
	name, rest := cutWord(command)
	if name != "scp" && !(strings.HasPrefix(name, "/") && strings.HasSuffix(name, "/scp")) {
		return nil, false
	}
	to := false
	for strings.HasPrefix(rest, "-") {
		var flags string
		flags, rest = cutWord(rest)
		args = append(args, flags)
		if flags == "--" {
			break
		}
		to = to || strings.Contains(flags, "t")
	}
	rest = strings.Trim(rest, blanks)
	if rest == "" {
		return args, true
	}
	paths, closed := words(rest)
	if !closed || to && len(paths) != 1 {
		paths = []string{rest}
	}
	return append(args, paths...), true
}

// cutWord cuts the first word off, without regard to quotes.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, blanks)
	end := strings.IndexAny(s, blanks)
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimLeft(s[end:], blanks)
}

// words cuts s as a shell does (POSIX.1-2017, Shell Command Language 2.2),
// without expansions. closed is false where a quote or backslash is left open.
func words(s string) (list []string, closed bool) {
	for {
		s = strings.TrimLeft(s, blanks)
		if s == "" {
			return list, true
		}
		var w string
		if w, s, closed = word(s); !closed {
			return nil, false
		}
		list = append(list, w)
	}
}

// word takes one word of quoted and plain pieces off s.
func word(s string) (w, rest string, closed bool) {
	var b strings.Builder
	for s != "" && !strings.Contains(blanks, s[:1]) {
		switch c := s[0]; c {
		case '\'':
			end := strings.IndexByte(s[1:], '\'')
			if end < 0 {
				return "", "", false
			}
			b.WriteString(s[1 : 1+end])
			s = s[1+end+1:]
		case '"':
			if s, closed = doubleQuoted(&b, s[1:]); !closed {
				return "", "", false
			}
		case '\\':
			if len(s) == 1 {
				return "", "", false
			}
			b.WriteByte(s[1])
			s = s[2:]
		default:
			b.WriteByte(c)
			s = s[1:]
		}
	}
	return b.String(), s, true
}

// doubleQuoted takes what is left of a double-quoted piece off s. A backslash
// there quotes only the characters that mean something there.
func doubleQuoted(b *strings.Builder, s string) (rest string, closed bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return s[i+1:], true
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\", s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return "", false
}
