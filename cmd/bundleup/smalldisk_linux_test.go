package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// canMount is the condition [mount]: the right to mount a file system, which root
// has outside of most containers.
func canMount() (bool, error) {
	dir, err := os.MkdirTemp("", "bundleup-mount")
	if err != nil {
		return false, err
	}
	defer os.Remove(dir)
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k") != nil {
		return false, nil
	}
	return true, syscall.Unmount(dir, 0)
}

// smallDiskCmd is "smalldisk OPTIONS" or "smalldisk noinodes": the daemon's data are
// on a disk in memory with these mount options, from now on, or that disk has no free
// inode.
func smallDiskCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: smalldisk OPTIONS|noinodes")
	}
	dir, options := ts.Getenv("DATA"), args[0]
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,"+options))
		ts.Defer(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
		return
	}
	if options == "noinodes" {
		var st syscall.Statfs_t
		ts.Check(syscall.Statfs(dir, &st))
		options = fmt.Sprintf("nr_inodes=%d", st.Files-st.Ffree)
	}
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, options))
}
