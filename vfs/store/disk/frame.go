package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"bundleup/vfs/store"
)

// A frame is a small file that knows whether it is whole:
//
//	 0  magic, 8 bytes: what it is
//	 8  version, uint32
//	12  CRC-32C of everything behind this field, uint32
//	16  offset, int64: the bytes of the upload's data that it speaks of
//	24  length of the payload, int64
//	32  payload
//
// All numbers are little-endian.
const (
	frameHeader  = 32
	frameVersion = 1
	stateMagic   = "bup.sav2"
	intentMagic  = "bup.seal"
)

// maxFile bounds states and documents, which are read into memory, in bytes.
const maxFile = 256 << 20

var (
	errFrame = errors.New("torn or foreign file")
	errLarge = fmt.Errorf("more than %d bytes", maxFile)

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func encodeFrame(magic string, off int64, payload []byte) []byte {
	b := make([]byte, 0, frameHeader+len(payload))
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, frameVersion)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(off))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(payload)))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[16:], castagnoli))
	return b
}

func decodeFrame(magic string, b []byte) (off int64, payload []byte, err error) {
	if len(b) < frameHeader || !bytes.Equal(b[:8], []byte(magic)) {
		return 0, nil, errFrame
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != frameVersion {
		return 0, nil, fmt.Errorf("version %d, want %d: %w", v, frameVersion, errFrame)
	}
	off = int64(binary.LittleEndian.Uint64(b[16:]))
	payload = b[frameHeader:]
	switch {
	case off < 0, binary.LittleEndian.Uint64(b[24:]) != uint64(len(payload)):
		return 0, nil, errFrame
	case crc32.Checksum(b[16:], castagnoli) != binary.LittleEndian.Uint32(b[12:]):
		return 0, nil, fmt.Errorf("checksum: %w", errFrame)
	}
	return off, payload, nil
}

// replace gives the file name new contents, durably: either the old or the new
// ones survive a crash. temp must be in name's directory and is used up.
func (s *Store) replace(name, temp string, data []byte) error {
	err := s.writeFile(temp, data)
	if err == nil {
		err = s.files.Rename(temp, name)
	}
	if err != nil {
		s.files.Remove(temp)
		return err
	}
	return s.files.SyncDir(parent(name))
}

// writeFile makes a file whose bytes are durable, though its name is not. One
// that an earlier, failed try left is removed first.
func (s *Store) writeFile(name string, data []byte) error {
	if len(data) > maxFile {
		return fmt.Errorf("write %s: %w", name, errLarge)
	}
	return s.streamFile(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// streamFile is writeFile for what write writes.
func (s *Store) streamFile(name string, write func(io.Writer) error) error {
	if err := removed(s.files.Remove(name)); err != nil {
		return err
	}
	f, err := s.files.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// readFile reads a regular file. One that is missing is fs.ErrNotExist.
func (s *Store) readFile(name string) ([]byte, error) {
	f, fi, err := s.openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi.Size() > maxFile {
		return nil, fmt.Errorf("read %s: %w", name, errLarge)
	}
	return io.ReadAll(io.NewSectionReader(f, 0, fi.Size()))
}

// openRegular opens a regular file for reading; anything else is as missing,
// and not opened, for a pipe would block.
func (s *Store) openRegular(name string) (file, fs.FileInfo, error) {
	fi, err := s.files.Lstat(name)
	if isMissing(err) || err == nil && !fi.Mode().IsRegular() {
		return nil, nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := s.files.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	return f, fi, nil
}

// readState reads the saved state in an upload's directory.
func (s *Store) readState(dir string) (off, aside int64, state []byte, err error) {
	b, err := s.readFile(dir + "/" + stateName)
	if err == nil {
		off, aside, state, err = decodeState(b)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errFrame) {
		return 0, 0, nil, fmt.Errorf("%w: %w", store.ErrState, err)
	}
	return off, aside, state, err
}
