package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// devtools speaks the DevTools protocol with a browser of its own over a pipe: JSON
// messages that end with a NUL, on the browser's descriptors 3 and 4
// (chromium, content/browser/devtools/devtools_pipe_handler.cc).
type devtools struct {
	out io.WriteCloser

	mu    sync.Mutex // guards all below
	last  int
	calls map[int]chan message
	tabs  map[string]func(method string, params json.RawMessage)
	err   error // why no answer comes any more
}

// message is a command, its answer, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// browserNames are Debian's and others'.
var browserNames = []string{"chromium", "chromium-browser", "google-chrome"}

// startBrowser runs a headless browser until the test ends, or skips where none is
// installed.
func startBrowser(t *testing.T) *devtools {
	t.Helper()
	path, err := "", error(nil)
	for _, name := range browserNames {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		if os.Getenv(requireClients) == "1" {
			t.Fatalf("chromium is missing and %s=1", requireClients)
		}
		t.Skip("chromium is not installed")
	}
	cmd := exec.CommandContext(t.Context(), path, "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
		"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-GB", "--user-data-dir="+t.TempDir())
	if os.Geteuid() == 0 {
		cmd.Args = append(cmd.Args, "--no-sandbox") // it refuses root otherwise
	}
	cmd.Args = append(cmd.Args, "about:blank")
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	d := &devtools{out: ourOut, calls: map[int]chan message{}, tabs: map[string]func(string, json.RawMessage){}}
	var wg sync.WaitGroup
	wg.Go(func() { d.listen(ourIn) })
	t.Cleanup(func() {
		// A browser that is asked leaves its directory in order.
		_ = d.call(context.Background(), "", "Browser.close", nil, nil)
		ourOut.Close()
		_ = cmd.Wait()
		wg.Wait()
	})
	return d
}

// listen hands out what the browser says until it closes the pipe.
func (d *devtools) listen(in io.ReadCloser) {
	defer in.Close()
	r := bufio.NewReaderSize(in, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &m)
		}
		d.mu.Lock()
		if err != nil {
			d.err = fmt.Errorf("browser: %w", err)
			for _, c := range d.calls {
				close(c)
			}
			clear(d.calls)
			d.mu.Unlock()
			return
		}
		answer, event := d.calls[m.ID], d.tabs[m.Session]
		delete(d.calls, m.ID)
		d.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m
		case m.Method != "" && event != nil:
			event(m.Method, m.Params)
		}
	}
}

// call sends a command and takes its answer into result, where that is not nil.
func (d *devtools) call(ctx context.Context, session, method string, params, result any) error {
	doc, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if params == nil {
		doc = nil
	}
	answer := make(chan message, 1)
	d.mu.Lock()
	d.last++
	m := message{ID: d.last, Session: session, Method: method, Params: doc}
	text, err := json.Marshal(m)
	if err = cmp.Or(err, d.err); err == nil {
		d.calls[m.ID] = answer
		_, err = d.out.Write(append(text, 0))
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: the browser has ended", method)
		case m.Error != nil:
			return errors.New(method + ": " + m.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}
