package s3

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"time"

	"bundleup/vfs/store"
)

// phase is where an upload stands.
type phase string

const (
	phaseDraft   phase = "draft"   // parts, but no saved state: forgotten when its owner is gone
	phaseSaved   phase = "saved"   // can be resumed
	phaseSealing phase = "sealing" // Seal says how it goes on
	phaseGone    phase = "gone"    // discarded; only the clearing away is left
)

// state is the object uploads/ID/state: everything that another node needs to go
// on. Whoever replaces it names the ETag of the one he knows, so a writer whose
// upload was taken over fails and stops.
type state struct {
	ID       store.ID  `json:"id"`
	Name     store.Key `json:"name"`
	Phase    phase     `json:"phase"`
	Owner    string    `json:"owner"`
	Epoch    int64     `json:"epoch"` // grows with every new owner
	Serial   int64     `json:"serial"`
	Until    time.Time `json:"until"` // the lease's end; zero: released
	Schedule int       `json:"schedule"`

	// Target is the key of the multipart upload UploadID, both empty before
	// the first part is full. Reserved is the name that the target belongs to.
	Target   string    `json:"target,omitempty"`
	UploadID string    `json:"upload_id,omitempty"`
	Reserved store.Key `json:"reserved,omitempty"`
	Parts    []partRef `json:"parts,omitempty"`
	// Whole says that the multipart upload was completed, as an object whose
	// final place is elsewhere.
	Whole bool `json:"whole,omitempty"`

	Off     int64      `json:"off"` // bytes covered by the saved state
	Saved   time.Time  `json:"saved"`
	Tail    int64      `json:"tail"` // bytes behind the last full part
	TailKey string     `json:"tail_key,omitempty"`
	Aside   []asideRef `json:"aside,omitempty"`
	Lost    bool       `json:"aside_lost,omitempty"`

	Seal *sealing `json:"seal,omitempty"`

	saved []byte // the caller's
	tail  []byte // the tail, if it has no key of its own
}

// sealing is what a seal needs to be completed by anybody.
type sealing struct {
	Key   store.Key `json:"key"`
	Size  int64     `json:"size"`
	Parts []partRef `json:"parts"`
}

// The object: magic, CRC-32C of what follows it, three lengths, three parts. All
// numbers are little-endian.
const (
	stateMagic  = "bup.s3.1"
	stateHeader = len(stateMagic) + 4 + 3*4
)

func (st *state) encode() ([]byte, error) {
	head, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, stateHeader+len(head)+len(st.saved)+len(st.tail))
	b = append(b, stateMagic...)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, p := range [][]byte{head, st.saved, st.tail} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
	}
	for _, p := range [][]byte{head, st.saved, st.tail} {
		b = append(b, p...)
	}
	binary.LittleEndian.PutUint32(b[len(stateMagic):], crc32.Checksum(b[len(stateMagic)+4:], castagnoli))
	return b, nil
}

func decodeState(b []byte) (*state, error) {
	if len(b) < stateHeader || !bytes.Equal(b[:len(stateMagic)], []byte(stateMagic)) {
		return nil, fmt.Errorf("%w: foreign object", store.ErrState)
	}
	if crc32.Checksum(b[len(stateMagic)+4:], castagnoli) != binary.LittleEndian.Uint32(b[len(stateMagic):]) {
		return nil, fmt.Errorf("%w: checksum", store.ErrState)
	}
	lengths, rest := b[len(stateMagic)+4:stateHeader], b[stateHeader:]
	var parts [3][]byte
	for i := range parts {
		n := uint64(binary.LittleEndian.Uint32(lengths[4*i:]))
		if n > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: cut short", store.ErrState)
		}
		parts[i], rest = rest[:n], rest[n:]
	}
	st := &state{saved: parts[1], tail: parts[2]}
	if err := json.Unmarshal(parts[0], st); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrState, err)
	}
	return st, st.check()
}

// check keeps a doctored state from naming objects elsewhere.
func (st *state) check() error {
	sched := schedules[st.Schedule]
	switch {
	case st.ID.Check() != nil, st.Name == "", st.Name.Check() != nil, st.Off < 0, st.Tail < 0:
	case sched == nil, st.Tail > st.Off, st.TailKey == "" && int64(len(st.tail)) != st.Tail:
	case !st.Whole && len(st.Parts) > 0 && sched.start(len(st.Parts)+1) != st.Off-st.Tail:
	case st.Target != "" && st.Target != uploadKey(st.ID, dataName) && st.Target != bundleKey(st.Reserved):
	default:
		return nil
	}
	return fmt.Errorf("%w: inconsistent", store.ErrState)
}

// live says that the owner's lease has not ended.
func (st *state) live(now time.Time) bool { return st.Until.After(now) }

// readState reads an upload's state. One that was discarded is fs.ErrNotExist.
func (s *Store) readState(ctx context.Context, id store.ID) (*state, string, error) {
	b, etag, err := s.get(ctx, uploadKey(id, stateName))
	if err != nil {
		return nil, "", err
	}
	st, err := decodeState(b)
	if err == nil && st.ID != id {
		err = fmt.Errorf("%w: of upload %s", store.ErrState, st.ID)
	}
	return st, etag, err
}

// swapState replaces an upload's state. That somebody else did is errFenced.
func (s *Store) swapState(ctx context.Context, st *state, etag string) (string, error) {
	b, err := st.encode()
	if err != nil {
		return "", err
	}
	for {
		now, err := s.swap(ctx, uploadKey(st.ID, stateName), b, matching(etag))
		if !errors.Is(err, errConflict) {
			return now, err
		}
		// A put whose answer was lost may have changed the ETag: what counts
		// is who owns the state.
		cur, curTag, gerr := s.readState(ctx, st.ID)
		switch {
		case errors.Is(gerr, fs.ErrNotExist) || gerr == nil && (cur.Owner != st.Owner || cur.Epoch != st.Epoch || curTag == etag):
			return "", fmt.Errorf("%w: %w", errFenced, err)
		case gerr != nil:
			return "", gerr
		}
		etag = curTag
	}
}
