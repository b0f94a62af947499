package httpd

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"bundleup/vfs"
)

// The tus resumable upload protocol 1.0.0 with the extensions creation and
// termination. An upload's URL is /tus/SIZE/NAME: any daemon can answer for it,
// and nothing is kept for an upload of which no byte came.
const (
	tusVersion = "1.0.0"
	tusType    = "application/offset+octet-stream"
)

// tusOptions tells what the server can do.
func tusOptions(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Tus-Resumable", tusVersion)
	h.Set("Tus-Version", tusVersion)
	h.Set("Tus-Extension", "creation,termination")
	w.WriteHeader(http.StatusNoContent)
}

// tus lets requests of the right version through.
func tus(next handler) handler {
	return func(q *request) error {
		q.w.Header().Set("Tus-Resumable", tusVersion)
		if q.Header.Get("Tus-Resumable") != tusVersion {
			q.w.Header().Set("Tus-Version", tusVersion)
			return &problem{Status: http.StatusPreconditionFailed, Title: "only tus 1.0.0 is spoken here"}
		}
		return next(q)
	}
}

// tusCreate is POST /tus/: an upload gets its URL. Its name is tried, so that one
// that is not allowed is refused before the first byte.
func tusCreate(q *request) error {
	size, err := parseSize(q.Header.Get("Upload-Length"))
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: "Upload-Length is needed: the size of the file in bytes"}
	}
	name, err := tusName(q.Header.Get("Upload-Metadata"))
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: err.Error()}
	}
	u, err := q.view.Create(q.Context(), "/"+name, vfs.Flags{Create: true})
	if err != nil {
		return err
	}
	if err := u.Suspend(q.after()); err != nil {
		return err
	}
	q.w.Header().Set("Location", (&url.URL{Path: fmt.Sprintf("/tus/%d/%s", size, name)}).EscapedPath())
	q.w.WriteHeader(http.StatusCreated)
	return nil
}

// tusName finds filename in "filename BASE64,filetype BASE64".
func tusName(metadata string) (string, error) {
	for pair := range strings.SplitSeq(metadata, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key != "filename" {
			continue
		}
		name, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", errors.New("Upload-Metadata: filename is not base64")
		}
		return strings.TrimPrefix(path.Clean("/"+string(name)), "/"), nil
	}
	return "", errors.New("Upload-Metadata must name the file: filename and its name in base64")
}

// target is the upload that a request is about.
func (q *request) target() (name string, size int64, err error) {
	size, err = parseSize(q.PathValue("size"))
	if err != nil {
		err = &problem{Status: http.StatusNotFound, Title: "there is no such upload"}
	}
	return "/" + q.PathValue("name"), size, err
}

// tusHead tells the offset to go on from.
func tusHead(q *request) error {
	name, size, err := q.target()
	if err != nil {
		return err
	}
	offset := int64(0)
	i, err := q.view.Stat(q.Context(), name)
	switch {
	case err == nil && vfs.IsUnfinished(i) && i.Size() >= size:
		// All came and it was no whole bundle. A client would take the size
		// for success.
	case err == nil && (vfs.IsUnfinished(i) || i.Size() == size):
		offset = i.Size()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	h := q.w.Header()
	h.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	h.Set("Upload-Length", strconv.FormatInt(size, 10))
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// tusPatch takes bytes at an offset, and with the last ones the verdict.
func tusPatch(q *request) error {
	name, size, err := q.target()
	if err != nil {
		return err
	}
	if q.Header.Get("Content-Type") != tusType {
		return &problem{Status: http.StatusUnsupportedMediaType, Title: "the content type of a patch is " + tusType}
	}
	from, err := parseSize(q.Header.Get("Upload-Offset"))
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: "Upload-Offset is needed: where the bytes belong"}
	}
	if q.ContentLength > size-from {
		return &problem{Status: http.StatusRequestEntityTooLarge, Title: "more bytes came than Upload-Length announced"}
	}
	u, err := q.view.Create(q.Context(), name, vfs.Flags{Create: true})
	if err != nil {
		return err
	}
	if err := q.send(u, from); err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Upload-Offset", strconv.FormatInt(u.Offset(), 10))
	h.Set("Upload-Entries", strconv.FormatInt(u.Entries(), 10))
	if u.Offset() < size {
		err = u.Suspend(q.after())
	} else {
		err = q.settle(u)
	}
	if err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// settle commits an upload and says where its receipt is: a bundle that lies beside
// another one of its name has its own.
func (q *request) settle(u *vfs.Upload) error {
	r, err := u.Commit(q.after())
	if err == nil && r.Rejection != nil {
		err = &problem{Status: http.StatusUnprocessableEntity, Title: r.Rejection.Message, Rejection: r.Rejection}
	}
	if err == nil {
		q.w.Header().Set("Upload-Receipt", escaped("/receipts/"+r.StoredAs+".json"))
	}
	return err
}

// tusDelete forgets an upload.
func tusDelete(q *request) error {
	name, _, err := q.target()
	if err != nil {
		return err
	}
	if err := q.view.Remove(q.Context(), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
