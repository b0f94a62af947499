package main

import (
	"os"
	"os/user"
	"syscall"
)

// ownLike gives a file that root made the owner of dir: the daemon must be able to
// read what its operator makes.
func ownLike(f *os.File, dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	i, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if s, ok := i.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
		return f.Chown(int(s.Uid), int(s.Gid))
	}
	return nil
}

// operator is who runs this command, for the audit trail.
func operator() string {
	name := "uid unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if sudo := os.Getenv("SUDO_USER"); sudo != "" {
		name = sudo + " as " + name
	}
	return name
}
