package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browserLog is how large the log is that support opens in a browser, in bytes.
var browserLog = flag.Int64("browser.log", 24<<20, "size of the `log` in bytes that TestBrowser opens")

// TestBrowser uses the page in a headless browser as customers and support do, as wide
// as a desktop and as a phone.
func TestBrowser(t *testing.T) {
	browser := startBrowser(t)
	site := newSite(t)
	for _, phone := range []bool{false, true} {
		kind := map[bool]string{false: "desktop", true: "phone"}[phone]
		t.Run(kind+"/customer", func(t *testing.T) { site.customer(browser.tab(t, phone)) })
		t.Run(kind+"/support", func(t *testing.T) { site.support(browser.tab(t, phone), browser.tab(t, phone)) })
	}
	t.Run("reload", func(t *testing.T) { site.reload(browser.tab(t, false)) })
	t.Run("offline", func(t *testing.T) { site.offline(browser.tab(t, false)) })
	t.Run("cancel", func(t *testing.T) { site.cancel(browser.tab(t, false)) })
	t.Run("keyboard", func(t *testing.T) { site.keyboard(browser.tab(t, false)) })
	t.Run("other site", func(t *testing.T) { site.otherSite(browser.tab(t, false)) })
}

// site is a daemon with the files to send to it.
type site struct {
	url, port string
	dir       string
	files     map[string]string
}

func newSite(t *testing.T) *site {
	t.Helper()
	d := &scriptDaemon{dir: t.TempDir()}
	// The page shows the port that the configuration names.
	if err := writeServerConfig(d.dir, freeAddress(t)); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cleanup)
	_, port, err := net.SplitHostPort(d.addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{url: "http://" + d.web, port: port, dir: d.dir, files: map[string]string{}}
	for name, size := range map[string]int{"diag-desktop.tgz": 300_000, "diag-phone.tgz": 300_001, "big.tgz": 6_000_000, "cut.tgz": 5_000_000, "unwanted.tgz": 5_000_001, "keys.tgz": 100_000, "live-desktop.tgz": 10_000, "live-phone.tgz": 10_001} {
		s.write(t, name, func(w io.Writer) error { return writeBundle(w, size, uint64(size)) })
	}
	for _, kind := range []string{"desktop", "phone"} {
		s.write(t, "junk-"+kind+".tgz", func(w io.Writer) error {
			_, err := io.WriteString(w, strings.Repeat("this is not a bundle\n", 5000))
			return err
		})
	}
	s.write(t, "sosreport-web1.tgz", func(w io.Writer) error { return writeLogs(w, *browserLog) })
	s.send(t, "sosreport-web1.tgz")
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *site) write(t *testing.T, name string, content func(io.Writer) error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(content(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	s.files[name] = path
}

// needle is in the middle of the log, once.
const needle = "kernel: Out of memory: Killed process 4711"

// oddName is of a file that shells, sftp and addresses take apart.
const oddName = "etc/it's [1] #2 & more.conf"

// writeLogs writes a bundle with a log of that size and some small files.
func writeLogs(out io.Writer, size int64) error {
	zip, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	w := tar.NewWriter(zip)
	small := map[string]string{"etc/hosts": "127.0.0.1 localhost\n", oddName: "odd = yes\n", "version.txt": "product 4.2\n", "proc/meminfo": "MemTotal: 16308512 kB\nMemFree: 201344 kB\n"}
	for _, name := range []string{"etc/hosts", oddName, "proc/meminfo", "version.txt"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(small[name])), ModTime: time.Unix(1_790_000_000, 0), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.WriteString(w, small[name]); err != nil {
			return err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "var/log/messages", Mode: 0o640, Size: size, ModTime: time.Unix(1_790_000_000, 0), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	said := false
	for n, left := 0, size; left > 0; n++ {
		line := fmt.Sprintf("2026-11-24T08:%02d:%02d.%03d web1 app[%d]: request %08x took %d ms\n", n/60000%60, n/1000%60, n%1000, 2000+n%17, uint32(n)*2654435761, n*n%977)
		if !said && left < size/2 {
			line, said = "2026-11-24T08:30:00.000 web1 "+needle+" (java)\n", true
		}
		line = line[:min(int64(len(line)), left)]
		left -= int64(len(line))
		if _, err := buf.WriteString(line); err != nil {
			return err
		}
	}
	return errors.Join(buf.Flush(), w.Close(), zip.Close())
}

// send uploads one of the files as acme, without the browser.
func (s *site) send(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(s.files[name])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	putHTTP(t, s.url+"/bundles/"+name, f, http.StatusCreated)
}

// logIn does so with the keyboard alone: the name has the focus.
func (s *site) logIn(p *tab, name string) {
	p.Helper()
	p.open(s.url + "/")
	p.until("document.activeElement.id === 'user'")
	p.write(name)
	p.press("Tab")
	p.write(scriptPassword)
	p.loading(func() { p.press("Enter") })
}

// customer sends a bundle and junk, and reads what became of them.
func (s *site) customer(p *tab) {
	kind := map[bool]string{false: "desktop", true: "phone"}[p.phone]
	p.open(s.url + "/")
	p.fits("login")
	p.shot("login")
	s.logIn(p, "acme")
	p.sees("Send a diagnostic bundle")
	p.fits("customer")
	p.choose(s.files["diag-"+kind+".tgz"], s.files["junk-"+kind+".tgz"])
	p.until("document.querySelectorAll('.upload.good, .upload.bad').length === 2")
	good := p.text("document.querySelector('.upload.good').innerText")
	for _, want := range []string{"diag-" + kind + ".tgz", "accepted", "Complete and sound", "SHA-256", "Receipt"} {
		if !strings.Contains(good, want) {
			p.Errorf("the receipt lacks %q: %s", want, good)
		}
	}
	if bad := p.text("document.querySelector('.upload.bad').innerText"); !strings.Contains(bad, "this is a text file, not a gzip file") || !strings.Contains(bad, "tar czf") {
		p.Errorf("the refusal says %q", bad)
	}
	p.until("document.getElementById('sent').innerText.includes('junk-" + kind + ".tgz')")
	p.eval("(() => { const d = new DataTransfer(); d.items.add(new File(['zip'], 'dropped.zip')); document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: d, bubbles: true, cancelable: true})); })()", new(any))
	p.sees("bundle names end in .tgz: pack the files with tar czf")
	p.fits("customer with uploads")
	p.quiet("status of 422", "status of 400") // the refusals
	p.shot("customer")
	p.open(s.url + "/")
	if sent := p.text("document.getElementById('sent').innerText"); !strings.Contains(sent, "diag-"+kind+".tgz") || !strings.Contains(sent, "refused") {
		p.Errorf("what was sent: %s", sent)
	}
	p.loading(func() { p.click("header button") })
	p.sees("Log in")
	p.quiet()
}

// support goes from the tenants to a line in a large log, and watches what arrives.
func (s *site) support(p, customer *tab) {
	kind := map[bool]string{false: "desktop", true: "phone"}[p.phone]
	s.logIn(p, "desk")
	p.sees("globex")
	s.send(p.T, "live-"+kind+".tgz")
	p.until("document.getElementById('arrivals').innerText.includes('live-" + kind + ".tgz')")
	p.fits("tenants")
	p.shot("tenants")
	p.loading(func() { p.click("a[href='/ui/acme']") })
	p.sees("sosreport-web1.tgz")
	p.fits("bundles")
	p.shot("bundles")
	p.loading(func() { p.click("a[href='/ui/acme/sosreport-web1.tgz.d']") })
	p.sees("SHA-256")
	p.click("#biggest summary")
	p.until("document.querySelector('.bars a')?.textContent === 'var/log/messages'")
	p.click("input[name=q]")
	p.write("out of memory")
	p.press("Enter")
	p.sees("1 line matches.")
	p.fits("inside")
	p.shot("inside")
	p.loading(func() { p.click(".hits a") })
	p.until("document.querySelector('mark')?.textContent.includes(" + quoteJS(needle) + ")")
	p.fits("file")
	p.shot("file")
	s.viewer(p)
	s.sftp(p)
	p.loading(func() { p.open(s.url + "/ui/acme/receipts/sosreport-web1.tgz.json") })
	p.sees(`"verdict": "accepted"`)
	p.quiet()
	// A customer has no part in this.
	s.logIn(customer, "globex-web")
	customer.sees("Name or secret is wrong.")
}

// viewer goes through a log of any size by pieces.
func (s *site) viewer(p *tab) {
	size := fmt.Sprint(*browserLog)
	p.click("#last")
	p.until("document.getElementById('where').textContent.replaceAll(',', '').endsWith('to " + size + " of " + size + "')")
	p.click("#first")
	p.until("document.getElementById('where').textContent.startsWith('bytes 0 to')")
	first := p.text("document.querySelector('.view').textContent")
	p.click("#next")
	p.until("!document.getElementById('where').textContent.startsWith('bytes 0 to')")
	if next := p.text("document.querySelector('.view').textContent"); !strings.HasPrefix(next, "2026-") || !strings.HasSuffix(first, "\n") {
		p.Errorf("pieces are cut within lines: ...%q, %q...", first[max(0, len(first)-20):], next[:min(20, len(next))])
	}
	var moved int64
	p.eval("performance.getEntriesByType('resource').filter(e => e.name.includes('/inside/')).reduce((n, e) => n + e.transferSize, 0)", &moved)
	if moved == 0 || moved > 1<<20 {
		p.Errorf("the viewer fetched %d bytes of a log of %s", moved, size)
	}
}

// sftp runs the line that the page shows.
func (s *site) sftp(p *tab) {
	p.open(s.url + "/ui/acme/sosreport-web1.tgz.d/etc")
	p.sees("it's [1]")
	p.loading(func() { p.click("td a[href*='it%27s']") })
	p.sees("odd = yes")
	line := p.text("document.getElementById('sftp').textContent")
	if want := "sftp -P " + s.port + " 'desk@127.0.0.1:/acme/sosreport-web1.tgz.d/etc/"; !strings.HasPrefix(line, want) {
		p.Fatalf("the line to copy is %s, want %s...", line, want)
	}
	if _, err := exec.LookPath("sftp"); err != nil {
		return // the stories say when it is missing
	}
	dir := p.TempDir()
	cmd := exec.CommandContext(p.Context(), "sh", "-c", strings.Replace(line, "sftp ", "sftp -F "+filepath.Join(s.dir, "ssh_config")+" -i "+filepath.Join(s.dir, "desk_key")+
		" -o UserKnownHostsFile="+filepath.Join(s.dir, "known_hosts")+" ", 1))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.Fatalf("%s: %v\n%s", line, err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, filepath.Base(oddName))); err != nil || string(got) != "odd = yes\n" {
		p.Errorf("%s: got %q, %v", line, got, err)
	}
}

// reload leaves the page in the middle of an upload.
func (s *site) reload(p *tab) {
	s.logIn(p, "acme")
	p.line(1_500_000, false)
	p.choose(s.files["big.tgz"])
	p.until("document.querySelector('.upload progress')?.value > 2e6")
	p.shot("sending")
	p.loading(func() { p.must("Page.reload", nil, nil) })
	p.sees("Not finished: big.tgz")
	p.shot("reloaded")
	p.line(-1, false)
	p.choose(s.files["big.tgz"])
	p.until("document.querySelector('.upload.good')")
	var resumes int
	p.eval("fetch('/receipts/big.tgz.json').then(r => r.json()).then(d => d.resumes)", &resumes)
	if resumes == 0 {
		p.Error("the upload began anew")
	}
	p.until("document.getElementById('open').hidden")
	p.quiet()
}

// offline loses the network in the middle of an upload.
func (s *site) offline(p *tab) {
	s.logIn(p, "acme")
	p.line(1_500_000, false)
	p.choose(s.files["cut.tgz"])
	p.until("document.querySelector('.upload progress')?.value > 1e6")
	p.line(-1, true)
	p.sees("The connection is lost: trying again in")
	p.line(-1, false)
	p.until("document.querySelector('.upload.good')")
	p.quiet("ERR_INTERNET_DISCONNECTED")
}

// cancel changes its mind.
func (s *site) cancel(p *tab) {
	s.logIn(p, "acme")
	p.line(1_000_000, false)
	p.choose(s.files["unwanted.tgz"])
	p.until("document.querySelector('.upload progress')?.value > 5e5")
	p.click(".upload button.link")
	p.sees("Cancelled: nothing is kept.")
	p.line(-1, false)
	p.open(s.url + "/")
	if sent := p.text("document.getElementById('sent').innerText"); strings.Contains(sent, "unwanted.tgz") {
		p.Errorf("something is kept: %s", sent)
	}
	p.quiet()
}

// focused describes what has the focus, and whether that can be seen.
const focused = `(() => {
  const e = document.activeElement, shown = e.closest('.drop') || e;
  const visible = getComputedStyle(shown).outlineStyle !== 'none';
  return [e.tagName.toLowerCase() + (e.type ? '.' + e.type : ''), e.textContent.trim() || e.getAttribute('aria-label') || '', visible].join('|');
})()`

// keyboard walks through the customer's page with the Tab key alone and sends a file.
func (s *site) keyboard(p *tab) {
	s.logIn(p, "acme")
	var got []string
	for range 4 {
		p.press("Tab")
		got = append(got, p.text(focused))
	}
	want := []string{"a|Skip to the content|true", "a|bundleup|true", "button.submit|Log out|true", "input.file|Choose .tgz files to send|true"}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		p.Errorf("Tab goes to %q, want %q", got, want)
	}
	p.choose(s.files["keys.tgz"])
	p.until("document.querySelector('.upload.good')")
	p.press("Tab")
	if at := p.text(focused); at != "a|Receipt|true" {
		p.Errorf("behind the drop zone Tab goes to %s", at)
	}
	if live := p.text("document.querySelector('.upload.good [role=status]').textContent"); !strings.Contains(live, "SHA-256") {
		p.Errorf("a screen reader is told %q", live)
	}
	p.loading(func() { p.press("Enter") })
	p.sees(`"verdict": "accepted"`)
	p.quiet()
}

// otherSite tries to use the session of somebody who is logged in.
func (s *site) otherSite(p *tab) {
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<h1>prizes</h1><form method="post" action="%s/logout"><button>win</button></form>`, s.url)
	}))
	defer evil.Close()
	s.logIn(p, "acme")
	_, port, err := net.SplitHostPort(evil.Listener.Addr().String())
	if err != nil {
		p.Fatal(err)
	}
	p.open("http://localhost:" + port + "/") // another site than 127.0.0.1
	if got := p.text("fetch(" + quoteJS(s.url+"/bundles/evil.tgz") + ", {method: 'PUT', body: 'x', credentials: 'include'}).then(r => 'answered ' + r.status, e => 'refused')"); got != "refused" {
		p.Errorf("a request of another site is %s", got)
	}
	p.loading(func() { p.click("button") })
	if text := p.text("document.body.innerText"); !strings.Contains(text, "cross-origin") {
		p.Errorf("a form of another site is answered with %q", text)
	}
	p.quiet("CORS", "ERR_FAILED", "status of 403", "status of 405", "favicon")
	p.open(s.url + "/")
	p.sees("Send a diagnostic bundle")
	if sent := p.text("document.getElementById('sent').innerText"); strings.Contains(sent, "evil.tgz") {
		p.Errorf("another site has sent a bundle: %s", sent)
	}
}
