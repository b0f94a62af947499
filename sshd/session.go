package sshd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
	"bundleup/sshd/sftp"
	"bundleup/vfs"
)

// Exit statuses, as shells have them.
const (
	exitOK       = 0
	exitFailed   = 1
	exitNotFound = 127
)

// Session is one session channel (RFC 4254, 6) with the one program that runs
// on it. Its Read is the program's standard input, its Write standard output.
type Session struct {
	conn    *connection
	ch      ssh.Channel
	active  atomic.Int64 // when data last moved, Unix nanoseconds
	started atomic.Bool  // it has a program
	browses atomic.Bool  // which is sftp: it may be idle for long
	files   atomic.Int32 // that the program has open
	once    sync.Once    // the exit
	ended   time.Time    // by a pulse; guarded by conn.mu

	input input

	terminal bool // the peer shows output on one; set before the program starts

	// drain starts the one goroutine that throws input away. x/crypto wakes
	// only one reader at the end of a channel: a second would wait for ever.
	drain sync.Once
}

func newSession(c *connection, ch ssh.Channel) *Session {
	s := &Session{conn: c, ch: ch}
	s.input.begin(ch, &c.net.meter)
	s.touch()
	return s
}

// touch notes that data moved.
func (s *Session) touch() { s.active.Store(time.Now().UnixNano()) }

// Account is who is logged in.
func (s *Session) Account() *auth.Account { return s.conn.account }

// Log has the session's attributes.
func (s *Session) Log() *slog.Logger { return s.conn.log }

// Client is the peer's version string, escaped.
func (s *Session) Client() string { return s.conn.meta.Client }

// View is the connection's, made for protocol at its first use.
func (s *Session) View(protocol string) (vfs.View, error) { return s.conn.viewFor(protocol) }

// Stderr is the program's standard error.
func (s *Session) Stderr() io.Writer { return s.ch.Stderr() }

// Read is standard input, at the account's bandwidth. It is called by one
// goroutine at a time.
func (s *Session) Read(p []byte) (int, error) {
	n, err := s.conn.intake.read(s.conn.pace.Chunk(p), s.input.Read)
	if n > 0 {
		s.touch()
		if werr := s.conn.pace.Received(s.conn.ctx, n); werr != nil && err == nil {
			err = werr
		}
	}
	return n, err
}

// Write is standard output, at the account's bandwidth.
func (s *Session) Write(p []byte) (n int, err error) {
	for {
		part := s.conn.pace.Chunk(p[n:])
		if err := s.conn.pace.Sent(s.conn.ctx, len(part)); err != nil {
			return n, err
		}
		m, err := s.conn.intake.write(part, s.ch.Write)
		if m > 0 {
			s.touch()
		}
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// takeFile counts a file that the program opens; false means that the account
// has too many.
func (s *Session) takeFile() bool {
	if !s.conn.seat.takeHandle() {
		return false
	}
	s.files.Add(1)
	return true
}

func (s *Session) giveFile() {
	s.files.Add(-1)
	s.conn.seat.giveHandle()
}

// Close ends the session as failed, if it has not ended.
func (s *Session) Close() error {
	s.exit(exitFailed)
	return nil
}

// exit sends the status and closes the channel. Errors mean that the peer has
// gone.
func (s *Session) exit(status int) {
	s.once.Do(func() {
		_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		_ = s.ch.CloseWrite()
		_ = s.ch.Close()
	})
}

// serve answers the channel's requests until the peer has closed it as well. It
// then waits for the program. A channel without a program is ended by a pulse.
func (s *Session) serve(reqs <-chan *ssh.Request) {
	s.conn.goroutine(s.discardErrors)
	var program sync.WaitGroup
	defer program.Wait()
	for req := range reqs {
		run, ok := s.request(req, s.started.Load())
		if run != nil {
			s.started.Store(true)
			s.touch()
		}
		if req.WantReply {
			_ = req.Reply(ok, nil)
		}
		if run == nil {
			continue
		}
		program.Go(func() {
			defer s.conn.recovered()
			s.exit(run())
			s.discardInput()
		})
	}
}

// discardErrors reads what the peer sends as standard error: x/crypto would keep
// it. No client sends any.
func (s *Session) discardErrors() {
	var buf [64]byte
	for total := 0; ; {
		n, err := s.ch.Stderr().Read(buf[:])
		if total += n; total > maxErrorInput {
			s.conn.net.meter.fail(errErrorInput)
			s.conn.net.Close()
			return
		}
		if err != nil {
			return
		}
	}
}

// request says what a request starts and whether it is granted. Only one
// program runs on a channel (RFC 4254, 6.5).
func (s *Session) request(req *ssh.Request, started bool) (run func() int, ok bool) {
	switch req.Type {
	case "env":
		return nil, true // clients that cannot set LANG complain to their user
	case "pty-req":
		return nil, s.takeTerminal(started)
	case "shell":
		run = s.shell
	case "exec", "subsystem":
		var arg struct{ Text string }
		if ssh.Unmarshal(req.Payload, &arg) != nil {
			return nil, false
		}
		run = func() int { return s.exec(arg.Text) }
		if req.Type == "subsystem" {
			if arg.Text != "sftp" {
				return nil, false
			}
			run = s.sftp
		}
	}
	if started || run == nil {
		return nil, false
	}
	return run, true
}

// sftp runs the subsystem. OpenSSH's scp fails without an exit status of 0.
func (s *Session) sftp() int {
	view, err := s.View("sftp")
	if err != nil {
		return s.noView(err)
	}
	s.browses.Store(true)
	err = sftp.Serve(s.conn.ctx, s, s.Stderr(), view, sftp.Options{
		Client: s.conn.meta.Client, Log: s.conn.log, MaxHandles: s.conn.server.cfg.Limits.HandlesPerSession,
		TakeHandle: s.takeFile, GiveHandle: s.giveFile,
	})
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, sftp.ErrHungUp) && s.conn.ctx.Err() == nil {
		s.conn.log.Info("sftp ended", "err", printable(err.Error()))
	}
	return exitFailed
}

// noView tells the peer nothing of why.
func (s *Session) noView(err error) int {
	s.conn.log.Error("no view for account", "err", err)
	s.tell("bundleup: this account may do nothing here: ask support")
	return exitFailed
}

// tell writes lines to standard error, for a terminal in any mode.
func (s *Session) tell(lines ...string) {
	_, _ = io.WriteString(s.Stderr(), strings.Join(lines, "\r\n")+"\r\n")
}

// shell says what to type instead. The words "password:" and the prompt of the
// sftp client must not be in it: sos drives sftp by looking for them.
func (s *Session) shell() int {
	if help := s.conn.server.cfg.Commands["help"]; help != nil && s.conn.account.Role == auth.Support {
		s.tell("This is bundleup. It has no shell: type a command behind the host's name.")
		return help(s.conn.ctx, s, nil)
	}
	s.discardInput()
	user := s.conn.account.Name
	lines := []string{
		fmt.Sprintf("Hello %s. This is bundleup: it takes diagnostic bundles (.tgz) and has no shell.", printable(user)),
		"To send a bundle, type on your own machine:",
		fmt.Sprintf("  scp bundle.tgz %s@HOST:", printable(user)),
		fmt.Sprintf("  sftp %s@HOST     and then: put bundle.tgz", printable(user)),
		"with the HOST and the port that you have used now.",
	}
	_, _ = io.WriteString(s, strings.Join(lines, "\r\n")+"\r\n")
	return exitFailed
}

// discardInput reads on where no program does, so that nothing piles up.
func (s *Session) discardInput() {
	s.drain.Do(func() { s.conn.goroutine(func() { _, _ = io.Copy(io.Discard, s) }) })
}
