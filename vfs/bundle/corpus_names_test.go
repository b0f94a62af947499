package bundle

import (
	"fmt"
	"strings"
)

// encodings are the ways in which an archive may give an entry its name. Each
// is nil for a name that it cannot hold.
var encodings = map[string]func(r raw, name string) []any{
	"v7": func(r raw, name string) []any {
		if len(name) > 100 {
			return nil
		}
		r.name = name
		return []any{r.v7()}
	},
	"ustar prefix": func(r raw, name string) []any {
		i := strings.LastIndexByte(name, '/')
		if i <= 0 || i > 155 || len(name)-i-1 > 100 || i == len(name)-1 {
			return nil
		}
		r.prefix, r.name, r.magic = name[:i], name[i+1:], magicUstar
		return []any{r}
	},
	"GNU long name": func(r raw, name string) []any {
		r.name = "x"
		return []any{long('L', name), r.gnu()}
	},
	"PAX path": func(r raw, name string) []any {
		if name == "" {
			return nil
		}
		r.name = "x"
		return []any{pax('x', "path", name), r}
	},
	"sparse name": func(r raw, name string) []any {
		if r.typ != '0' || strings.HasSuffix(name, "/") || name == "" {
			return nil
		}
		r.name, r.data = "x", "1\n0\n3\n"+string(make([]byte, 506))+"abc"
		return []any{pax('x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "3", "GNU.sparse.name", name), r}
	},
}

func nameSamples(tarred tarAdder) {
	each := func(rule Rule, what string, typ byte, names map[string]string) {
		for encoding, f := range encodings {
			for label, n := range names {
				if parts := f(raw{typ: typ, magic: magicUstar}, n); parts != nil {
					tarred(rule, fmt.Sprintf("name %s, %s, %s", what, label, encoding), parts...)
				}
			}
		}
	}
	each(RuleName, "bad", '0', map[string]string{
		"empty": "", "absolute": "/etc/passwd", "root": "/", "double slash": "//server/share", "climbs": "../x", "climbs later": "a/../../x", "climbs inside": "a/../b",
		"climbs at the end": "a/..", "dotdot": "..", "dot and climbs": "./../x", "drive": "C:/x", "drive relative": "c:x", "drive behind a dot": ".//C:/x", "UNC": `\\server\share`,
		"device": `\\.\PhysicalDrive0`, "backslash": `\x`, "backslash climbs": `a\..\..\x`, "mixed climbs": `a/..\x`, "too long": strings.Repeat("long/", 820),
		"dot": ".", "backslash behind a dot": `./\x`,
	})
	each(RuleName, "bad directory", '5', map[string]string{"climbs": "a/../", "absolute": "/var/"})
	each(RuleName, "bad symlink", '2', map[string]string{"climbs": "../x", "absolute": "/x"})
	each("", "fine", '0', map[string]string{
		"newline": "a\nb", "dash": "-rf", "latin": "caf\xe9", "unicode": "caf\u00e9", "dots": "...", "dotted": "..a/b..", "long": strings.Repeat("long/", 18) + "x",
		"dot in front": "./a/b", "systemd": `dev-disk\x2dby`, "backslash dots": `a..\b`, "colon": "ab:c", "colon later": "a/C:/b", "double slash": "a//b", "inner dot": "a/./b",
		"blank": " ", "tilde": "~root/x", "prompt": "sftp> password: 100%",
	})
	each("", "fine directory", '5', map[string]string{"plain": "d/", "no slash": "d", "top": "./", "dot": "."})
	tarred("", "name case", entry('0', "Readme", ""), entry('0', "README", ""))
	tarred("", "name twice", small, small)
	tarred(RuleName, "name bad path under a fine sparse name",
		pax('x', "path", "../x", "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "3", "GNU.sparse.name", "x"), small)
}

func contradictionSamples(tarred tarAdder) {
	file := func(n string) raw { return entry('0', n, "x") }
	dir := func(n string) raw { return entry('5', n, "") }
	sound := func(name string, parts ...any) { tarred("", "names "+name, parts...) }
	bad := func(name string, parts ...any) { tarred(RuleName, "names "+name, parts...) }
	sound("directory then files", dir("d/"), file("d/a"), file("d/b"), dir("d"), dir("./d/"))
	sound("files then directory", file("d/a"), dir("d/"))
	sound("file twice", file("d/a"), file("./d//a"))
	sound("file then symlink", file("a"), link('2', "a", "b"))
	sound("deep", file(strings.Repeat("d/", 40)+"f"), file(strings.Repeat("d/", 39)+"f"))
	sound("alike", file("a/b"), file("ab"), file("a/bc"), file("abc/d"))
	bad("file then directory", file("d"), dir("d/"))
	bad("file then directory by slash", file("d"), entry('0', "d/", ""))
	bad("file then below", file("d"), file("d/a"))
	bad("file then far below", file("a/b"), file("a/b/c/d/e"))
	bad("directory then file", dir("d/"), file("d"))
	bad("implied directory then file", file("d/a"), file("d"))
	bad("implied directory then file, dotted", file("./a/b/c"), file("a//b"))
	bad("directory then symlink", dir("d/"), link('2', "d", "/tmp"))
	bad("directory placed last then symlink", dir("d/"), link('2', "d/", "/tmp"))
	bad("implied directory then FIFO", file("d/a"), entry('6', "d", ""))
	bad("FIFO then below", entry('6', "p", ""), file("p/a"))
	bad("top as a symlink", link('2', "./", "/tmp"))
	bad("hard link then directory", file("a"), link('1', "b", "a"), dir("b"))
	bad("dump directory then file", entry('D', "d/", "Yf\x00").gnu(), file("d"))
}

func linkSamples(tarred tarAdder) {
	sym := func(n, to string) raw { return link('2', n, to) }
	hard := func(n, to string) raw { return link('1', n, to) }
	file := func(n string) raw { return entry('0', n, "x") }
	sound := func(name string, parts ...any) { tarred("", "link "+name, parts...) }
	bad := func(name string, parts ...any) { tarred(RuleLink, "link "+name, parts...) }
	sound("outside", sym("a", "/etc/passwd"), sym("b", "../../x"), sym("c", `C:\x`))
	sound("twice", sym("a", "b"), sym("a", "c"))
	sound("loop", sym("a", "a"))
	sound("hard", file("a"), hard("b", "a"), hard("c", "./a"), hard("c", "b"))
	sound("hard, unknown target", hard("b", "elsewhere/a"))
	sound("hard by PAX", file("a"), pax('x', "linkpath", "a"), hard("b", "x"))
	bad("through", sym("d", "/tmp"), file("d/x"))
	bad("through, dotted", sym("./d", "/tmp"), file("d//./x"))
	bad("far through", sym("a/d", "/tmp"), file("a/d/b/c"))
	bad("through by a directory", sym("d", "/tmp"), entry('5', "d/x/", ""))
	bad("through by a symlink", sym("d", "/tmp"), sym("d/x", "y"))
	bad("through later", sym("d", "/tmp"), small, small, file("d/x"))
	bad("through a file's successor", file("d"), sym("d", "/tmp"), file("d/x"))
	bad("replaced by a file", sym("a", "b"), file("a"))
	bad("replaced by a directory", sym("a", "b"), entry('5', "a/", ""))
	bad("replaced by a hard link", file("f"), sym("a", "b"), hard("a", "f"))
	bad("replaced by a FIFO", sym("a", "b"), entry('6', "a", ""))
	bad("replaced by a vendor entry", sym("a", "b"), entry('Z', "a", ""))
	bad("no target", sym("a", ""))
	longest := strings.Repeat("x", maxName)
	sound("longest target", long('K', longest), sym("a", ""), pax('x', "linkpath", longest), sym("b", ""))
	bad("target too long", long('K', longest+"y"), sym("a", ""))
	bad("target too long in PAX", pax('x', "linkpath", longest+"y"), sym("a", ""))
	bad("hard to a symlink", sym("a", "/etc/passwd"), hard("b", "a"))
	bad("hard to a symlink, dotted", sym("a", "/etc/passwd"), hard("b", ".//a"))
	bad("hard through a symlink", sym("d", "/etc"), hard("b", "d/passwd"))
	bad("hard to a directory", entry('5', "d/", ""), hard("b", "d"))
	bad("hard to the top", hard("b", "."))
	for label, to := range map[string]string{
		"empty": "", "absolute": "/etc/passwd", "climbing": "../x", "climbing later": "a/../../x", "drive": "C:/x", "UNC": `\\a\b`, "backslash": `a\..\x`,
	} {
		bad("hard, "+label, file("a"), hard("b", to))
		bad("hard, GNU long, "+label, file("a"), long('K', to), hard("b", "a").gnu())
		if to != "" {
			bad("hard, PAX, "+label, file("a"), pax('x', "linkpath", to), hard("b", "a"))
		}
	}
	for encoding, f := range encodings {
		if parts := f(raw{typ: '0', magic: magicUstar}, "a/d/x"); parts != nil {
			bad("through, "+encoding, append([]any{sym("a/d", "/tmp")}, parts...)...)
		}
	}
}

func typeSamples(tarred tarAdder) {
	sound := func(name string, parts ...any) { tarred("", "type "+name, parts...) }
	sound("FIFO", entry('6', "pipe", ""))
	sound("contiguous", entry('7', "f", "x"))
	sound("NUL", entry(0, "f", "x").v7())
	sound("old directory", entry(0, "d/", "").v7(), entry('0', "d/f", "x"))
	sound("dump directory", entry('D', "d/", "Yfile\x00\x00").gnu())
	sound("volume label", entry('V', "backup of 2024", "").gnu(), small.gnu())
	sound("vendor", entry('Z', "z", "vendor data"), entry('A', "a", "acl"), small)
	sound("setuid", small.with(100, "0006755\x00"))
	bad := func(name string, parts ...any) { tarred(RuleType, "type "+name, parts...) }
	bad("character device", entry('3', "dev/null", ""))
	bad("block device", entry('4', "dev/sda", ""))
	bad("volume part", entry('M', "f", "x").gnu())
	for _, typ := range "1256" {
		r := link(byte(typ), "a", "b")
		r.data = "data"
		bad(fmt.Sprintf("%c with data", typ), entry('0', "b", ""), r)
		bad(fmt.Sprintf("%c with a PAX size", typ), entry('0', "b", ""), pax('x', "size", "4"), link(byte(typ), "a", "b"))
	}
	bad("directory by slash with data", entry(0, "d/", "data").v7())
}
