// Package sftp speaks SFTP version 3 (draft-ietf-secsh-filexfer-02) over one
// SSH channel and turns it into calls of a vfs.View. The protocol's server is
// pkg/sftp's RequestServer, behind a filter for frames.
//
// It guarantees that no packet, however made, reaches the server unless it is
// whole and fits the handle it names; that writes reach an upload in order;
// that memory per channel is bounded; that a panic costs one request; and that
// the words of an error reach the peer through vfs.Explain only, on the status
// and, for a person, as one line on the channel's standard error.
//
// It deliberately knows no role, no path rule and no bundle: that is vfs.
package sftp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/pkg/sftp"

	"bundleup/vfs"
)

// ErrHungUp is returned by Serve when an upload failed at its close and the
// client is one that does not read that answer. The channel was closed instead
// of the answer: a ch whose Close sends an exit status first sends a non-zero
// one.
var ErrHungUp = errors.New("serve sftp: hung up on a client that would miss the failure of its upload")

// puttyPrefix begins the version string of PuTTY's psftp and pscp. pscp exits 0
// whatever the status of CLOSE says.
const puttyPrefix = "SSH-2.0-PuTTY_Release_"

// defaultMaxHandles is what OpenSSH's clients have at most in flight, see
// limits@openssh.com in packets.go.
const defaultMaxHandles = 64

// Options say who is at the other end and bound what it may hold.
type Options struct {
	// Client is the peer's SSH version string, such as "SSH-2.0-OpenSSH_9.2".
	Client string
	// Log is told about failures of ours, with the session's attributes. Nil
	// means no log.
	Log *slog.Logger
	// MaxHandles is how many files and directories the channel may have open
	// at once. Default 64.
	MaxHandles int
	// TakeHandle is asked before a file or directory is opened and says whether
	// there is room for one more; GiveHandle is told when it is closed. Both or
	// none must be set. Nil means that only MaxHandles counts.
	TakeHandle func() bool
	GiveHandle func()
}

// Serve answers the requests on ch until the client ends its side, and returns
// nil then. It returns ErrHungUp, see there, or what broke the channel. Uploads
// that are still open are suspended before it returns. stderr is the channel's
// standard error.
//
// When ctx ends, Serve closes ch; it returns as soon as that ends a blocked read
// of ch, for an SSH channel when the peer answers or the connection ends. But
// for these two cases ch stays open, for the caller to send an exit status.
func Serve(ctx context.Context, ch io.ReadWriteCloser, stderr io.Writer, view vfs.View, opts Options) error {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MaxHandles <= 0 {
		opts.MaxHandles = defaultMaxHandles
	}
	s := newSession(ctx, view, stderr, opts.Log)
	if opts.TakeHandle != nil {
		s.take, s.give = opts.TakeHandle, opts.GiveHandle
	}
	return s.serve(ch, opts)
}

func (s *session) serve(ch io.ReadWriteCloser, opts Options) error {
	f := newFrames(ch, opts.MaxHandles, s.takeMade)
	hangUp := func(reason error) {
		f.stop(reason)
		ch.Close()
	}
	if strings.HasPrefix(opts.Client, puttyPrefix) {
		s.hangUp = func() { hangUp(ErrHungUp) }
	}
	stop := context.AfterFunc(s.ctx, func() { hangUp(context.Cause(s.ctx)) })
	defer stop()
	if a, ok := s.view.(vfs.Announcer); ok {
		defer a.Announce(s.notes.line)()
	}
	for {
		if err := f.begin(); err != nil {
			return f.end(err)
		}
		server := sftp.NewRequestServer(f, s.handlers(), sftp.WithRSMaxTxPacket(maxData))
		if err := server.Serve(); !f.ended {
			return f.end(err)
		}
	}
}
