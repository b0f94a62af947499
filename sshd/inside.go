package sshd

import (
	"context"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
	"bundleup/vfs/inside"
)

// The bytes that a terminal in raw mode sends for an interrupt and an end of input.
const (
	keyInterrupt = 0x03
	keyEnd       = 0x04
)

// InsideCommands are the commands of package inside: all of them for support, help and
// receipts for customers. Each may take that long and write that many bytes.
func InsideCommands(limit time.Duration, output int64) map[string]Command {
	c := inside.Config{Time: limit, Output: output, Notes: []string{"  md5sum, sha1sum, sha256sum PATH..."}}
	all := inside.New(c)
	c.Commands = []string{"help", "receipts"}
	some := inside.New(c)
	commands := make(map[string]Command)
	for _, name := range all.Names() {
		commands[name] = func(ctx context.Context, s *Session, args []string) int {
			if s.Account().Role == auth.Support {
				return s.inside(ctx, all, name, args)
			}
			return s.inside(ctx, some, name, args)
		}
	}
	return commands
}

// inside runs one command over the account's view.
func (s *Session) inside(ctx context.Context, commands *inside.Commands, name string, args []string) int {
	view, err := s.View("exec")
	if err != nil {
		s.discardInput()
		return s.noView(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.drain.Do(func() { s.conn.goroutine(func() { s.watchInput(cancel) }) })
	if a, ok := view.(vfs.Announcer); ok {
		defer a.Announce(func(line string) { s.tell("bundleup: " + printable(line)) })()
	}
	return commands.Run(ctx, view, inside.IO{Out: s, Err: s.Stderr(), Terminal: s.terminal}, name, args)
}

// watchInput throws input away, but for the keys by which a person ends a command:
// a client whose terminal is raw sends them instead of a signal.
func (s *Session) watchInput(cancel func()) {
	var buf [64]byte
	for {
		n, err := s.Read(buf[:])
		if err != nil {
			return
		}
		for _, b := range buf[:n] {
			if s.terminal && (b == keyInterrupt || b == keyEnd) {
				cancel()
			}
		}
	}
}

// takeTerminal grants a terminal to support, whose commands then escape what they
// write. There is no terminal here: the request only says that one is at the other end.
func (s *Session) takeTerminal(started bool) bool {
	if started || s.conn.account.Role != auth.Support {
		return false
	}
	s.terminal = true
	return true
}
