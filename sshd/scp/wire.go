package scp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"bundleup/vfs"
)

// The bytes that an answer begins with. The latter two are followed by a line.
const (
	answerOK     = 0
	answerFailed = 1 // this file or directory, the next may go on
	answerFatal  = 2 // all that is left
)

// maxRecord is the longest line that either side may send, with its newline:
// OpenSSH's buffer.
const maxRecord = 2048

// chunk is how much file content is moved at once, in bytes: what comes meanwhile is
// decrypted while this is checked, so that one does not wait for more than this.
const chunk = 64 << 10

// ok answers a record, or asks for the next.
func (s *session) ok() error { return s.write([]byte{answerOK}) }

// refuse tells the peer that one file or directory fails, and why.
func (s *session) refuse(name string, err error) error {
	s.failed = true
	s.logFailure(name, err)
	return s.tell(answerFailed, explained(name, err))
}

func (s *session) tell(kind byte, text string) error {
	return s.write([]byte(string(kind) + "bundleup: " + text + "\n"))
}

func (s *session) write(p []byte) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if _, err := s.out.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errHungUp, err)
	}
	return nil
}

// record reads one line, without its newline. It gives io.EOF only where the
// peer ended before a line.
func (s *session) record() (string, error) {
	line, err := s.in.ReadSlice('\n')
	switch {
	case err == nil:
		return string(line[:len(line)-1]), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", violated("the record is longer than %d bytes", maxRecord)
	case err == io.EOF && len(line) == 0:
		return "", io.EOF
	}
	return "", fmt.Errorf("%w: %w", errHungUp, err)
}

// answer reads what the peer says to the last step. A refusal of its own it has
// shown to its user; here it only counts. io.EOF is as for record.
func (s *session) answer() (accepted bool, err error) {
	kind, err := s.in.ReadByte()
	if err == io.EOF {
		return false, err
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", errHungUp, err)
	}
	if kind == answerOK {
		return true, nil
	}
	s.failed = true
	if kind != answerFailed && kind != answerFatal {
		return false, violated("an answer begins with byte %d", kind)
	}
	text, err := s.record()
	if err == nil && kind == answerFatal {
		err = fmt.Errorf("%w: it said %q", errHungUp, text)
	}
	return false, noEOF(err)
}

// noEOF is for places where the peer may not end.
func noEOF(err error) error {
	if err == io.EOF {
		return fmt.Errorf("%w: %w", errHungUp, io.ErrUnexpectedEOF)
	}
	return err
}

// note writes a line for the person at the client. It ends in \r\n because the
// terminal may be in raw mode. A failure to write is the channel's, and shows on
// the next answer.
func (s *session) note(text string) {
	io.WriteString(s.err, "bundleup: "+text+"\r\n")
}

// logFailure logs what the peer is told, with its cause.
func (s *session) logFailure(name string, err error) {
	kind, _ := vfs.Explain(err)
	if kind == vfs.Internal {
		s.log.Error("scp failed", "name", printable(name), "err", printable(err.Error()))
		return
	}
	s.log.Info("scp refused", "name", printable(name), "err", printable(err.Error()))
}

// explained is what the peer is told of an error: one line that says which name
// it is about.
func explained(name string, err error) string {
	_, text := vfs.Explain(err)
	base := name[strings.LastIndexByte(name, '/')+1:]
	if base != "" && !mentions(printable(text), printable(base)) {
		text = vfs.Printable(name, maxShownName) + ": " + text
	}
	return printable(text)
}
