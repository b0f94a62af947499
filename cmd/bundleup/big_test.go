//go:build torture && linux

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

var bigSize = flag.Int64("big.size", 1<<30, "bytes of the big bundle")

// TestBigUpload sends a bundle, kills the daemon at nine tenths, and goes on where
// the bytes are kept. It prints what depends on the size and should not: what the new
// process reads to go on, how long the first write and the close take. Only the first
// is held to a bound; the times are the machine's.
func TestBigUpload(t *testing.T) {
	d := &scriptDaemon{dir: t.TempDir()}
	if err := errors.Join(writeServerConfig(d.dir, "127.0.0.1:0"), d.start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cleanup)
	kept := sendAndKill(t, d, *bigSize*9/10)

	began := time.Now()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed and started again in %v", time.Since(began))
	rest, sum := bigStream(t, *bigSize), sha256.New()
	all := io.TeeReader(rest, sum)
	if _, err := io.CopyN(io.Discard, all, kept); err != nil {
		t.Fatal(err)
	}
	f := resumeBig(t, d, all, kept)
	began = time.Now()
	n, err := f.ReadFromWithConcurrency(all, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the last %d bytes took %v", n, time.Since(began))
	began = time.Now()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("from the answer to the last WRITE to the answer to CLOSE: %v", time.Since(began))
	doc, err := os.ReadFile(filepath.Join(d.dir, "data/records/acme/big.tgz/receipt.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		SHA256  string
		Size    int64
		Resumes int
	}
	if err := json.Unmarshal(doc, &r); err != nil {
		t.Fatal(err)
	}
	if r.SHA256 != hex.EncodeToString(sum.Sum(nil)) || r.Resumes != 1 {
		t.Errorf("the receipt says %+v, sent was %x", r, sum.Sum(nil))
	}
	t.Logf("%d bytes, SHA-256 as sent", r.Size)
}

// sendAndKill sends the first n bytes, kills the daemon and tells how many the last
// saved state covers.
func sendAndKill(t *testing.T, d *scriptDaemon, n int64) int64 {
	c := dialBig(t, d)
	f, err := c.Create("/big.tgz")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := f.ReadFromWithConcurrency(io.LimitReader(bigStream(t, *bigSize), n), 64); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes sent in %v", n, time.Since(began))
	d.cleanup()
	c.Close()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	fi, err := dialBig(t, d).Stat("/big.tgz")
	if err != nil {
		t.Fatal(err)
	}
	d.cleanup()
	t.Logf("%d bytes are kept, %d are sent again", fi.Size(), n-fi.Size())
	return fi.Size()
}

// resumeBig opens the upload and writes the first block behind what is kept.
func resumeBig(t *testing.T, d *scriptDaemon, from io.Reader, kept int64) *sftp.File {
	block := make([]byte, 32<<10)
	if _, err := io.ReadFull(from, block); err != nil {
		t.Fatal(err)
	}
	c := dialBig(t, d)
	before := bytesRead(t, d)
	began := time.Now()
	f, err := c.OpenFile("/big.tgz", os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(kept, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(block); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	read := bytesRead(t, d)
	t.Logf("from OPEN to the answer to the first WRITE at %d: %v; the daemon read %d bytes for it (rchar, with what the client sent), %d since it started", kept, took, read-before, read)
	if read >= 64<<20 {
		t.Errorf("the new process has read %d bytes, want less than 64 MiB", read)
	}
	return f
}

// bytesRead is what the daemon has asked read(2) and its kin for, files and sockets,
// see proc_pid_io(5).
func bytesRead(t *testing.T, d *scriptDaemon) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	if _, err := fmt.Sscanf(strings.SplitN(string(text), "\n", 2)[0], "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// dialBig is a client of the account acme.
func dialBig(t *testing.T, d *scriptDaemon) *sftp.Client {
	pem, err := os.ReadFile(filepath.Join(d.dir, "acme_key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ssh.Dial("tcp", d.addr, &ssh.ClientConfig{
		User: "acme", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); conn.Close() })
	return c
}

// bigStream is a bundle with one file of n incompressible bytes, made on the way:
// stored blocks, which is what gzip makes of such bytes.
func bigStream(t *testing.T, n int64) io.Reader {
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	go func() {
		zip, err := gzip.NewWriterLevel(w, gzip.NoCompression)
		if err == nil {
			err = writeTar(zip, n)
		}
		w.CloseWithError(errors.Join(err, zip.Close()))
	}()
	return r
}

func writeTar(out io.Writer, n int64) error {
	w := tar.NewWriter(out)
	err := w.WriteHeader(&tar.Header{Name: "var/log/core", Mode: 0o644, Size: n, ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg})
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(rand.NewChaCha8([32]byte{}), n), make([]byte, 256<<10))
	return errors.Join(err, w.Close())
}
