package inside

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// flags are the options of a command line: letters without a value, alone or together,
// and letters with one, as "-n5" or "-n 5". Words with a single dash that are in long
// take the next word (find's -name).
type flags struct {
	set    map[byte]bool
	values map[string]string
	args   []string
}

// parse reads options in any place before "--". bare and valued are the letters.
func parse(args []string, bare, valued string, long ...string) (flags, error) {
	f := flags{set: map[byte]bool{}, values: map[string]string{}}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			f.args = append(f.args, args...)
			return f, nil
		case len(word) < 2 || word[0] != '-':
			f.args = append(f.args, word)
		case slices.Contains(long, word[1:]):
			if len(args) == 0 {
				return f, fmt.Errorf("%s needs a value", word)
			}
			f.values[word[1:]], args = args[0], args[1:]
		default:
			var err error
			if args, err = f.letters(word[1:], args, bare, valued); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// letters reads one word of letters; a valued one takes the rest of it, or the next.
func (f *flags) letters(word string, args []string, bare, valued string) (rest []string, err error) {
	for i := range len(word) {
		c := word[i]
		switch {
		case strings.IndexByte(bare, c) >= 0:
			f.set[c] = true
		case strings.IndexByte(valued, c) < 0:
			return args, fmt.Errorf("unknown option -%c", c)
		case i+1 < len(word):
			f.values[string(c)] = word[i+1:]
			return args, nil
		case len(args) == 0:
			return args, fmt.Errorf("-%c needs a value", c)
		default:
			f.values[string(c)] = args[0]
			return args[1:], nil
		}
	}
	return args, nil
}

// number is the value of an option, or def.
func (f *flags) number(name string, def int64) (int64, error) {
	v, ok := f.values[name]
	if !ok {
		return def, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("-%s %s is not a number", name, v)
	}
	return n, nil
}
