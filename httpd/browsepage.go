package httpd

import (
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"bundleup/auth"
	"bundleup/vfs"
)

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

// crumbs are the way to a name, without itself. What is inside a bundle is shown as
// if the bundle were a directory.
func crumbs(name string) []crumb {
	list := []crumb{{"Tenants", "/"}}
	parts := strings.Split(strings.Trim(name, "/"), "/")
	at := ""
	for _, part := range parts[:len(parts)-1] {
		at += "/" + part
		list = append(list, crumb{shown(part), escaped("/ui" + at)})
	}
	return list
}

// shown is the bundle's name for the directory of what is inside it.
func shown(name string) string {
	if n := len(name) - len(".d"); n > 0 && strings.EqualFold(name[n:], ".d") && strings.EqualFold(path.Ext(name[:n]), ".tgz") {
		return name[:n]
	}
	return name
}

// browsed is one row of a directory.
type browsed struct {
	Name, Size, Time string
	Icon             string // bundle, folder or file
	URL, Content     string
}

// fact is something worth knowing of a bundle.
type fact struct {
	Key, Value string
	Long       bool // needs a line of its own
}

type directoryPage struct {
	layout
	Crumbs      []crumb
	Root        bool
	Name, Since string // what the listing is filtered by
	Items       []browsed
	Facts       []fact
	// Addresses; empty: there is none.
	Next, Receipts, Content, Search, Biggest string
	SFTP                                     string
	Watch                                    bool // show what arrives
}

// directory shows one page of what is in a directory.
func (q *request) directory(name string) error {
	p := directoryPage{
		layout: q.layout(shown(path.Base(name))), Crumbs: crumbs(name), Root: name == "/",
		Name: q.URL.Query().Get("name"), Since: q.URL.Query().Get("since"), SFTP: q.sftpLine(name, true),
	}
	f, err := parseFilter(q.URL.Query())
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: err.Error()}
	}
	if p.Name != "" && !strings.ContainsAny(p.Name, `*?[\`) {
		f.pattern = "*" + p.Name + "*" // who types a word means a part of the name
	}
	q.headed(&p, name)
	for i, err := range q.view.List(q.Context(), name) {
		if err != nil {
			return err
		}
		if !f.takes(i) {
			continue
		}
		if len(p.Items) == f.limit {
			p.Next = "?" + q.next(p.Items[f.limit-1].Name)
			break
		}
		p.Items = append(p.Items, rowOf(name, i))
	}
	if p.Root {
		p.Title, p.Watch = "Tenants", q.server.cfg.Arrivals != nil
		return render(q.w, http.StatusOK, "tenants", p)
	}
	return render(q.w, http.StatusOK, "browse", p)
}

// next is the query for the page behind a name.
func (q *request) next(after string) string {
	v := q.URL.Query()
	v.Set("after", after)
	return v.Encode()
}

// headed fills in what stands above a listing.
func (q *request) headed(p *directoryPage, name string) {
	outer, sub, inside := vfs.CutBundle(name)
	switch {
	case inside && sub == "":
		p.Content, p.Biggest = contentURL(outer), escaped("/biggest"+outer)
		p.Facts = q.facts(outer)
	case strings.Count(name, "/") == 1 && !p.Root:
		p.Receipts = escaped("/ui" + name + "/receipts")
	}
	if inside {
		p.Search = escaped("/search" + name)
	}
}

// facts are what the receipt of a bundle says. Without a receipt there are none.
func (q *request) facts(bundle string) []fact {
	tenant, rel, _ := strings.Cut(strings.TrimPrefix(bundle, "/"), "/")
	r, err := q.receiptAt(path.Join("/", tenant, "receipts", rel+".json"))
	if err != nil {
		return nil
	}
	return []fact{
		{Key: "Accepted", Value: showTime(r.Finished)}, {Key: "Sent by", Value: r.Account},
		{Key: "Size", Value: showSize(r.Size)}, {Key: "Unpacked", Value: showSize(r.Unpacked)},
		{Key: "Entries", Value: strconv.FormatInt(r.Entries, 10)}, {Key: "Over", Value: r.Protocol},
		{Key: "SHA-256", Value: r.SHA256, Long: true}, {Key: "Upload ID", Value: r.ID, Long: true},
	}
}

// rowOf is a row of the directory dir.
func rowOf(dir string, i fs.FileInfo) browsed {
	full := path.Join(dir, i.Name())
	b := browsed{Name: i.Name(), Time: showTime(i.ModTime()), URL: escaped("/ui" + full), Icon: "file"}
	if i.IsDir() {
		b.Icon = "folder"
		return b
	}
	b.Size, b.Content = showSize(i.Size()), contentURL(full)
	if isBundle(full) {
		b.Icon, b.URL = "bundle", escaped("/ui"+full+".d")
	}
	return b
}

// isBundle reports a bundle of an area, and not a .tgz within one.
func isBundle(name string) bool {
	_, _, within := vfs.CutBundle(name)
	return !within && strings.EqualFold(path.Ext(name), ".tgz")
}

type filePage struct {
	layout
	Crumbs                      []crumb
	Size, Time, Content, Search string
	Bytes                       int64
	SFTP                        string
}

// file shows a file's first piece; the script shows the others.
func (q *request) file(name string, i fs.FileInfo) error {
	p := filePage{
		layout: q.layout(path.Base(name)), Crumbs: crumbs(name), Size: showSize(i.Size()), Time: showTime(i.ModTime()),
		Content: contentURL(name), Bytes: i.Size(), SFTP: q.sftpLine(name, false),
	}
	if _, _, inside := vfs.CutBundle(name); inside {
		p.Search = escaped("/search" + name)
	}
	return render(q.w, http.StatusOK, "file", p)
}

// contentURL is where the bytes of a name of the view are read.
func contentURL(name string) string {
	if bundle, rel, ok := vfs.CutBundle(name); ok {
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

// sftpLine is what to type for the same with OpenSSH: it goes to a directory, or
// fetches a file.
func (q *request) sftpLine(name string, dir bool) string {
	if q.server.cfg.SSHPort == 0 {
		return ""
	}
	host := q.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]" // as sftp(1) takes an IPv6 address
	}
	if !dir {
		name = sftpQuoted(name)
	}
	return fmt.Sprintf("sftp -P %d %s", q.server.cfg.SSHPort, shellQuoted(q.account.Name+"@"+host+":"+name))
}

// sftpQuoted protects a name from sftp(1), which puts that of a file into a command
// "get" that it then reads as if it had been typed.
func sftpQuoted(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(" \t'\"\\*?[]{}#", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
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
