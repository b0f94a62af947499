package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is an object store in memory that speaks as much of S3 as the client
// here, with the ways of real servers as switches. It does not check signatures.
type fakeS3 struct {
	ignoreConditions bool // of puts, as old servers
	ignoreComplete   bool // If-None-Match on Complete, as Ceph RGW
	refuseQuoted     bool // a quoted If-Match fails, as on Ceph RGW
	ignoreCRC        bool // as Ceph RGW
	ignoreMD5        bool
	ignoreNoneMatch  bool                // of puts
	ignoreMatch      bool                // of puts
	ignoreGetMatch   bool                // If-Match of gets
	noUploads        bool                // multipart uploads cannot be listed
	noList           bool                // nor can objects
	before           func(*http.Request) // sees every request before it is served; may wait

	mu      sync.Mutex
	objects map[string]fakeObject
	uploads map[string]*fakeUpload
	made    int
	count   map[string]int // requests by method and kind
}

type fakeObject struct {
	data []byte
	etag string
	time time.Time
	id   string
}

type fakeUpload struct {
	key, id string
	parts   map[int]fakeObject
	time    time.Time
}

func newFake() *fakeS3 {
	return &fakeS3{objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}, count: map[string]int{}}
}

// serve starts it and returns its address.
func (f *fakeS3) serve(t testing.TB) string {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return srv.URL
}

func (f *fakeS3) keys(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for k := range f.objects {
		if strings.HasPrefix(k, prefix) {
			list = append(list, k)
		}
	}
	slices.Sort(list)
	return list
}

type fakeError struct {
	status int
	code   string
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if f.before != nil {
		f.before(r)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	var out any
	var fail *fakeError
	switch {
	case r.Method == "GET" && key == "" && q.Has("uploads"):
		f.count["list uploads"]++
		out = f.listUploads()
		if f.noUploads {
			fail = &fakeError{403, "AccessDenied"}
		}
	case r.Method == "GET" && key == "":
		f.count["list"]++
		out = f.list(q)
		if f.noList {
			fail = &fakeError{403, "AccessDenied"}
		}
	case r.Method == "POST" && q.Has("uploads"):
		f.count["create"]++
		f.made++
		id := fmt.Sprint("u", f.made)
		f.uploads[id] = &fakeUpload{key: key, id: r.Header.Get("X-Amz-Meta-" + idMeta), parts: map[int]fakeObject{}, time: time.Now()}
		out = struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadId string
		}{UploadId: id}
	case r.Method == "POST":
		f.count["complete"]++
		out, fail = f.complete(r, key, q.Get("uploadId"), body)
	case r.Method == "PUT" && q.Has("partNumber"):
		f.count["part"]++
		out, fail = f.part(w, r, key, q, body)
	case r.Method == "PUT":
		f.count["put"]++
		fail = f.put(w, r, key, body)
	case r.Method == "DELETE" && q.Has("uploadId"):
		f.count["abort"]++
		if f.uploads[q.Get("uploadId")] == nil {
			fail = &fakeError{404, "NoSuchUpload"}
		}
		delete(f.uploads, q.Get("uploadId"))
	case r.Method == "DELETE":
		f.count["delete"]++
		delete(f.objects, key)
	default:
		f.count[strings.ToLower(r.Method)]++
		fail = f.get(w, r, key)
	}
	switch {
	case fail != nil:
		w.WriteHeader(fail.status)
		if r.Method != "HEAD" {
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", fail.code)
		}
	case out != nil:
		w.Header().Set("Content-Type", "application/xml")
		io.WriteString(w, xml.Header)
		xml.NewEncoder(w).Encode(out)
	}
}

// condition judges If-Match and If-None-Match.
func (f *fakeS3) condition(r *http.Request, key string) *fakeError {
	o, ok := f.objects[key]
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if f.ignoreNoneMatch {
		none = ""
	}
	if f.ignoreMatch && r.Method == "PUT" || f.ignoreGetMatch && r.Method == "GET" {
		match = ""
	}
	if f.refuseQuoted && strings.HasPrefix(match, `"`) {
		return &fakeError{412, "PreconditionFailed"}
	}
	switch {
	case match != "" && !ok:
		return &fakeError{404, "NoSuchKey"}
	case match != "" && strings.Trim(match, `"`) != o.etag, none == "*" && ok:
		return &fakeError{412, "PreconditionFailed"}
	}
	return nil
}

func (f *fakeS3) digests(r *http.Request, body []byte) *fakeError {
	crc, sum := r.Header.Get("X-Amz-Checksum-Crc32c"), r.Header.Get("Content-Md5")
	if crc != "" && !f.ignoreCRC && crc != crcText(crc32.Checksum(body, castagnoli)) {
		return &fakeError{400, "BadDigest"}
	}
	h := md5.Sum(body)
	if sum != "" && !f.ignoreMD5 && sum != base64.StdEncoding.EncodeToString(h[:]) {
		return &fakeError{400, "BadDigest"}
	}
	return nil
}

func objectOf(data []byte, id string) fakeObject {
	h := md5.Sum(data)
	return fakeObject{data, hex.EncodeToString(h[:]), time.Now(), id}
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, key string, body []byte) *fakeError {
	if fail := f.digests(r, body); fail != nil {
		return fail
	}
	if fail := f.condition(r, key); fail != nil && !f.ignoreConditions {
		return fail
	}
	o := objectOf(body, r.Header.Get("X-Amz-Meta-"+idMeta))
	f.objects[key] = o
	w.Header().Set("ETag", `"`+o.etag+`"`)
	return nil
}

func (f *fakeS3) part(w http.ResponseWriter, r *http.Request, key string, q url.Values, body []byte) (any, *fakeError) {
	u := f.uploads[q.Get("uploadId")]
	if u == nil || u.key != key {
		return nil, &fakeError{404, "NoSuchUpload"}
	}
	n, _ := strconv.Atoi(q.Get("partNumber"))
	if n < 1 || n > 10_000 {
		return nil, &fakeError{400, "InvalidArgument"}
	}
	if source := r.Header.Get("X-Amz-Copy-Source"); source != "" {
		source, _ = url.PathUnescape(source)
		_, from, _ := strings.Cut(source, "/")
		var a, b int
		fmt.Sscanf(r.Header.Get("X-Amz-Copy-Source-Range"), "bytes=%d-%d", &a, &b)
		o, ok := f.objects[from]
		if !ok || b >= len(o.data) {
			return nil, &fakeError{404, "NoSuchKey"}
		}
		p := objectOf(o.data[a:b+1], "")
		u.parts[n] = p
		return struct {
			XMLName        xml.Name `xml:"CopyPartResult"`
			ETag           string
			ChecksumCRC32C string
		}{ETag: `"` + p.etag + `"`, ChecksumCRC32C: crcText(crc32.Checksum(p.data, castagnoli))}, nil
	}
	if fail := f.digests(r, body); fail != nil {
		return nil, fail
	}
	u.parts[n] = objectOf(body, "")
	w.Header().Set("ETag", `"`+u.parts[n].etag+`"`)
	return nil, nil
}

func (f *fakeS3) complete(r *http.Request, key, id string, body []byte) (any, *fakeError) {
	u := f.uploads[id]
	if u == nil || u.key != key {
		return nil, &fakeError{404, "NoSuchUpload"}
	}
	if fail := f.condition(r, key); fail != nil && !f.ignoreComplete && !f.ignoreConditions {
		return nil, fail
	}
	var in struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal(body, &in); err != nil {
		return nil, &fakeError{400, "MalformedXML"}
	}
	var data []byte
	for i, p := range in.Part {
		have, ok := u.parts[p.PartNumber]
		if !ok || have.etag != strings.Trim(p.ETag, `"`) || p.PartNumber != i+1 {
			return nil, &fakeError{400, "InvalidPart"}
		}
		data = append(data, have.data...)
	}
	delete(f.uploads, id)
	o := objectOf(data, u.id)
	o.etag = fmt.Sprintf("%s-%d", o.etag, len(in.Part))
	f.objects[key] = o
	return struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string
	}{ETag: `"` + o.etag + `"`}, nil
}

func (f *fakeS3) get(w http.ResponseWriter, r *http.Request, key string) *fakeError {
	o, ok := f.objects[key]
	if !ok {
		return &fakeError{404, "NoSuchKey"}
	}
	if fail := f.condition(r, key); fail != nil {
		return fail
	}
	w.Header().Set("ETag", `"`+o.etag+`"`)
	w.Header().Set("X-Amz-Meta-"+idMeta, o.id)
	http.ServeContent(w, noMatch(r), "", o.time, bytes.NewReader(o.data))
	return nil
}

// noMatch is the request without the condition that was judged already.
func noMatch(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("If-Match")
	return r
}

type fakeContent struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
}

// fakePage is small, so that paging is tested.
const fakePage = 7

func (f *fakeS3) list(q url.Values) any {
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	out := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []fakeContent
	}{}
	for _, k := range slices.Sorted(maps.Keys(f.objects)) {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok || k <= after || delimiter != "" && strings.Contains(rest, delimiter) {
			continue
		}
		if len(out.Contents) == fakePage {
			out.IsTruncated, out.NextContinuationToken = true, out.Contents[fakePage-1].Key
			break
		}
		o := f.objects[k]
		out.Contents = append(out.Contents, fakeContent{k, o.time.UTC().Format("2006-01-02T15:04:05.000Z"), `"` + o.etag + `"`, len(o.data)})
	}
	return out
}

func (f *fakeS3) listUploads() any {
	type upload struct{ Key, UploadId, Initiated string }
	out := struct {
		XMLName xml.Name `xml:"ListMultipartUploadsResult"`
		Upload  []upload
	}{}
	for id, u := range f.uploads {
		out.Upload = append(out.Upload, upload{u.key, id, u.time.UTC().Format("2006-01-02T15:04:05.000Z")})
	}
	return out
}
