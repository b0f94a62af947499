package sshd

import (
	"errors"
	"strings"
)

// Bounds of a command line.
const (
	maxLine  = 32 << 10 // bytes
	maxWords = 256
)

var errLine = errors.New("split command line: too long, or a quote is not closed")

// words splits a command line as a POSIX shell would (IEEE 1003.1, XCU 2.2),
// with '...', "..." and backslashes; nothing is expanded, and operators are
// plain characters.
func words(line string) ([]string, error) {
	if len(line) > maxLine {
		return nil, errLine
	}
	var list []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n', '\r':
			if inWord {
				list = append(list, word.String())
				word.Reset()
			}
			inWord = false
			if len(list) > maxWords {
				return nil, errLine
			}
		case '\'', '"', '\\':
			n := quoted(line[i:], &word)
			if n == 0 {
				return nil, errLine
			}
			i += n - 1
			inWord = true
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		list = append(list, word.String())
	}
	return list, nil
}

// quoted appends the quoted text at the start of s and returns how long it is
// with its quotes; 0 when it does not end.
func quoted(s string, word *strings.Builder) int {
	quote := s[0]
	if quote == '\\' {
		if len(s) < 2 {
			return 0
		}
		word.WriteByte(s[1])
		return 2
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return i + 1
		case s[i] == '\\' && quote == '"' && i+1 < len(s) && strings.IndexByte("$`\"\\", s[i+1]) >= 0:
			i++
			fallthrough
		default:
			word.WriteByte(s[i])
		}
	}
	return 0
}
