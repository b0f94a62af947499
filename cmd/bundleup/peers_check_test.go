//go:build peers

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"bundleup/vfs/bundle"
)

// check compares the whole check with programs that only inflate, and with those
// that list the archive as well; each on one core.
func (p *peers) check() string {
	tools := [][]string{
		{"gzip", "-t"}, {"tar", "-tzf"}, {"pigz", "-t"}, {"bsdtar", "-tzf"}, {"igzip", "-t"}, {p.binary, "check"},
	}
	head := []string{"MB/s unpacked (x `gzip -t`)"}
	rows := make([][]string, len(tools))
	for i, tool := range tools {
		name := strings.Join(tool, " ")
		if tool[0] == p.binary {
			name = "**bundleup check**"
		}
		rows[i] = []string{name}
	}
	versus := []string{"bundleup : igzip"}
	for _, c := range corpora {
		file := corpusFile(p.T, p.dir, c.name)
		unpacked, ratio := p.unpacked(file)
		head = append(head, fmt.Sprintf("%s %.1f:1", c.name, ratio))
		times := p.inTurn(len(tools), func(i int) time.Duration { return p.oneCore(tools[i], file) })
		for i := range tools {
			speed := float64(unpacked) / 1e6 / times[i].Seconds()
			rows[i] = append(rows[i], fmt.Sprintf("%.0f (%.2f)", speed, times[0].Seconds()/times[i].Seconds()))
		}
		versus = append(versus, fmt.Sprintf("%.2f", times[4].Seconds()/times[5].Seconds()))
	}
	return "CPU time, user and system, pinned to one core. `gzip`, `pigz` and `igzip` only inflate;\n`tar` and `bsdtar` list the archive too; `bundleup check` does everything that an upload\ngoes through but the digest.\n\n" +
		table(head, append(rows, versus))
}

// inTurn measures n contenders one after the other, rounds times, and gives the
// medians.
func (p *peers) inTurn(n int, measure func(i int) time.Duration) []time.Duration {
	samples := make([][]time.Duration, n)
	for range p.rounds {
		for i := range n {
			samples[i] = append(samples[i], measure(i))
		}
	}
	medians := make([]time.Duration, n)
	for i, s := range samples {
		medians[i] = median(s)
	}
	return medians
}

// oneCore is the CPU time of a tool, with its children, pinned to a core.
func (p *peers) oneCore(tool []string, file string) time.Duration {
	cmd := exec.Command("taskset", append(append([]string{"-c", "0"}, tool...), file)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		p.Fatalf("%v %s: %v: %s", tool, file, err, errs.String())
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// unpacked is the size of what is in the bundle, and how well it was packed.
func (p *peers) unpacked(file string) (int64, float64) {
	f, err := os.Open(file)
	if err != nil {
		p.Fatal(err)
	}
	defer f.Close()
	check := bundle.NewCheck(bundle.DefaultLimits())
	if _, err := f.WriteTo(struct{ *bundle.Check }{check}); err != nil {
		p.Fatal(err)
	}
	m, err := check.Finish()
	if err != nil {
		p.Fatal(err)
	}
	return m.Unpacked, float64(m.Unpacked) / float64(m.Size)
}

// versions names what bundleup is compared with.
func versions() string {
	var found []string
	for _, pkg := range []string{"openssh-server", "gzip", "isal", "pigz", "libarchive-tools", "tar"} {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", pkg).Output()
		if err == nil {
			found = append(found, pkg+" "+string(out))
		}
	}
	return strings.Join(found, ", ")
}
