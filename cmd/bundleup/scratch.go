package main

import (
	"errors"
	"os"

	"bundleup/vfs"
)

// scratch is a temporary file that is removed when it is closed.
type scratch struct{ *os.File }

func newScratch() (vfs.Scratch, error) {
	f, err := os.CreateTemp("", "bundleup-*")
	if err != nil {
		return nil, err
	}
	return scratch{f}, nil
}

// Close closes and removes the file.
func (s scratch) Close() error { return errors.Join(s.File.Close(), os.Remove(s.Name())) }
