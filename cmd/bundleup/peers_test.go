//go:build peers

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	peersParts  = flag.String("peers.parts", "", "parts to measure, with blanks; empty: all")
	peersDir    = flag.String("peers.dir", "", "directory for corpora and uploads, on the disk that is to be measured")
	peersOut    = flag.String("peers.out", "", "Markdown file whose sections are replaced; empty: print only")
	peersBinary = flag.String("peers.bundleup", "", "the bundleup to measure")
	peersRounds = flag.Int("peers.rounds", 5, "runs of each, in turn")
)

// part is one section of docs/BENCHMARKS.md.
type part struct {
	name, title string
	measure     func(*peers) string // the section's text
}

// peerParts in the order of the page.
var peerParts = []part{
	{"check", "Check", (*peers).check},
	{"upload", "Upload", (*peers).upload},
	{"ciphers", "Ciphers", (*peers).ciphers},
	{"download", "Download", (*peers).download},
	{"inside", "Inside a bundle", (*peers).inside},
	{"footprint", "Footprint: 500 uploads at once", (*peers).footprint},
	{"memory", "Memory of one upload", (*peers).memory},
	{"start", "Start-up and size", (*peers).start},
	{"s3", "S3: upload", (*peers).s3},
	{"s3memory", "S3: memory of uploads at once", (*peers).s3Memory},
}

// peers is one run of the comparisons.
type peers struct {
	*testing.T
	dir    string
	binary string
	rounds int
}

// TestPeers measures bundleup side by side with the programs that it is compared
// with, several times in turn, and writes medians and ratios. It asserts no time.
func TestPeers(t *testing.T) {
	if *peersBinary == "" || *peersDir == "" {
		t.Fatal("give -peers.bundleup and -peers.dir, or use make bench-peers")
	}
	chosen := strings.Fields(*peersParts)
	for _, name := range chosen {
		if !slices.ContainsFunc(peerParts, func(p part) bool { return p.name == name }) {
			t.Fatalf("part %q is not known", name)
		}
	}
	p := &peers{T: t, dir: *peersDir, binary: *peersBinary, rounds: *peersRounds}
	for _, part := range peerParts {
		if len(chosen) > 0 && !slices.Contains(chosen, part.name) {
			continue
		}
		text := part.measure(p) + "\n" + p.provenance()
		fmt.Printf("\n## %s\n\n%s", part.title, text)
		if *peersOut != "" {
			if err := replaceSection(*peersOut, part.title, text); err != nil {
				t.Fatal(err)
			}
		}
	}
}

const benchmarksHead = `# Benchmarks

Made by ` + "`make bench-peers`" + `, one section by ` + "`make bench-peers PARTS=check`" + `. Times are
medians of as many runs as a section says, the contenders in turn on the same machine; what counts is the
ratio, not the figure. Corpora are made anew from fixed seeds and from the Go
distribution. Go's own benchmarks: ` + "`make bench`" + `; where the time goes: ` + "`make profile`" + `.
`

// replaceSection puts text under the title and leaves the other sections alone.
func replaceSection(file, title, text string) error {
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	sections := map[string]string{title: text}
	for _, s := range strings.Split(string(old), "\n## ")[1:] {
		name, body, _ := strings.Cut(s, "\n")
		if name != title {
			sections[name] = strings.TrimSpace(body) + "\n"
		}
	}
	var page bytes.Buffer
	page.WriteString(benchmarksHead)
	for _, p := range peerParts {
		if body, ok := sections[p.title]; ok {
			fmt.Fprintf(&page, "\n## %s\n\n%s", p.title, body)
		}
	}
	return os.WriteFile(file, page.Bytes(), 0o644)
}

// provenance says when and on what kind of machine a section was measured.
func (p *peers) provenance() string {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		p.Fatal(err)
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-")
	return fmt.Sprintf("Measured on %s, -peers.rounds %d: %s, %d cores, %s RAM, Linux %s, %s; %s.\n",
		time.Now().UTC().Format(time.DateOnly), p.rounds, processor(p.T), runtime.NumCPU(), ram(p.T), release, runtime.Version(), versions())
}

func processor(t *testing.T) string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func ram(t *testing.T) string {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	var kib int64
	if _, err := fmt.Sscanf(string(info), "MemTotal: %d kB", &kib); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d GiB", (kib+1<<19)>>20)
}

// table makes a Markdown table; the first column is for names.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("---:|", len(head)-1))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	return b.String()
}

// scratch makes an empty directory below the measured disk that goes at the end.
func (p *peers) scratch(name string) string {
	dir := filepath.Join(p.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		p.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
