package httpd

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"time"
)

// The page is rendered here and needs its script only to upload, to view pieces
// of large files and to watch arrivals.
//
//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/page.html"))

// pagePolicy lets a page load what this server has and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

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
	if wait, ok := asWait(err); ok {
		s.rendered(w, showLogin(w, wait.problem(w).Status, wait.Error()+"."))
		return
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

func (q *request) layout(title string) layout { return layout{title, q.account.Name} }

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
