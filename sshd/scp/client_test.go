package scp_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bundleup/auth"
	"bundleup/sshd/scp"
	"bundleup/vfs"
	"bundleup/vfs/store/disk"
)

// farEndEnv makes this test binary the far end: the program that scp -S runs in
// place of ssh. It names the directory of the store.
const farEndEnv = "BUNDLEUP_TEST_SCP_STORE"

func TestMain(m *testing.M) {
	if root := os.Getenv(farEndEnv); root != "" {
		os.Exit(farEnd(root, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// farEnd runs the command that the client would have sent; ssh's last two
// arguments are the host, which stands for the account here, and the command.
func farEnd(root string, args []string) int {
	store, view, err := openView(root, args[len(args)-2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	defer store.Close()
	words, ok := scp.Split(args[len(args)-1])
	if !ok {
		return 127
	}
	return scp.Run(context.Background(), words, scp.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, view)
}

func openView(root, account string) (*disk.Store, vfs.View, error) {
	store, err := disk.Open(root, disk.Options{})
	if err != nil {
		return nil, nil, err
	}
	tree, err := vfs.NewTree(context.Background(), vfs.Config{
		Store:   store,
		Tenants: func() []auth.Tenant { return []auth.Tenant{"acme"} },
	})
	if err != nil {
		return nil, nil, err
	}
	who := &auth.Account{Name: account, Role: auth.Customer, Tenant: "acme"}
	if account == "desk" {
		who = &auth.Account{Name: account, Role: auth.Support}
	}
	view, err := tree.View(who, vfs.Peer{Protocol: "scp"})
	return store, view, err
}

// client runs OpenSSH's scp in a directory of its own.
type client struct {
	*testing.T
	scp, self string
	dir, root string
}

func newClient(t *testing.T) *client {
	t.Helper()
	program, err := exec.LookPath("scp")
	if err != nil {
		if os.Getenv("BUNDLEUP_REQUIRE_CLIENTS") == "1" {
			t.Fatal(err)
		}
		t.Skip("scp is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &client{T: t, scp: program, self: self, dir: t.TempDir(), root: t.TempDir()}
}

// run gives what the client said, both streams, and its exit status.
func (c *client) run(args ...string) (said string, exit int) {
	c.Helper()
	cmd := exec.Command(c.scp, append([]string{"-O", "-S", c.self}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), farEndEnv+"="+c.root, "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		c.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (c *client) succeed(args ...string) string {
	c.Helper()
	said, exit := c.run(args...)
	if exit != 0 {
		c.Fatalf("scp %q: exit %d: %s", args, exit, said)
	}
	return said
}

// fail wants exit 1 and exactly these lines.
func (c *client) fail(want string, args ...string) {
	c.Helper()
	said, exit := c.run(args...)
	if exit != 1 || said != want {
		c.Errorf("scp %q: exit %d\ngot  %q\nwant %q", args, exit, said, want)
	}
}

func (c *client) write(name string, content []byte) {
	c.Helper()
	name = filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		c.Fatal(err)
	}
}

func (c *client) read(name string) []byte {
	c.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		c.Error(err)
	}
	return content
}

// accepted wants a bundle in the tenant's area.
func (c *client) accepted(name string, content []byte) {
	c.Helper()
	if got := c.read(filepath.Join(c.root, "bundles", "acme", name)); !bytes.Equal(got, content) {
		c.Errorf("bundle %s has %d bytes, or others, want %d", name, len(got), len(content))
	}
}

func (c *client) got(name string, content []byte) {
	c.Helper()
	if got := c.read(filepath.Join(c.dir, name)); !bytes.Equal(got, content) {
		c.Errorf("copy %s has %d bytes, or others, want %d", name, len(got), len(content))
	}
}

// tgz makes a sound bundle of about n incompressible bytes.
func tgz(t *testing.T, n int, seed byte) []byte {
	t.Helper()
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	w := tar.NewWriter(zip)
	if err := w.WriteHeader(&tar.Header{Name: "log", Mode: 0o644, Size: int64(n)}); err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	w.Close()
	zip.Close()
	return buf.Bytes()
}

func TestOpenSSHUploads(t *testing.T) {
	c := newClient(t)
	a, b := tgz(t, 700_000, 1), tgz(t, 10, 2)
	c.write("a.tgz", a)
	c.write("my file.tgz", b)
	c.write("tree/a.tgz", a)
	c.write("tree/sub/b.tgz", b)

	if said := c.succeed("a.tgz", "acme:"); said != "" {
		t.Errorf("a plain success says %q", said)
	}
	c.accepted("a.tgz", a)
	c.succeed("-v", "-p", "a.tgz", "my file.tgz", "acme:/")
	c.accepted("my file.tgz", b)
	c.succeed("a.tgz", "acme:two words.tgz")
	c.accepted("two words.tgz", a)
	c.succeed("a.tgz", `acme:three\ more\ words.tgz`)
	c.accepted("three more words.tgz", a)
	c.succeed("-r", "tree", "acme:new")
	c.accepted("new/a.tgz", a)
	c.accepted("new/sub/b.tgz", b)
	c.succeed("-r", "-p", "tree", "a.tgz", "acme:new")
	c.accepted("new/tree/sub/b.tgz", b)
	c.succeed("a.tgz", "acme:~/new/sub/")
	c.accepted("new/sub/a.tgz", a)
}

func TestOpenSSHNotices(t *testing.T) {
	c := newClient(t)
	c.write("a.tgz", tgz(t, 10, 1))
	c.succeed("a.tgz", "acme:")
	if got, want := c.succeed("a.tgz", "acme:"), "bundleup: a.tgz had been accepted before with the same content: nothing to do\r\n"; got != want {
		t.Errorf("again: got %q, want %q", got, want)
	}
	c.write("a.tgz", tgz(t, 10, 2))
	if got, want := c.succeed("a.tgz", "acme:"), "bundleup: a.tgz had been accepted before with other content: this one is kept beside it as a~2.tgz\r\n"; got != want {
		t.Errorf("other content: got %q, want %q", got, want)
	}
}

// What a customer reads, each failure once.
func TestOpenSSHRefusals(t *testing.T) {
	c := newClient(t)
	a := tgz(t, 700_000, 1)
	c.write("a.tgz", a)
	c.write("a.tar.gz", a)
	c.write("cut.tgz", a[:300_000])
	c.write("junk.tgz", bytes.Repeat([]byte("this is no bundle. "), 50_000))
	c.write("tree/x.zip", a)
	c.write("tree/y.tgz", a)

	said, exit := c.run("junk.tgz", "a.tgz", "acme:")
	if want := regexp.MustCompile(`^bundleup: junk\.tgz refused at byte 0: [^\n]*\(rule format\)[^\n]*\n$`); exit != 1 || !want.MatchString(said) {
		t.Errorf("junk: exit %d, got %q, want %s", exit, said, want)
	}
	c.accepted("a.tgz", a)

	c.fail("bundleup: cut.tgz is incomplete: 300,000 bytes are kept: continue there (reput, put -c) or send it again\n", "cut.tgz", "acme:")
	c.fail("bundleup: bundle names end in .tgz: put a.tar.gz a.tgz\n", "a.tar.gz", "acme:")
	c.fail("bundleup: there is no directory /none: make it first, or upload to /\n", "a.tgz", "acme:none/")
	c.fail("bundleup: /none/b.tgz: there is no directory /none: make it first, or upload to /\n", "a.tgz", "acme:none/b.tgz")
	c.fail("bundleup: there is no directory /none: make it first, or upload to /\n", "a.tgz", "cut.tgz", "acme:none")
	c.fail("bundleup: /tree/x.zip: bundle names end in .tgz: pack the files with tar czf x.tgz and send that\n", "-r", "tree", "acme:")
	c.accepted("tree/y.tgz", a)
	c.fail("bundleup: /acme/b.tgz: this account may not do that\n", "a.tgz", "desk:/acme/b.tgz")

	for _, name := range []string{"junk.tgz", "cut.tgz", "none", "tree/x.zip"} {
		if _, err := os.Stat(filepath.Join(c.root, "bundles", "acme", name)); err == nil {
			t.Errorf("%s is among the bundles", name)
		}
	}
}

func TestOpenSSHDownloads(t *testing.T) {
	c := newClient(t)
	a, b := tgz(t, 700_000, 1), tgz(t, 10, 2)
	c.write("tree/a.tgz", a)
	c.write("tree/my b.tgz", b)
	c.succeed("-r", "tree", "acme:")

	c.succeed("desk:/acme/tree/a.tgz", "one.tgz")
	c.got("one.tgz", a)
	c.succeed("-p", "desk:/acme/tree/my b.tgz", ".")
	c.got("my b.tgz", b)
	c.succeed(`desk:/acme/tree/my\ b.tgz`, "two.tgz")
	c.got("two.tgz", b)
	c.write("star/x", nil)
	c.succeed("desk:/acme/tree/*.tgz", "star")
	c.got("star/a.tgz", a)
	c.got("star/my b.tgz", b)
	c.succeed("-r", "-p", "desk:/acme", "got")
	c.got("got/tree/a.tgz", a)
	c.succeed("-r", "desk:", "root")
	c.got("root/acme/tree/my b.tgz", b)
	c.succeed("acme:receipts/tree/a.tgz.json", "receipt.json")
	if doc := c.read(filepath.Join(c.dir, "receipt.json")); !strings.Contains(string(doc), `"accepted"`) {
		t.Errorf("receipt: got %s", doc)
	}

	c.fail("bundleup: /acme/none.tgz: no such file or directory\n", "desk:/acme/none.tgz", "x")
	c.fail("bundleup: /acme/*.zip: no such file or directory\n", "desk:/acme/*.zip", "x")
	c.fail("bundleup: /acme/tree: is a directory: give -r to copy it\n", "desk:/acme/tree", "x")
	c.fail("bundleup: bundles are sent, not read back: the receipt is /receipts/tree/a.tgz.json\n", "acme:tree/a.tgz", "x")
}

// A client that dies in the middle leaves what it sent, to go on from.
func TestKilledClient(t *testing.T) {
	c := newClient(t)
	a := tgz(t, 3<<20, 1)
	in := io.MultiReader(strings.NewReader(fmt.Sprintf("C0644 %d a.tgz\n", len(a))), bytes.NewReader(a[:1<<20]))
	store, view, err := openView(c.root, "acme")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if exit := scp.Run(t.Context(), []string{"-t", "."}, scp.IO{In: in, Out: io.Discard, Err: io.Discard}, view); exit != 1 {
		t.Errorf("exit: got %d, want 1", exit)
	}
	u, err := view.Create(t.Context(), "/a.tgz", vfs.Flags{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Kept(); got != 1<<20 {
		t.Fatalf("kept: got %d bytes, want %d", got, 1<<20)
	}
	if err := u.Begin(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(a[1<<20:]); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.accepted("a.tgz", a)
}
