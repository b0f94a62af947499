// Package audit keeps the trail of who did what: append-only JSON lines, one event
// each, chained by hashes so that a line which was changed, taken out or moved
// shows.
//
// It guarantees that a line, once synced, is never touched again by this package;
// that several processes may append to one trail; that Record never waits for the
// disk; and that an event which could not be written is counted in the trail. It
// repairs what a crash leaves, and says so in the trail.
//
// What it cannot do: a chain whose end was cut off is a chain. The head file beside
// the trail tells the last line that was written, and Verify holds the trail
// against it; against somebody who changes both, note the head elsewhere from time
// to time ("bundleup audit verify" prints it). It holds no secrets, and nobody may
// put one in: an Event has no field for any.
package audit

import (
	"errors"
	"fmt"
	"time"
)

// Type says what happened.
type Type string

// The types of events.
const (
	Login      Type = "login"         // Count tries failed before
	Refused    Type = "login refused" // a connection that tried Count times; or Count connections, see Detail
	Opened     Type = "upload opened" // the first byte of a new upload came
	Resumed    Type = "upload resumed"
	Suspended  Type = "upload suspended" // unfinished; Bytes are kept
	Removed    Type = "upload removed"   // unfinished, and given up by its sender
	Expired    Type = "upload expired"   // unfinished, and not continued in time
	Retired    Type = "bundle retired"   // its tenant's retention is over
	Verdict    Type = "verdict"          // an upload was accepted or refused
	Download   Type = "download"         // a bundle was read, Bytes of it
	EntryRead  Type = "entry read"       // a file inside a bundle was read
	TokenIssue Type = "token issued"
	TokenKill  Type = "token revoked"
	Reload     Type = "configuration reloaded"
	Started    Type = "daemon started"
	Stopped    Type = "daemon stopped"
	EraseBegun Type = "erase begun" // an erasure was ordered
	ErasedOne  Type = "erased"      // one bundle, or what was unfinished, is gone
	Erased     Type = "erase done"  // the certificate of an erasure

	// What the trail says of itself.
	Rotated  Type = "rotated"  // the first line of a new file: Name is the old one
	Lost     Type = "lost"     // Count events could not be written
	Repaired Type = "repaired" // a torn last line was removed at the next start
	Cut      Type = "cut"      // the trail ended before the line that its head names
)

// Event is one line. Fields that do not apply are empty and not written. Strings are
// cut at 4096 bytes.
type Event struct {
	Time       time.Time `json:"time"` // filled in where it is zero
	Type       Type      `json:"event"`
	Session    string    `json:"session,omitempty"`    // the connection's ID in the log
	Remote     string    `json:"remote,omitempty"`     // address, with or without port
	Account    string    `json:"account,omitempty"`    // who did it; the user name where a login was refused
	Tenant     string    `json:"tenant,omitempty"`     // whose
	Client     string    `json:"client,omitempty"`     // program at the other end
	Method     string    `json:"method,omitempty"`     // of a login
	Credential string    `json:"credential,omitempty"` // fingerprint, certificate's ID, token's ID
	Protocol   string    `json:"protocol,omitempty"`
	Upload     string    `json:"upload,omitempty"`    // ID
	Name       string    `json:"name,omitempty"`      // of the bundle
	StoredAs   string    `json:"stored_as,omitempty"` // where that differs
	Entry      string    `json:"entry,omitempty"`     // within the bundle
	Verdict    string    `json:"verdict,omitempty"`
	Rule       string    `json:"rule,omitempty"` // of a refusal
	SHA256     string    `json:"sha256,omitempty"`
	NameSHA256 string    `json:"name_sha256,omitempty"` // in place of a name that is gone
	Size       int64     `json:"size,omitempty"`        // of the bundle
	Bytes      int64     `json:"bytes,omitempty"`       // that moved, or are kept
	Count      int64     `json:"count,omitempty"`
	Token      string    `json:"token,omitempty"` // ID
	Case       string    `json:"case,omitempty"`
	By         string    `json:"by,omitempty"`     // the operator at the command line
	Detail     string    `json:"detail,omitempty"` // in words
	// RemovedTo is the last line of the oldest files that a rotation removed.
	RemovedTo uint64 `json:"removed_to,omitempty"`
}

// maxString bounds what a peer can put into a line, in bytes.
const maxString = 4096

// bounded cuts the strings.
func (e Event) bounded() Event {
	for _, s := range []*string{
		&e.Session, &e.Remote, &e.Account, &e.Tenant, &e.Client, &e.Method, &e.Credential, &e.Protocol, &e.Upload,
		&e.Name, &e.StoredAs, &e.Entry, &e.Verdict, &e.Rule, &e.SHA256, &e.NameSHA256, &e.Token, &e.Case, &e.By, &e.Detail,
	} {
		*s = (*s)[:min(len(*s), maxString)]
	}
	return e
}

// Config says where the trail is and how it is kept.
type Config struct {
	// File is the trail. Beside it are FILE.N, older lines from number N on,
	// FILE.head and FILE.lock. Its directory is made with mode 0700, files
	// with 0600.
	File string
	// RotateSize is the size in bytes at which a new file is begun; at least
	// 64 KiB.
	RotateSize int64
	// Keep is how many older files stay; 0: all.
	Keep int
	// Queue is how many events may wait for the disk. Default 8192.
	Queue int
	// Failed is told once when events cannot be written, and with nil when
	// they can again. It may be nil.
	Failed func(error)
	// Written is given each line as soon as it is durable, in order and without
	// its end, for a second place that outlives the disk. It may be nil.
	Written func(line string)
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// MinRotateSize is the least Config.RotateSize, in bytes.
const MinRotateSize = 64 << 10

func (c *Config) complete() error {
	switch {
	case c.File == "":
		return errors.New("audit: no file")
	case c.RotateSize < MinRotateSize:
		return fmt.Errorf("audit: rotate size %d: want at least %d", c.RotateSize, MinRotateSize)
	case c.Keep < 0 || c.Queue < 0:
		return errors.New("audit: Keep and Queue must not be negative")
	}
	if c.Queue == 0 {
		c.Queue = 8192
	}
	if c.Failed == nil {
		c.Failed = func(error) {}
	}
	if c.Written == nil {
		c.Written = func(string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}
