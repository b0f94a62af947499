package bundle

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// goSamples are archives of archive/tar.
func goSamples(t testing.TB) []sample {
	var all []sample
	for _, f := range []tar.Format{tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i, n := range []string{"a", "dir/", "dir/b", "dir/" + strings.Repeat("long-", 18), strings.Repeat("d/", 60) + "x"} {
			h := &tar.Header{Name: n, Mode: 0o644, Size: int64(i * 300), ModTime: time.Unix(1700000000, 0), Format: f, Typeflag: tar.TypeReg}
			if strings.HasSuffix(n, "/") {
				h.Typeflag, h.Size = tar.TypeDir, 0
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			w.Write(bytes.Repeat([]byte{'x'}, int(h.Size)))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, sample{"go " + f.String(), "", gz(b.Bytes())})
	}
	return all
}

// programSamples are archives of the tar programs that are installed.
func programSamples(t testing.TB) []sample {
	dir := t.TempDir()
	fillTree(t, dir)
	var all []sample
	run := func(program string, args ...string) {
		path, err := exec.LookPath(program)
		if err != nil {
			return
		}
		out, err := exec.Command(path, append(args, "-czf", "-", "-C", dir, ".")...).Output()
		if err != nil {
			t.Fatalf("%s %v: %v", program, args, err)
		}
		all = append(all, sample{program + " " + strings.Join(args, " "), "", out})
	}
	gnu := false
	if out, err := exec.Command("tar", "--version").Output(); err == nil {
		gnu = bytes.Contains(out, []byte("GNU tar"))
	}
	if gnu {
		for _, f := range []string{"v7", "oldgnu", "gnu", "ustar", "posix"} {
			run("tar", "--format="+f)
		}
		run("tar", "--format=gnu", "-S")
		run("tar", "--format=gnu", "-V", "a label")
		run("tar", "--format=gnu", "-g", filepath.Join(t.TempDir(), "snapshot"))
		for _, v := range []string{"0.0", "0.1", "1.0"} {
			run("tar", "--format=posix", "-S", "--sparse-version="+v)
		}
	}
	for _, f := range []string{"v7", "ustar", "gnutar", "pax", "paxr"} {
		run("bsdtar", "--format", f)
	}
	return all
}

// fillTree makes what an archiver has to find a way to say.
func fillTree(t testing.TB, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "logs/old"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "logs/syslog"), bytes.Repeat([]byte("a line of a log\n"), 200), 0o644))
	must(os.WriteFile(filepath.Join(dir, "logs/old/"+strings.Repeat("n", 85)), []byte("x"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	must(os.Link(filepath.Join(dir, "logs/syslog"), filepath.Join(dir, "hard")))
	f, err := os.Create(filepath.Join(dir, "lastlog"))
	must(err)
	for i := range int64(12) {
		_, err = f.WriteAt([]byte("data"), i<<16)
		must(err)
	}
	must(f.Truncate(1 << 20))
	must(f.Close())
}
