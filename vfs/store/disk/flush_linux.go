//go:build linux && (amd64 || arm64 || riscv64)

package disk

import (
	"errors"
	"os"
	"syscall"
)

// The flags of sync_file_range(2).
const (
	waitBefore = 1
	startWrite = 2
	waitAfter  = 4
)

// flush starts write-back of a range or waits for it. A file system that does
// not offer this is fine: the final sync does the work then.
func flush(f *os.File, off, n int64, wait bool) error {
	flags := startWrite
	if wait {
		flags |= waitBefore | waitAfter
	}
	err := retry(f, func(fd int) error { return syscall.SyncFileRange(fd, off, n, flags) })
	switch {
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EOPNOTSUPP):
		return nil
	}
	return err
}

// syncData is fdatasync(2): it leaves out times, which saves a journal commit.
func syncData(f *os.File) error {
	return retry(f, syscall.Fdatasync)
}

// retry runs call until no signal interrupts it.
func retry(f *os.File, call func(fd int) error) error {
	var err error
	ctlErr := control(f, func(fd int) {
		for {
			if err = call(fd); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(ctlErr, err)
}
