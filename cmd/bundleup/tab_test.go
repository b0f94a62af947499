package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// shotsDir names the environment variable for a directory that screenshots go to, for
// people to look at.
const shotsDir = "BUNDLEUP_SHOTS"

// tab is one page with cookies of its own, as a person sees and uses it.
type tab struct {
	*testing.T
	browser *devtools
	session string
	phone   bool

	mu       sync.Mutex // guards all below
	loads    int        // pages that were loaded
	troubles []string   // what the console says of errors
}

type object = map[string]any

// tab opens a page that is as large as a desktop's window or a phone.
func (d *devtools) tab(t *testing.T, phone bool) *tab {
	t.Helper()
	p := &tab{T: t, browser: d, phone: phone}
	var context struct{ BrowserContextID string }
	p.must("Target.createBrowserContext", nil, &context)
	var target struct{ TargetID string }
	p.must("Target.createTarget", object{"url": "about:blank", "browserContextId": context.BrowserContextID}, &target)
	var attached struct{ SessionID string }
	p.must("Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &attached)
	d.mu.Lock()
	d.tabs[attached.SessionID] = p.event
	d.mu.Unlock()
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "DOM", "Network", "Accessibility"} {
		p.must(domain+".enable", nil, nil)
	}
	width, height := 1280, 900
	if phone {
		width, height = 390, 844
	}
	p.must("Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, nil)
	return p
}

// must calls or fails.
func (p *tab) must(method string, params object, result any) {
	p.Helper()
	if params == nil {
		params = object{}
	}
	if err := p.browser.call(p.Context(), p.session, method, params, result); err != nil {
		p.Fatal(err)
	}
}

// event notes what a person would see only in the console.
func (p *tab) event(method string, params json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch method {
	case "Page.loadEventFired":
		p.loads++
	case "Runtime.exceptionThrown", "Security.securityStateChanged":
		p.troubles = append(p.troubles, method+" "+string(params))
	case "Runtime.consoleAPICalled":
		p.troubles = append(p.troubles, string(params))
	case "Log.entryAdded":
		var e struct {
			Entry struct{ Source, Level, Text, URL string }
		}
		if json.Unmarshal(params, &e) == nil && e.Entry.Level != "verbose" && e.Entry.Level != "info" {
			p.troubles = append(p.troubles, fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}
}

// quiet fails for what the console said since the last call, but for what has one of
// the allowed words.
func (p *tab) quiet(allowed ...string) {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.troubles {
		expected := false
		for _, word := range allowed {
			expected = expected || strings.Contains(text, word)
		}
		if !expected {
			p.Errorf("console: %s", text)
		}
	}
	p.troubles = nil
}

// patience bounds every wait for the page.
const patience = time.Minute

// await asks until ok.
func (p *tab) await(what string, ok func() bool) {
	p.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.shot("failed")
			p.Fatalf("%s: not within %v; the page says:\n%s", what, patience, p.text("document.body.innerText"))
		}
	}
}

// loading does something that leads to another page, and waits for that.
func (p *tab) loading(do func()) {
	p.Helper()
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.loads
	}
	before := count()
	do()
	p.await("load", func() bool { return count() > before })
}

// open goes to an address.
func (p *tab) open(url string) {
	p.Helper()
	p.loading(func() { p.must("Page.navigate", object{"url": url}, nil) })
}

// eval runs JavaScript and takes its value, awaited, into v.
func (p *tab) eval(expr string, v any) {
	p.Helper()
	var r struct {
		Result    struct{ Value json.RawMessage }
		Exception *struct{ Exception struct{ Description string } } `json:"exceptionDetails"`
	}
	p.must("Runtime.evaluate", object{"expression": expr, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &r)
	if r.Exception != nil {
		p.Fatalf("%s: %s", expr, r.Exception.Exception.Description)
	}
	if len(r.Result.Value) == 0 {
		r.Result.Value = json.RawMessage("null")
	}
	if err := json.Unmarshal(r.Result.Value, v); err != nil {
		p.Fatalf("%s: %v in %s", expr, err, r.Result.Value)
	}
}

// text is the value of an expression that gives a string, or nothing.
func (p *tab) text(expr string) string {
	p.Helper()
	var s *string
	p.eval(expr, &s)
	if s == nil {
		return ""
	}
	return *s
}

// is reports what a condition in JavaScript gives.
func (p *tab) is(expr string) bool {
	p.Helper()
	var b bool
	p.eval("Boolean("+expr+")", &b)
	return b
}

// until waits for a condition in JavaScript.
func (p *tab) until(expr string) {
	p.Helper()
	p.await(expr, func() bool { return p.is(expr) })
}

// sees waits for words anywhere on the page.
func (p *tab) sees(words string) {
	p.Helper()
	p.until("document.body.innerText.includes(" + quoteJS(words) + ")")
}

func quoteJS(s string) string {
	doc, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings can be marshaled
	}
	return string(doc)
}

// click presses the mouse in the middle of an element.
func (p *tab) click(selector string) {
	p.Helper()
	p.until("document.querySelector(" + quoteJS(selector) + ")")
	var at struct{ X, Y float64 }
	p.eval("(() => { const e = document.querySelector("+quoteJS(selector)+"); e.scrollIntoView({block: 'center'}); const r = e.getClientRects()[0]; return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()", &at)
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.must("Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// keys are those that press knows.
var keys = map[string]object{
	"Tab":   {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
	"Enter": {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
	"Space": {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "},
}

func (p *tab) press(key string) {
	p.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		event := object{"type": kind}
		for k, v := range keys[key] {
			event[k] = v
		}
		p.must("Input.dispatchKeyEvent", event, nil)
	}
}

// write types a text where the focus is.
func (p *tab) write(text string) {
	p.Helper()
	p.must("Input.insertText", object{"text": text}, nil)
}

// choose gives files to the page as its file dialogue would.
func (p *tab) choose(files ...string) {
	p.Helper()
	var doc struct{ Root struct{ NodeID int } }
	p.must("DOM.getDocument", nil, &doc)
	var input struct{ NodeID int }
	p.must("DOM.querySelector", object{"nodeId": doc.Root.NodeID, "selector": "input[type=file]"}, &input)
	p.must("DOM.setFileInputFiles", object{"nodeId": input.NodeID, "files": files}, nil)
}

// line emulates a network: bytes per second up, -1 for as many as there are.
func (p *tab) line(up int, offline bool) {
	p.Helper()
	p.must("Network.emulateNetworkConditions", object{"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": up}, nil)
}

// controls are the roles of what a person operates.
var controls = map[string]bool{
	"button": true, "link": true, "textbox": true, "searchbox": true, "checkbox": true, "slider": true, "combobox": true,
	"Date": true, "spinbutton": true, "meter": true, "progressbar": true, "DisclosureTriangle": true,
}

// fits fails where the page is wider than the window, where something that a person
// operates has no name for a screen reader, and where the page has no main heading.
func (p *tab) fits(what string) {
	p.Helper()
	if p.is("document.documentElement.scrollWidth > innerWidth") {
		p.Errorf("%s: %s px are wide, the window has %s", what, p.text("String(document.documentElement.scrollWidth)"), p.text("String(innerWidth)"))
	}
	if !p.is("document.querySelectorAll('h1').length === 1 && document.querySelector('main')") {
		p.Errorf("%s: there is no main part with one heading", what)
	}
	var tree struct {
		Nodes []struct {
			Ignored bool
			Role    struct{ Value string }
			Name    struct{ Value string }
			ID      int `json:"backendDOMNodeId"`
		}
	}
	p.must("Accessibility.getFullAXTree", nil, &tree)
	seen := 0
	for _, n := range tree.Nodes {
		if n.Ignored || !controls[n.Role.Value] {
			continue
		}
		if seen++; strings.TrimSpace(n.Name.Value) == "" {
			p.Errorf("%s: a %s has no name", what, n.Role.Value)
		}
	}
	if seen == 0 {
		p.Errorf("%s: there is nothing to operate", what)
	}
}

// shot saves the whole page as NAME-desktop.png or NAME-phone.png, where somebody wants
// to look at it.
func (p *tab) shot(name string) {
	p.Helper()
	dir := os.Getenv(shotsDir)
	if dir == "" {
		return
	}
	var metrics struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	p.must("Page.getLayoutMetrics", nil, &metrics)
	size := metrics.CSSContentSize
	var picture struct{ Data string }
	p.must("Page.captureScreenshot", object{"captureBeyondViewport": true, "clip": object{"x": 0, "y": 0, "width": size.Width, "height": min(size.Height, 4000), "scale": 1}}, &picture)
	png, err := base64.StdEncoding.DecodeString(picture.Data)
	if err != nil {
		p.Fatal(err)
	}
	if p.phone {
		name += "-phone"
	} else {
		name += "-desktop"
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.Fatal(err)
	}
}
