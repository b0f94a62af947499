package httpd

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"bundleup/auth"
	"bundleup/vfs"
)

// The page is rendered here and needs its script only to upload, to view pieces
// of large files and to watch arrivals.
//
//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/page.html"))

// pagePolicy lets a page load what this server has and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxReceipts bounds what the customer's page lists of what he sent.
const maxReceipts = 200

// layout is what every page has.
type layout struct {
	Title   string
	Account string // empty: nobody is logged in
}

// render answers with a page.
func render(w http.ResponseWriter, status int, name string, data any) error {
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, name, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	w.WriteHeader(status)
	_, _ = buf.WriteTo(w) // the peer has gone
	return nil
}

// static serves the script and the style sheet. They change with the daemon only.
func static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	data, err := pageFiles.ReadFile("page/" + name)
	if err != nil || path.Ext(name) == ".html" {
		writeProblem(w, problem{Status: http.StatusNotFound, Title: "no such file"})
		return
	}
	w.Header().Set("Content-Type", map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

type loginPage struct {
	layout
	Error string
}

// showLogin is the page of somebody without a session.
func showLogin(w http.ResponseWriter, status int, text string) error {
	return render(w, status, "login", loginPage{layout{Title: "Log in"}, text})
}

// maxForm bounds the body of a login.
const maxForm = 8 << 10

// logIn is POST /login.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		writeProblem(w, problem{Status: http.StatusBadRequest, Title: "the form is not understood"})
		return
	}
	user, secret := r.PostForm.Get("user"), r.PostForm.Get("secret")
	account, err := s.prove(r, user, secret)
	if err == nil {
		err = s.begin(w, user, secret, account)
	}
	if err != nil {
		s.refused(r, user, err)
		s.rendered(w, showLogin(w, http.StatusForbidden, "Name or secret is wrong."))
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// logOut is POST /logout.
func (s *Server) logOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, s.cookie("", -1))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// rendered logs a page that could not be made.
func (s *Server) rendered(w http.ResponseWriter, err error) {
	if err != nil {
		s.cfg.Log.Error("page not rendered", "err", err)
		writeProblem(w, problem{Status: http.StatusInternalServerError, Title: internalText})
	}
}

// home is the customer's page, or the tenants for support.
func home(q *request) error {
	if q.account.Role == auth.Support {
		return q.directory("/")
	}
	sent, err := q.sent()
	if err != nil {
		return err
	}
	return render(q.w, http.StatusOK, "customer", struct {
		layout
		Sent []sentItem
	}{q.layout("Send a bundle"), sent})
}

func (q *request) layout(title string) layout { return layout{title, q.account.Name} }

// sentItem is one row of what a customer sent.
type sentItem struct {
	Name, Size, Time, State, Class, Receipt string
	when                                    time.Time
}

// sent is what the tenant sent, newest first.
func (q *request) sent() ([]sentItem, error) {
	list, err := q.receiptsIn("/receipts", nil)
	if err != nil {
		return nil, err
	}
	for i, err := range q.view.List(q.Context(), "/") {
		if err != nil {
			return nil, err
		}
		if vfs.IsUnfinished(i) {
			list = append(list, sentItem{Name: i.Name(), Size: showSize(i.Size()) + " kept", Time: showTime(i.ModTime()), State: "not finished", Class: "soft", when: i.ModTime()})
		}
	}
	slices.SortStableFunc(list, func(a, b sentItem) int { return b.when.Compare(a.when) })
	return list[:min(len(list), maxReceipts)], nil
}

// receiptsIn appends the receipts of a directory and those below it.
func (q *request) receiptsIn(dir string, list []sentItem) ([]sentItem, error) {
	for i, err := range q.view.List(q.Context(), dir) {
		if err != nil {
			return list, err
		}
		name := path.Join(dir, i.Name())
		if i.IsDir() {
			if list, err = q.receiptsIn(name, list); err != nil {
				return list, err
			}
			continue
		}
		r, err := q.receiptAt(name)
		if err != nil {
			return list, err
		}
		it := sentItem{Name: r.StoredAs, Size: showSize(r.Size), Time: showTime(r.Finished), State: "accepted", Class: "good", Receipt: escaped(name), when: r.Finished}
		if r.Rejection != nil {
			it.Name, it.State, it.Class = r.Name, r.Rejection.Message, "bad"
		}
		list = append(list, it)
	}
	return list, nil
}

func (q *request) receiptAt(name string) (*vfs.Receipt, error) {
	f, err := q.view.Open(q.Context(), name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return nil, err
	}
	doc, err := io.ReadAll(io.NewSectionReader(f, 0, i.Size()))
	if err != nil {
		return nil, err
	}
	r := &vfs.Receipt{}
	return r, json.Unmarshal(doc, r)
}

// browse is GET /ui/PATH for support: a directory or a file.
func browse(q *request) error {
	if q.account.Role != auth.Support {
		http.Redirect(q.w, q.Request, "/", http.StatusSeeOther)
		return nil
	}
	name := path.Join("/", q.PathValue("name"))
	i, err := q.view.Stat(q.Context(), name)
	if err != nil {
		return err
	}
	if i.IsDir() {
		return q.directory(name)
	}
	return q.file(name, i)
}

type crumb struct{ Name, URL string }

// crumbs are the way to a name.
func crumbs(name string) []crumb {
	list := []crumb{{"tenants", "/"}}
	at := ""
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if part == "" {
			continue
		}
		at += "/" + part
		list = append(list, crumb{part, escaped("/ui" + at)})
	}
	return list
}

type browsed struct {
	Name, Size, Time, URL, Inside, Content string
}

type directoryPage struct {
	layout
	Crumbs         []crumb
	Items          []browsed
	Next, Receipts string
	SFTP           string
	Watch          bool   // show what arrives
	Search, About  string // where the page asks for what grep finds and info says
}

// directory shows one page of what is in a directory.
func (q *request) directory(name string) error {
	f, err := parseFilter(q.URL.Query())
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: err.Error()}
	}
	p := directoryPage{layout: q.layout(path.Base(name)), Crumbs: crumbs(name), SFTP: q.sftpLine(name)}
	if name == "/" {
		p.Title, p.Watch = "Tenants", q.server.cfg.Arrivals != nil
	} else if strings.Count(name, "/") == 1 {
		p.Receipts = escaped("/ui" + name + "/receipts")
	}
	if outer, sub, ok := cutInside(name); ok {
		p.Search = escaped("/search" + name)
		if sub == "" {
			p.About = escaped("/about" + outer)
		}
	}
	for i, err := range q.view.List(q.Context(), name) {
		if err != nil {
			return err
		}
		if !f.takes(i) {
			continue
		}
		if len(p.Items) == f.limit {
			p.Next = "?" + url.Values{"after": {p.Items[f.limit-1].Name}}.Encode()
			break
		}
		p.Items = append(p.Items, rowOf(name, i))
	}
	return render(q.w, http.StatusOK, "browse", p)
}

// rowOf is a row of the directory dir.
func rowOf(dir string, i fs.FileInfo) browsed {
	full := path.Join(dir, i.Name())
	b := browsed{Name: i.Name(), Time: showTime(i.ModTime()), URL: escaped("/ui" + full)}
	switch {
	case i.IsDir():
		b.Name += "/"
	case isBundle(full):
		b.Size, b.Content = showSize(i.Size()), contentURL(full)
		b.Inside = escaped("/ui" + full + ".d")
		b.URL = b.Inside
	default:
		b.Size, b.Content = showSize(i.Size()), contentURL(full)
	}
	return b
}

// isBundle reports a bundle of an area, and not a .tgz within one.
func isBundle(name string) bool {
	_, _, within := cutInside(name)
	return !within && strings.EqualFold(path.Ext(name), ".tgz")
}

type filePage struct {
	layout
	Crumbs              []crumb
	Size, Time, Content string
	Bytes               int64
	SFTP                string
}

// file shows a file's first piece; the script shows the others.
func (q *request) file(name string, i fs.FileInfo) error {
	return render(q.w, http.StatusOK, "file", filePage{
		layout: q.layout(path.Base(name)), Crumbs: crumbs(name), Size: showSize(i.Size()), Time: showTime(i.ModTime()),
		Content: contentURL(name), Bytes: i.Size(), SFTP: q.sftpLine(name),
	})
}

// cutInside parts a name inside a bundle into the bundle and what follows.
func cutInside(name string) (bundle, rel string, ok bool) {
	at := strings.Index(strings.ToLower(name)+"/", ".tgz.d/")
	if at < 0 {
		return "", "", false
	}
	at += len(".tgz")
	return name[:at], strings.TrimPrefix(name[at+len(".d"):], "/"), true
}

// contentURL is where the bytes of a name of the view are read.
func contentURL(name string) string {
	if bundle, rel, ok := cutInside(name); ok {
		return escaped("/inside" + bundle + "/" + rel)
	}
	tenant, rel, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	if sub, ok := strings.CutPrefix(rel, "receipts/"); ok {
		return escaped("/receipts/" + tenant + "/" + sub)
	}
	return escaped("/bundles" + name)
}

// escaped is a path as it stands in an address.
func escaped(name string) string { return (&url.URL{Path: name}).EscapedPath() }

// sftpLine is what to type for the same with OpenSSH.
func (q *request) sftpLine(name string) string {
	if q.server.cfg.SSHPort == 0 {
		return ""
	}
	host := q.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return fmt.Sprintf("sftp -P %d %s", q.server.cfg.SSHPort, shellQuoted(q.account.Name+"@"+host+":"+name))
}

// shellQuoted protects a word from a POSIX shell.
func shellQuoted(s string) string {
	plain := func(r rune) bool {
		return r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("@%+=:,./_-~", r))
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// showSize writes bytes with three digits that matter.
func showSize(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 {
		f /= 1024
		u++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[u])
}

func showTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
