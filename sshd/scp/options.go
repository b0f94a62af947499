package scp

import "strings"

// maxPaths bounds how many paths one command may name.
const maxPaths = 1024

// options are what the command line says.
type options struct {
	to, from  bool // -t, -f: the far end receives, sends
	recursive bool // -r
	times     bool // -p: send modification times; received ones are always kept
	directory bool // -d: the target must be a directory
	paths     []string
}

// parse reads flags, alone or combined, up to the first path or "--". -v and -q
// change nothing here.
func parse(args []string) (o options, err error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		for _, flag := range word[1:] {
			if !o.set(flag) && err == nil {
				err = refused("", "scp: unknown option -%c", flag)
			}
		}
	}
	o.paths = args
	if err == nil {
		err = o.check()
	}
	return o, err
}

func (o *options) set(flag rune) bool {
	switch flag {
	case 't':
		o.to = true
	case 'f':
		o.from = true
	case 'r':
		o.recursive = true
	case 'p':
		o.times = true
	case 'd':
		o.directory = true
	case 'v', 'q':
	default:
		return false
	}
	return true
}

func (o *options) check() error {
	switch {
	case o.to == o.from:
		return refused("", "scp: only the far end of a copy runs here, with one of -t and -f: start scp on your machine")
	case len(o.paths) > maxPaths:
		return refused("", "scp: at most %d paths are allowed", maxPaths)
	case o.to && len(o.paths) == 0:
		o.paths = []string{""}
	case o.to && len(o.paths) > 1:
		return refused("", "scp: ambiguous target: put quotes around %s", strings.Join(o.paths, " "))
	case o.from && len(o.paths) == 0:
		return refused("", "scp: no file is named")
	}
	return nil
}
