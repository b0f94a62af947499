//go:build linux || darwin

package disk

import (
	"errors"
	"os"
	"syscall"
)

// lockFile takes a lock that goes away with the process, however it ends.
func lockFile(f *os.File) error {
	var err error
	ctlErr := control(f, func(fd int) { err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) })
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return errors.Join(ctlErr, err)
}

// space is what the file system of f has left for this user, and what it has in
// all, in bytes.
func space(f *os.File) (free, size uint64, err error) {
	var st syscall.Statfs_t
	ctlErr := control(f, func(fd int) { err = syscall.Fstatfs(fd, &st) })
	if err := errors.Join(ctlErr, err); err != nil {
		return 0, 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), uint64(st.Blocks) * uint64(st.Bsize), nil
}

// isFull says that err means no space, no inodes (both ENOSPC) or no quota.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isNotDir says that a component on the way is not a directory.
func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// control runs f with the descriptor, which stays valid meanwhile.
func control(f *os.File, run func(fd int)) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) { run(int(fd)) })
}
