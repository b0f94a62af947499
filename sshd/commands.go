package sshd

import (
	"context"
	"fmt"

	"bundleup/sshd/scp"
)

// Command is a program that "ssh host NAME ARGS" runs; it returns its exit
// status. args are the words after the name. It must end when ctx does, and
// must not read its standard input after it returned.
type Command func(ctx context.Context, s *Session, args []string) int

// exec runs a command line: scp, which has quoting rules of its own, or one of
// the Config's. For any other the channel ends with a message on standard error
// and 127, as in a shell, and standard output stays empty: rclone asks in this
// way which checksum programs there are.
func (s *Session) exec(line string) int {
	stop := context.AfterFunc(s.conn.ctx, func() { s.Close() })
	defer stop()
	if args, ok := scp.Split(line); ok {
		return s.scp(args)
	}
	list, err := words(line)
	if err != nil || len(list) == 0 {
		s.discardInput()
		s.tell("bundleup: this command line cannot be read")
		return exitNotFound
	}
	command := s.conn.server.cfg.Commands[list[0]]
	if command == nil {
		s.discardInput()
		s.tell(fmt.Sprintf("bundleup: %s: no such command: sftp, scp and help work here", printable(list[0])))
		return exitNotFound
	}
	return command(s.conn.ctx, s, list[1:])
}

func (s *Session) scp(args []string) int {
	view, err := s.View("scp")
	if err != nil {
		return s.noView(err)
	}
	if !s.takeFile() {
		s.discardInput()
		s.tell("bundleup: this account has too many files open: close some and try again")
		return exitFailed
	}
	defer s.giveFile()
	return scp.Run(s.conn.ctx, args, scp.IO{In: s, Out: s, Err: s.Stderr(), Log: s.conn.log}, view)
}
