package sftp

import (
	"github.com/pkg/sftp"

	"bundleup/vfs"
)

// code is an SFTP status code, section 7 of the draft.
type code uint32

const (
	codeOK               code = 0
	codeNoSuchFile       code = 2
	codePermissionDenied code = 3
	codeFailure          code = 4
	codeBadMessage       code = 5
	codeUnsupported      code = 8
)

// status is the one error that reaches the RequestServer, and through it the
// peer. Error is the text for the peer, word for word; Unwrap carries the code.
type status struct {
	code code
	text string
}

func (s *status) Error() string { return s.text }

// Unwrap gives pkg/sftp the error that it maps to the code.
func (s *status) Unwrap() error {
	switch s.code {
	case codeNoSuchFile:
		return sftp.ErrSSHFxNoSuchFile
	case codePermissionDenied:
		return sftp.ErrSSHFxPermissionDenied
	case codeBadMessage:
		return sftp.ErrSSHFxBadMessage
	case codeUnsupported:
		return sftp.ErrSSHFxOpUnsupported
	}
	return sftp.ErrSSHFxFailure
}

// frame is the STATUS packet for request id.
func (s *status) frame(id uint32) []byte {
	return newFrame(typeStatus, id).uint32(uint32(s.code)).string(s.text).string("").done()
}

// What the filter answers by itself.
var (
	statusOK            = &status{codeOK, ""}
	statusMalformed     = &status{codeBadMessage, "the packet is malformed"}
	statusTooLong       = &status{codeBadMessage, "the packet is too long"}
	statusUnsupported   = &status{codeUnsupported, "this server does not do that"}
	statusUnknownHandle = &status{codeFailure, "no file is open under this handle"}
	statusWrongHandle   = &status{codeFailure, "the handle was not opened for that: uploads are only written, files only read"}
	statusOffset        = &status{codeFailure, "the offset is beyond what a file can have"}
	statusTooMany       = &status{codeFailure, "too many files are open: close one first"}
	statusNoDir         = &status{codeNoSuchFile, "there is no such directory"}
	statusNoMode        = &status{codeFailure, "open a file for reading or for writing"}
	statusPanic         = &status{codeFailure, "internal error: nothing was lost, try again; if it stays, tell support the time"}
)

// refused is a failure whose text a person must read.
func refused(text string) *status { return &status{codeFailure, printable(text)} }

// explained turns an error of a View or an Upload into what the peer is told.
// All but two kinds are FAILURE, the only code whose text rclone and FileZilla
// show. A status of this package passes as it is.
func explained(err error) (*status, vfs.Kind) {
	if s, ok := err.(*status); ok {
		return s, vfs.Refused
	}
	kind, text := vfs.Explain(err)
	c := codeFailure
	switch kind {
	case vfs.NotExist:
		c = codeNoSuchFile
	case vfs.Denied:
		c = codePermissionDenied
	}
	return &status{c, printable(text)}, kind
}
