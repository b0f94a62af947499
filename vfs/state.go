package vfs

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"

	"bundleup/vfs/bundle"
)

// stateVersion is the first byte of a saved upload state.
const stateVersion = 1

// draft is what an upload carries through every suspend beside the check.
type draft struct {
	Receipt Receipt   `json:"receipt"`
	ModTime time.Time `json:"mod_time"`
}

// encodeState puts an upload's draft, digest and check into one record:
// version, then three parts, each behind its length as a uvarint.
func encodeState(d *draft, sum hash.Hash, check *bundle.Check) ([]byte, error) {
	doc, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	digest, err := sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, err
	}
	tested, err := check.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1+len(doc)+len(digest)+len(tested)+3*binary.MaxVarintLen64)
	b = append(b, stateVersion)
	for _, part := range [][]byte{doc, digest, tested} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b, nil
}

// decodeState is the reverse; check must be new. The record's integrity is the
// store's duty, its age and origin are not: every part is validated.
func decodeState(b []byte, check *bundle.Check) (*draft, hash.Hash, error) {
	if len(b) == 0 || b[0] != stateVersion {
		return nil, nil, errors.New("decode upload state: unknown version")
	}
	b = b[1:]
	var parts [3][]byte
	for i := range parts {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return nil, nil, errors.New("decode upload state: cut short")
		}
		parts[i], b = b[w:w+int(n)], b[w+int(n):]
	}
	d, sum := &draft{}, sha256.New()
	if err := json.Unmarshal(parts[0], d); err != nil {
		return nil, nil, fmt.Errorf("decode upload state: draft: %w", err)
	}
	if err := sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(parts[1]); err != nil {
		return nil, nil, fmt.Errorf("decode upload state: digest: %w", err)
	}
	if err := check.UnmarshalBinary(parts[2]); err != nil {
		return nil, nil, fmt.Errorf("decode upload state: check: %w", err)
	}
	return d, sum, nil
}
