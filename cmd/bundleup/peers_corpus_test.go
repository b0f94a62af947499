//go:build peers

package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// corpora are the kinds of content, each in one .tgz that gzip -6 made: the same
// bytes on every machine with the same Go distribution.
var corpora = []struct {
	name string
	pack func(*tar.Writer) error
}{
	{"logs", packLogs},
	{"source", func(w *tar.Writer) error { return packTree(w, "src") }},
	{"binaries", func(w *tar.Writer) error { return errors.Join(packTree(w, "bin"), packTree(w, "pkg/tool")) }},
	{"incompressible", packRandom},
	{"repeats", packRepeats},
}

// corpusBytes is the size of the corpora that a program makes.
const corpusBytes = 512 << 20

// corpusFile gives the bundle of a corpus, made where it is not there yet.
func corpusFile(t *testing.T, dir, name string) string {
	file := filepath.Join(dir, "corpus-"+name+".tar.gz")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	for _, c := range corpora {
		if c.name == name {
			if err := makeCorpus(file, c.pack); err != nil {
				t.Fatal(err)
			}
			return file
		}
	}
	t.Fatalf("corpus %q is not known", name)
	return ""
}

// makeCorpus pipes the archive through gzip -6 and names the file when it is whole.
func makeCorpus(file string, pack func(*tar.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	out, err := os.Create(file + ".part")
	if err != nil {
		return err
	}
	defer out.Close()
	zip := exec.Command("gzip", "-6", "-n")
	zip.Stdout = out
	in, err := zip.StdinPipe()
	if err != nil {
		return err
	}
	if err := zip.Start(); err != nil {
		return err
	}
	w := tar.NewWriter(in)
	err = errors.Join(pack(w), w.Close(), in.Close(), zip.Wait())
	if err != nil {
		return err
	}
	return os.Rename(file+".part", file)
}

func corpusRandom(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func corpusHeader(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg}
}

// packLogs writes logs as a service and its kernel write them.
func packLogs(w *tar.Writer) error {
	const files = 16
	r := rand.New(corpusRandom(1))
	for i := range files {
		if err := w.WriteHeader(corpusHeader(fmt.Sprintf("diag/var/log/service-%d.log", i), corpusBytes/files)); err != nil {
			return err
		}
		out := bufio.NewWriterSize(&atMost{w, corpusBytes / files}, 1<<20)
		for at := int64(0); at < corpusBytes/files; {
			n, err := io.WriteString(out, logLine(r))
			if err != nil {
				return err
			}
			at += int64(n)
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

var logTemplates = []string{
	"request %[1]x from 10.%[2]d.%[3]d.%[4]d took %[5]d ms, status 200\n",
	"connection to node-%[3]d.cluster.example closed after %[5]d s: timeout\n",
	"GET /api/v1/tenants/%[4]d/bundles?cursor=%[1]x HTTP/1.1 200 %[5]d\n",
	"worker %[4]d: checkpoint written at offset %[1]d, %[5]d pages dirty\n",
	"kernel: [%[5]d.%[3]d] eth%[4]d: link is up, 10000 Mbps, full duplex\n",
	"cache miss for key user:%[1]d:profile, fetched from replica %[4]d\n",
}

func logLine(r *rand.Rand) string {
	levels := []string{"DEBUG", "INFO", "INFO", "INFO", "WARN", "ERROR"}
	at := time.Unix(1_700_000_000+r.Int64N(86400), r.Int64N(1e9)).UTC()
	return at.Format("2006-01-02T15:04:05.000000Z ") + levels[r.IntN(len(levels))] + fmt.Sprintf(" svc[%d]: ", 1000+r.IntN(50)) +
		fmt.Sprintf(logTemplates[r.IntN(len(logTemplates))], r.Uint32(), r.IntN(256), r.IntN(256), r.IntN(16), r.IntN(5000))
}

// atMost takes no more than left bytes and says nothing of it.
type atMost struct {
	w    io.Writer
	left int64
}

func (a *atMost) Write(p []byte) (int, error) {
	n := min(int64(len(p)), a.left)
	a.left -= n
	if _, err := a.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

func packRandom(w *tar.Writer) error {
	if err := w.WriteHeader(corpusHeader("diag/core.enc", corpusBytes)); err != nil {
		return err
	}
	_, err := io.CopyN(w, corpusRandom(2), corpusBytes)
	return err
}

// packRepeats writes one page of noise over and over.
func packRepeats(w *tar.Writer) error {
	if err := w.WriteHeader(corpusHeader("diag/ring.bin", corpusBytes)); err != nil {
		return err
	}
	page := make([]byte, 4096)
	if _, err := io.ReadFull(corpusRandom(3), page); err != nil {
		return err
	}
	for range corpusBytes / len(page) {
		if _, err := w.Write(page); err != nil {
			return err
		}
	}
	return nil
}

// packTree writes a directory of the Go distribution.
func packTree(w *tar.Writer, sub string) error {
	root := os.DirFS(filepath.Join(goRoot(), sub))
	return fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(corpusHeader("diag/"+sub+"/"+name, int64(len(data)))); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
}

func goRoot() string {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return runtime.GOROOT()
	}
	return strings.TrimSpace(string(out))
}

// hugeBundle is a sound bundle of one file of size zeros, a multiple of
// hugeChunk: gzip members of a chunk each, so that making it costs nothing.
func hugeBundle(out io.Writer, size int64) error {
	head, chunk, tail := &strings.Builder{}, &strings.Builder{}, &strings.Builder{}
	zip := gzip.NewWriter(head)
	w := tar.NewWriter(zip)
	if err := errors.Join(w.WriteHeader(corpusHeader("diag/zeros", size)), zip.Close()); err != nil {
		return err
	}
	for _, m := range []struct {
		to *strings.Builder
		n  int
	}{{chunk, hugeChunk}, {tail, 1024}} {
		zip.Reset(m.to)
		if _, err := zip.Write(make([]byte, m.n)); err != nil {
			return err
		}
		if err := zip.Close(); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(out, head.String()); err != nil {
		return err
	}
	for range size / hugeChunk {
		if _, err := io.WriteString(out, chunk.String()); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, tail.String())
	return err
}

// hugeChunk is the unit of hugeBundle.
const hugeChunk = 1 << 20
