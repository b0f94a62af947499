package sftp

import (
	"io"

	"bundleup/vfs"
)

// notes writes lines for the person at the client.
type notes struct{ w io.Writer }

// line writes one line. It ends in \r\n because the client's terminal may be in
// raw mode. A failure to write is the channel's, and shows on the next reply.
func (n notes) line(text string) {
	io.WriteString(n.w, "bundleup: "+printable(text)+"\r\n")
}

// printable makes text safe to send and to log.
func printable(text string) string { return vfs.Printable(text, vfs.MaxText) }
