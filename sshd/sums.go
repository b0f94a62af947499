package sshd

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"

	"bundleup/vfs"
)

// maxSumInput is how much standard input a checksum program takes: clients try it on
// nothing to see whether it is there (rclone).
const maxSumInput = 1 << 20

// SumCommands are md5sum, sha1sum and sha256sum, as coreutils has them without
// options, for what the account may know the digest of. Clients verify their uploads
// with them.
func SumCommands() map[string]Command {
	commands := make(map[string]Command)
	for _, d := range []vfs.Digest{vfs.MD5, vfs.SHA1, vfs.SHA256} {
		name := string(d) + "sum"
		commands[name] = func(ctx context.Context, s *Session, args []string) int {
			return s.sums(ctx, name, d, args)
		}
	}
	return commands
}

// sums runs one of the programs: a line for each name, or one for standard input.
func (s *Session) sums(ctx context.Context, program string, d vfs.Digest, args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return s.sumInput(program, d)
	}
	s.discardInput()
	view, err := s.View("exec")
	if err != nil {
		return s.noView(err)
	}
	summer, ok := view.(vfs.Summer)
	if !ok {
		return s.sumFailed(program, "checksums are not available here")
	}
	status := exitOK
	for _, name := range args {
		sum, err := summer.Sum(ctx, name, d)
		if err != nil {
			_, text := vfs.Explain(err)
			status = s.sumFailed(program, name+": "+text)
			continue
		}
		fmt.Fprintf(s, "%s  %s\n", sum, printable(name))
	}
	return status
}

func (s *Session) sumInput(program string, d vfs.Digest) int {
	h := d.New()
	n, err := io.Copy(h, io.LimitReader(s, maxSumInput+1))
	if err != nil || n > maxSumInput {
		return s.sumFailed(program, "standard input is too long: name a bundle")
	}
	fmt.Fprintf(s, "%s  -\n", hex.EncodeToString(h.Sum(nil)))
	return exitOK
}

func (s *Session) sumFailed(program, text string) int {
	s.tell(program + ": " + vfs.Printable(text, vfs.MaxText))
	return exitFailed
}
