//go:build !linux && !darwin

package disk

import (
	"errors"
	"os"
)

// lockFile makes Open fail: without a lock two daemons could share a root.
func lockFile(*os.File) error { return errors.ErrUnsupported }

func space(*os.File) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }

func isFull(error) bool { return false }

func isNotDir(error) bool { return false }
