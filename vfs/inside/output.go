package inside

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// output is a command's standard output: buffered, bounded and, for a terminal, made
// harmless. Its first failure ends the command.
type output struct {
	w        *bufio.Writer
	left     int64
	terminal bool
	partial  []byte // the beginning of a character whose rest is to come
	cancel   context.CancelCauseFunc
	failed   bool
}

func newOutput(stdio IO, limit int64, cancel context.CancelCauseFunc) *output {
	return &output{w: bufio.NewWriterSize(stdio.Out, 64<<10), left: limit, terminal: stdio.Terminal, cancel: cancel}
}

// Write implements io.Writer. It fails when the command has to end.
func (o *output) Write(p []byte) (int, error) {
	if o.failed {
		return 0, errClosed
	}
	if o.left -= int64(len(p)); o.left < 0 {
		o.fail(errOutput)
		return 0, errOutput
	}
	var err error
	if o.terminal {
		err = o.escape(p)
	} else {
		_, err = o.w.Write(p)
	}
	if err != nil {
		o.fail(errClosed)
		return 0, errClosed
	}
	return len(p), nil
}

func (o *output) fail(cause error) {
	o.failed = true
	o.cancel(cause)
}

func (o *output) flush() {
	if len(o.partial) > 0 {
		for _, b := range o.partial {
			fmt.Fprintf(o.w, `\x%02x`, b)
		}
		o.partial = nil
	}
	if err := o.w.Flush(); err != nil && !o.failed {
		o.fail(errClosed)
	}
}

func (o *output) printf(format string, args ...any) { fmt.Fprintf(o, format, args...) }

// escape writes p so that it cannot do anything to a terminal but show characters:
// what is not printable becomes an escape as Go has them in strings, but for tabs and
// newlines, which get the carriage return that a terminal in raw mode needs.
func (o *output) escape(p []byte) error {
	if len(o.partial) > 0 {
		p = append(o.partial, p...)
		o.partial = nil
	}
	for len(p) > 0 {
		n := plain(p)
		if _, err := o.w.Write(p[:n]); err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		if !utf8.FullRune(p) {
			o.partial = append([]byte(nil), p...)
			return nil
		}
		c, n := utf8.DecodeRune(p)
		if err := o.escapeRune(c, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// plain is how many bytes of p are printable ASCII or tabs.
func plain(p []byte) int {
	for i, b := range p {
		if (b < ' ' || b > '~') && b != '\t' {
			return i
		}
	}
	return len(p)
}

func (o *output) escapeRune(c rune, raw []byte) (err error) {
	switch {
	case c == '\n':
		_, err = o.w.WriteString("\r\n")
	case c == utf8.RuneError && len(raw) == 1, c < utf8.RuneSelf:
		_, err = fmt.Fprintf(o.w, `\x%02x`, raw[0])
	case unicode.IsPrint(c):
		_, err = o.w.Write(raw)
	default:
		_, err = fmt.Fprintf(o.w, `\u%04x`, c)
	}
	return err
}

var _ io.Writer = (*output)(nil)
