package httpd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"bundleup/vfs"
)

// pieceLen is how much of a body is checked and stored at once.
const pieceLen = 256 << 10

// put is PUT /bundles/NAME.tgz: the body is the bundle, or with Content-Range a
// part of it. 201 with the receipt; 200 where the same bytes had been accepted
// before; 202 where more is to come.
func put(q *request) error {
	part, err := parseRange(q.Header.Get("Content-Range"), q.ContentLength)
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: err.Error()}
	}
	name := "/" + q.PathValue("name")
	u, err := q.view.Create(q.Context(), name, flags(part.from))
	if err != nil {
		return err
	}
	if err := q.send(u, part.from); err != nil {
		return err
	}
	if part.last {
		return q.commit(u)
	}
	if err := u.Suspend(q.after()); err != nil {
		return err
	}
	q.w.Header().Set("Upload-Offset", strconv.FormatInt(u.Offset(), 10))
	q.w.WriteHeader(http.StatusAccepted)
	return nil
}

// flags open a name for an upload whose first byte is at from.
func flags(from int64) vfs.Flags {
	return vfs.Flags{Create: true, Trunc: from == 0}
}

// part is what of a bundle a request brings.
type part struct {
	from int64
	last bool // nothing comes behind it
}

// parseRange reads a Content-Range (RFC 9110, 14.4): "bytes 100-199/200", or with
// "*" for a size that is not known yet. Its length must be the body's, where that
// is told.
func parseRange(value string, length int64) (part, error) {
	if value == "" {
		return part{last: true}, nil
	}
	bad := fmt.Errorf("Content-Range %q is not understood: want bytes FIRST-LAST/SIZE", vfs.Printable(value, 100))
	span, ok := strings.CutPrefix(value, "bytes ")
	span, total, found := strings.Cut(span, "/")
	first, last, dash := strings.Cut(span, "-")
	if !ok || !found || !dash {
		return part{}, bad
	}
	from, err := parseSize(first)
	to, err2 := parseSize(last)
	if err != nil || err2 != nil || to < from {
		return part{}, bad
	}
	if length >= 0 && length != to-from+1 {
		return part{}, fmt.Errorf("Content-Range %q is not as long as the body, which has %d bytes", value, length)
	}
	if total == "*" {
		return part{from: from}, nil
	}
	size, err := parseSize(total)
	if err != nil || to >= size {
		return part{}, bad
	}
	return part{from: from, last: to == size-1}, nil
}

// parseSize reads a number of bytes: digits only.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}

// send writes the body to the upload, whose first byte is at from. When it fails
// the upload has ended; what came is kept.
func (q *request) send(u *vfs.Upload, from int64) error {
	if err := u.Begin(from); err != nil {
		kept := u.Kept()
		return errors.Join(&problem{Status: http.StatusConflict, Title: explain(err).Title, Offset: &kept}, ignore(u.Suspend(q.after())))
	}
	in, buf := q.body(), make([]byte, pieceLen)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, werr := u.Write(buf[:n]); werr != nil {
				return werr // overtakes the body
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return q.cut(u, err)
		}
	}
}

// ignore is for errors that were told as events already.
func ignore(error) error { return nil }

// errAnswered says that the answer was given.
var errAnswered = errors.New("answered")

// cut keeps what came of a body that ends too early.
func (q *request) cut(u *vfs.Upload, cause error) error {
	if err := u.Suspend(q.after()); err != nil {
		return err
	}
	kept := u.Offset()
	status := http.StatusBadRequest
	if tooSlow := interface{ Timeout() bool }(nil); errors.As(cause, &tooSlow) && tooSlow.Timeout() {
		status = http.StatusRequestTimeout
	}
	return &problem{Status: status, Title: fmt.Sprintf("the body ended too early: %d bytes are kept: continue there", kept), Offset: &kept}
}

// commit ends a whole upload and answers with the receipt.
func (q *request) commit(u *vfs.Upload) error {
	r, err := u.Commit(q.after())
	if err != nil {
		p := explain(err)
		if p.Rejection != nil && p.Rejection.Rule == vfs.RuleTruncated {
			kept := u.Offset()
			p.Offset = &kept
		}
		return &p
	}
	if r.Verdict != vfs.Accepted {
		return &problem{Status: http.StatusUnprocessableEntity, Title: r.Rejection.Message, Rejection: r.Rejection}
	}
	return q.receipt(r)
}

// receipt answers with a receipt. A bundle that got another name says where it is.
func (q *request) receipt(r *vfs.Receipt) error {
	h := q.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Location", (&url.URL{Path: "/bundles/" + r.StoredAs}).EscapedPath())
	if n := r.Notice(); n != "" {
		h.Set("X-Notice", n)
	}
	status := http.StatusCreated
	if r.Repeated {
		status = http.StatusOK
	}
	q.w.WriteHeader(status)
	enc := json.NewEncoder(q.w)
	enc.SetIndent("", "  ")
	return ignore(enc.Encode(r))
}

// form is POST /bundles: a multipart form (RFC 7578) whose field "file" is the
// bundle, as sos(1) and HTML forms send it.
func form(q *request) error {
	parts, err := q.MultipartReader()
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: "a multipart form with the field file is needed"}
	}
	for range maxParts {
		p, err := parts.NextPart()
		if err != nil {
			break
		}
		if p.FormName() != "file" {
			continue
		}
		u, err := q.view.Create(q.Context(), path.Join("/", q.URL.Query().Get("dir"), formName(p.FileName())), flags(0))
		if err != nil {
			return err
		}
		q.Request.Body = io.NopCloser(p)
		if err := q.send(u, 0); err != nil {
			return err
		}
		return q.commit(u)
	}
	return &problem{Status: http.StatusBadRequest, Title: "the form has no field file"}
}

// formName is the bundle's name for a file of a form. Who fills in the form cannot
// choose it: sos(1) sends sosreport-X.tar.gz.
func formName(file string) string {
	name := path.Base("/" + strings.ReplaceAll(file, `\`, "/"))
	if stem := len(name) - len(".tar.gz"); stem > 0 && strings.EqualFold(name[stem:], ".tar.gz") {
		return name[:stem] + ".tgz"
	}
	return name
}

// maxParts bounds what may stand before the file in a form.
const maxParts = 32

// remove is DELETE /bundles/NAME.tgz: an unfinished upload is forgotten.
func remove(q *request) error {
	if err := q.view.Remove(q.Context(), "/"+q.PathValue("name")); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
