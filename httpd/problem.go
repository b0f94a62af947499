package httpd

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"bundleup/vfs"
)

// internalText is all that a peer learns about a failure of ours.
const internalText = "internal error: nothing was lost, try again; if it stays, tell support the time"

// problem is the body of an answer that is no success (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"` // what is wrong and what to do
	// Offset is how many bytes of an upload are kept; it is in the header
	// Upload-Offset as well.
	Offset *int64 `json:"upload_offset,omitempty"`
	// Rejection says why a file is no sound bundle.
	Rejection *vfs.RejectionInfo `json:"rejection,omitempty"`
}

// Error is the title.
func (p *problem) Error() string { return p.Title }

func writeProblem(w http.ResponseWriter, p problem) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.Offset != nil {
		h.Set("Upload-Offset", strconv.FormatInt(*p.Offset, 10))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the peer has gone
}

// fail answers with an error, and logs what was ours.
func (q *request) fail(err error) {
	p := explain(err)
	if p.Status >= http.StatusInternalServerError {
		q.log.Error("request failed", "method", q.Method, "err", err)
	}
	writeProblem(q.w, p)
}

// explain is the one place that gives an error its HTTP status.
func explain(err error) problem {
	if p := (*problem)(nil); errors.As(err, &p) {
		return *p
	}
	if why, ok := vfs.Refusal(err); ok {
		return refusal(why)
	}
	kind, text := vfs.Explain(err)
	return problem{Status: status(kind), Title: text}
}

// refusal answers for a file that is no sound bundle: 413 (RFC 9110, 15.5.14)
// where it is beyond a limit, else 422 (15.5.21).
func refusal(why *vfs.RejectionInfo) problem {
	p := problem{Status: http.StatusUnprocessableEntity, Title: why.Message, Rejection: why}
	if why.Rule == "limit" {
		p.Status = http.StatusRequestEntityTooLarge
	}
	return p
}

func status(k vfs.Kind) int {
	switch k {
	case vfs.NotExist:
		return http.StatusNotFound
	case vfs.Denied:
		return http.StatusForbidden
	case vfs.Refused:
		return http.StatusBadRequest
	case vfs.Exists:
		return http.StatusConflict
	case vfs.Full:
		return http.StatusInsufficientStorage
	case vfs.Canceled:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
