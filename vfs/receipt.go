package vfs

import (
	"fmt"
	"strconv"
	"time"

	"bundleup/vfs/bundle"
)

// Verdict is how an upload ended.
type Verdict string

// The verdicts.
const (
	Accepted Verdict = "accepted"
	Rejected Verdict = "refused"
)

// Receipt is the durable record of one upload's end. The customer reads it as
// JSON under /receipts/.
type Receipt struct {
	ID       string  `json:"id"`
	Verdict  Verdict `json:"verdict"`
	Name     string  `json:"name"`                // as the client named it, without the leading slash
	StoredAs string  `json:"stored_as,omitempty"` // where it is; "name~2.tgz" when the name had other bytes
	Tenant   string  `json:"tenant"`
	Account  string  `json:"account"`

	Size     int64  `json:"size"`             // compressed bytes
	SHA256   string `json:"sha256,omitempty"` // of the compressed bytes, hex; empty when refused
	Entries  int64  `json:"entries"`
	Unpacked int64  `json:"unpacked"` // bytes of the tar stream
	Members  int64  `json:"members"`  // gzip members

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Client   string    `json:"client,omitempty"`
	Protocol string    `json:"protocol,omitempty"`
	Resumes  int       `json:"resumes"`

	// CompletedWithoutClose says that the client vanished after the last byte.
	CompletedWithoutClose bool `json:"completed_without_close,omitempty"`

	Rejection *RejectionInfo `json:"rejection,omitempty"`

	// Repeated says that the same bytes had been accepted before and this is
	// the first receipt. It is not stored.
	Repeated bool `json:"-"`
	// Promised says that the bundle is kept beside a name which no bundle had:
	// another upload was under way for it. It is not stored.
	Promised bool `json:"-"`
}

// RejectionInfo is a bundle.Rejection as a receipt tells it.
type RejectionInfo struct {
	Rule    bundle.Rule `json:"rule"`
	Entry   string      `json:"entry,omitempty"`
	Offset  int64       `json:"offset"`
	Reason  string      `json:"reason"`
	Mend    string      `json:"mend,omitempty"`
	Message string      `json:"message"`
}

// Notice is the line that a person who watches the upload should read beside
// plain success; empty when there is nothing to say.
func (r *Receipt) Notice() string {
	switch {
	case r.Repeated:
		return fmt.Sprintf("%s had been accepted before with the same content: nothing to do", r.StoredAs)
	case r.Promised:
		return fmt.Sprintf("%s is the name of another upload that is under way: this one is kept beside it as %s", r.Name, r.StoredAs)
	case r.StoredAs != "" && r.StoredAs != r.Name:
		return fmt.Sprintf("%s had been accepted before with other content: this one is kept beside it as %s", r.Name, r.StoredAs)
	}
	return ""
}

// refuse writes a verdict into the receipt of an upload that had size bytes.
func (r *Receipt) refuse(why *bundle.Rejection, message string, size int64) {
	r.Verdict, r.Size = Rejected, size
	r.Rejection = rejectionInfo(why, message)
}

func rejectionInfo(why *bundle.Rejection, message string) *RejectionInfo {
	return &RejectionInfo{
		Rule: why.Rule, Entry: why.Entry, Offset: why.Offset,
		Reason: why.Reason, Mend: why.Mend, Message: message,
	}
}

// commas writes n with a comma after every three digits.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
