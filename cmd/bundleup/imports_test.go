package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "bundleup"

// room is a package and what it may import beside the standard library.
type room struct {
	ours   []string // packages of this module
	others []string // modules or packages of others, with all below them
	reason string   // why not more
}

// rooms is the table of docs/ARCHITECTURE.md, by directory. A package that is
// not in it may not exist.
var rooms = map[string]room{
	"configs": {
		others: []string{"github.com/spf13/viper", "go.yaml.in/yaml/v3"},
		reason: "configs is plain data: cmd/bundleup translates it, nothing else sees the whole of it",
	},
	"auth": {
		others: []string{"golang.org/x/crypto"},
		reason: "auth says who somebody is and nothing of what he may do",
	},
	"auth/audit": {
		ours:   []string{"auth"},
		reason: "the audit trail knows accounts, not protocols or media",
	},
	"vfs/bundle": {
		ours:   []string{"vfs/bundle/inflate"},
		reason: "what is true of any .tgz depends on nobody who sent it",
	},
	"vfs/bundle/inflate": {
		reason: "what is true of any DEFLATE stream knows nothing of tar or tenants",
	},
	"vfs/store": {
		reason: "a store keeps bytes under keys, whatever they mean",
	},
	"vfs/store/disk": {
		ours:   []string{"vfs/store"},
		reason: "a medium keeps the store's promises and knows nothing above them",
	},
	"vfs/store/s3": {
		ours:   []string{"vfs/store"},
		others: []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"},
		reason: "a medium keeps the store's promises and knows nothing above them",
	},
	"vfs/store/storetest": {
		ours:   []string{"vfs/store"},
		reason: "the suite proves the store's promises for every medium alike",
	},
	"vfs": {
		ours:   []string{"auth", "vfs/bundle", "vfs/store"},
		reason: "vfs knows no protocol and no medium",
	},
	"vfs/inside": {
		ours:   []string{"vfs", "vfs/bundle"},
		reason: "the commands read a view or local files: no protocol, no medium",
	},
	"sshd/sftp": {
		ours:   []string{"vfs"},
		others: []string{"github.com/pkg/sftp"},
		reason: "a protocol speaks to a view and knows no role, no store and no check",
	},
	"sshd/scp": {
		ours:   []string{"vfs"},
		reason: "a protocol speaks to a view and knows no role, no store and no check",
	},
	"sshd": {
		ours:   []string{"auth", "vfs", "vfs/inside", "sshd/sftp", "sshd/scp"},
		others: []string{"golang.org/x/crypto/ssh", "golang.org/x/sys/cpu"},
		reason: "the door lets accounts in to their views; what is stored where is not its business",
	},
	"httpd": {
		ours:   []string{"auth", "vfs", "vfs/inside"},
		others: []string{"github.com/prometheus/client_golang"},
		reason: "the second door is like the first: accounts and views, no medium",
	},
	"cmd/bundleup": {
		ours: []string{"configs", "auth", "auth/audit", "vfs", "vfs/bundle", "vfs/inside", "vfs/store",
			"vfs/store/disk", "vfs/store/s3", "sshd", "httpd"},
		others: []string{"github.com/spf13/cobra", "github.com/lmittmann/tint", "golang.org/x/term", "golang.org/x/crypto/ssh"},
		reason: "the wiring puts whole parts together, and reaches into none of them",
	},
}

// business is the path that a customer's bytes take. It has no third parties.
var business = []string{"vfs", "vfs/bundle", "vfs/bundle/inflate", "vfs/store", "vfs/store/disk"}

// bans are packages of the standard library, with all below them, that only
// some rooms may import.
var bans = []struct {
	name   string
	rooms  []string
	reason string
}{
	{"unsafe", nil, "hostile input meets bounds checks only"},
	{"C", nil, "the daemon is built without cgo"},
	{"os/exec", nil, "the daemon starts no program but itself"},
	{"net/http", []string{"httpd", "cmd/bundleup"}, "HTTP has one room"},
}

func TestImports(t *testing.T) {
	found, err := violations(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

func TestBusinessPathHasNoThirdParties(t *testing.T) {
	for _, dir := range business {
		r, ok := rooms[dir]
		if !ok || len(r.others) > 0 {
			t.Errorf("%s: the table has it: %v; third parties: %v, want none", dir, ok, r.others)
		}
	}
}

// violations reads the imports of every file of the module but tests.
func violations(fsys fs.FS) (found []string, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name() == "testdata" || d.Name() == "bin" || strings.ContainsRune("._", rune(d.Name()[0]))):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		imports, err := importsOf(fsys, name)
		if err != nil {
			return err
		}
		found = append(found, judge(name, imports)...)
		return nil
	})
	return found, err
}

func importsOf(fsys fs.FS, name string) (imports []string, err error) {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		imports = append(imports, p)
	}
	return imports, nil
}

// judge gives one line for each import that the file may not have.
func judge(name string, imports []string) (found []string) {
	dir := path.Dir(name)
	r, ok := rooms[dir]
	if !ok {
		return []string{fmt.Sprintf("%s: package %s is not in the table of docs/ARCHITECTURE.md and of this test", name, dir)}
	}
	for _, p := range imports {
		if reason := r.forbids(dir, p); reason != "" {
			found = append(found, fmt.Sprintf("%s: imports %s: %s", name, p, reason))
		}
	}
	return found
}

// forbids says why the package in dir may not import p; "" if it may.
func (r room) forbids(dir, p string) string {
	for _, ban := range bans {
		if within(p, ban.name) && !slices.Contains(ban.rooms, dir) {
			return ban.reason
		}
	}
	first, _, _ := strings.Cut(p, "/")
	switch {
	case first == module:
		if slices.Contains(r.ours, strings.TrimPrefix(p, module+"/")) {
			return ""
		}
	case !strings.Contains(first, "."): // the standard library
		return ""
	case slices.ContainsFunc(r.others, func(m string) bool { return within(p, m) }):
		return ""
	}
	return r.reason
}

// within reports whether import path p is root or below it.
func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

// A test that cannot fail proves nothing.
func TestImportsFindsViolations(t *testing.T) {
	file := func(imports ...string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package p\nimport (\n" + strings.Join(imports, "\n") + "\n)\n")}
	}
	found, err := violations(fstest.MapFS{
		"go.mod":                     file(),
		"vfs/good.go":                file(`"io"`, `"bundleup/auth"`, `_ "bundleup/vfs/store"`),
		"vfs/upward.go":              file(`"bundleup/sshd"`, `disk "bundleup/vfs/store/disk"`),
		"vfs/third.go":               file(`"golang.org/x/crypto/ssh"`),
		"vfs/only_test.go":           file(`"bundleup/sshd"`),
		"vfs/testdata/x.go":          file(`"bundleup/sshd"`),
		".cache/x.go":                file(`"bundleup/sshd"`),
		"vfs/bundle/inflate/fast.go": file(`"unsafe"`),
		"vfs/store/disk/other.go":    &fstest.MapFile{Data: []byte("//go:build plan9\n\npackage disk\n\nimport \"C\"\n")},
		"sshd/run.go":                file(`"os/exec"`, `"net/http/pprof"`, `"golang.org/x/crypto/ssh/agent"`, `"golang.org/x/crypto/sshx"`),
		"httpd/http.go":              file(`"net/http"`, `"bundleup/vfs"`, `"bundleup/vfs/store"`),
		"common/strings.go":          file(`"strings"`),
		"main.go":                    file(),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"common/strings.go: package common is not in the table of docs/ARCHITECTURE.md and of this test",
		"httpd/http.go: imports bundleup/vfs/store: the second door is like the first: accounts and views, no medium",
		"main.go: package . is not in the table of docs/ARCHITECTURE.md and of this test",
		"sshd/run.go: imports os/exec: the daemon starts no program but itself",
		"sshd/run.go: imports net/http/pprof: HTTP has one room",
		"sshd/run.go: imports golang.org/x/crypto/sshx: the door lets accounts in to their views; what is stored where is not its business",
		"vfs/bundle/inflate/fast.go: imports unsafe: hostile input meets bounds checks only",
		"vfs/store/disk/other.go: imports C: the daemon is built without cgo",
		"vfs/third.go: imports golang.org/x/crypto/ssh: vfs knows no protocol and no medium",
		"vfs/upward.go: imports bundleup/sshd: vfs knows no protocol and no medium",
		"vfs/upward.go: imports bundleup/vfs/store/disk: vfs knows no protocol and no medium",
	}
	if !slices.Equal(found, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

func TestImportsNeedsReadableFiles(t *testing.T) {
	if _, err := violations(fstest.MapFS{"vfs/x.go": {Data: []byte("pakage vfs")}}); err == nil {
		t.Error("a file that does not parse passes")
	}
}
