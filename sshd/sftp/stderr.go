package sftp

import (
	"io"
	"strconv"
	"strings"
	"unicode"
)

// maxText bounds what a peer is told at once, in bytes before escaping: long
// names are cut, not the reason, which stands in front or is short.
const maxText = 2048

// prompts are what sos 4.2 and later looks for when it drives the sftp client
// through a terminal. None of them may come from us.
var prompts = strings.NewReplacer(
	"sftp>", `sftp\x3e`,
	"password:", `password\x3a`,
	"Password:", `Password\x3a`,
	"100%", `100\x25`,
)

// notes writes lines for the person at the client.
type notes struct{ w io.Writer }

// line writes one line. It ends in \r\n because the client's terminal may be in
// raw mode. A failure to write is the channel's, and shows on the next reply.
func (n notes) line(text string) {
	io.WriteString(n.w, "bundleup: "+printable(text)+"\r\n")
}

// printable escapes what is not printable, as Go does in strings, and what
// scripts take for a prompt.
func printable(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "..."
	}
	return prompts.Replace(escape(text))
}

func escape(text string) string {
	if isPrint(text) {
		return text
	}
	quoted := strconv.Quote(text)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

func isPrint(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	})
}
