package vfs

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"bundleup/vfs/store"
)

const (
	suffix   = ".tgz" // what a bundle's name ends in, any case
	maxName  = 255    // bytes of one component, as on every file system
	maxDepth = 8      // directories below a tenant's root
	// receiptsDir is the customer's window on his receipts; no directory of
	// his own may have this name.
	receiptsDir = "receipts"
	// insideSuffix marks the view into a bundle.
	insideSuffix = ".d"
)

// clean turns a peer's path into one relative to the view's root, "" for the
// root itself.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// isBundleName reports whether the last component can be a bundle's: it ends
// like one and is not hidden, as some temporary names are.
func isBundleName(name string) bool {
	base := path.Base(name)
	return len(base) > len(suffix) && base[0] != '.' && strings.EqualFold(base[len(base)-len(suffix):], suffix)
}

// temporary lists the names that clients upload under before they rename, see
// docs/ARCHITECTURE.md. The first group, where there is one, is the name that the
// bundle will get.
var temporary = []*regexp.Regexp{
	regexp.MustCompile(`(?i)^(.+\.tgz)\.filepart$`),             // WinSCP
	regexp.MustCompile(`(?i)^(.+\.tgz)\.[0-9a-f]{8}\.partial$`), // rclone
	regexp.MustCompile(`(?i)^\.in\.(.+\.tgz)\.?$`),              // lftp
	regexp.MustCompile(`(?i)^\.(.+\.tgz)\.[0-9A-Za-z]{6}$`),     // rsync over sshfs
	regexp.MustCompile(`(?i)^\.giosave[0-9A-Za-z]{6}$`),         // gvfs
	regexp.MustCompile(`(?i)^(.+\.tgz)\([0-9]{1,10}\)\.tmp$`),   // Net::SFTP::Foreign
	regexp.MustCompile(`(?i)^(.+\.tgz)\.(?:part|tmp)$`),         // scripts
	regexp.MustCompile(`(?i)^(.+\.tgz)-[0-9A-Za-z]{1,40}$`),     // Cyberduck
}

// temporaryFor reports whether base is a temporary name, and which bundle name
// it stands for; "" where the name does not say.
func temporaryFor(base string) (final string, ok bool) {
	for _, re := range temporary {
		if m := re.FindStringSubmatch(base); m != nil {
			if len(m) > 1 {
				final = m[1]
			}
			return final, true
		}
	}
	return "", false
}

// checkUploadName reports why a bundle may not be uploaded as name, with the
// mend. Temporary names pass.
func checkUploadName(name string) error {
	base := path.Base("/" + name)
	if err := checkComponents(path.Dir("/" + name)); err != nil {
		return err
	}
	if final, ok := temporaryFor(base); ok {
		return checkCharacters(strings.TrimPrefix(base, "."), final)
	}
	return checkBundleName(base)
}

// checkBundleName reports why base is not the name of a bundle.
func checkBundleName(base string) error {
	if err := checkCharacters(base, base); err != nil {
		return err
	}
	if !isBundleName(base) {
		return fmt.Errorf("bundle names end in .tgz: %s", mendName(base))
	}
	return nil
}

// mendName says what to do with a name that does not end in .tgz.
func mendName(base string) string {
	lower := strings.ToLower(base)
	for _, ext := range []string{".tar.gz", ".tar.gzip", ".tgz.gz", ".taz"} {
		if stem := base[:max(0, len(base)-len(ext))]; strings.HasSuffix(lower, ext) && stem != "" {
			return fmt.Sprintf("put %s %s.tgz", base, stem)
		}
	}
	stem := strings.TrimSuffix(base, path.Ext(base))
	if stem == "" || strings.HasPrefix(base, ".") {
		stem = "diag"
	}
	return fmt.Sprintf("pack the files with tar czf %s.tgz and send that", stem)
}

// checkCharacters refuses names that a file system, a terminal or a person
// could misread. shown is the part that must not begin with a dot.
func checkCharacters(base, shown string) error {
	switch {
	case base == "":
		return fmt.Errorf("the name is empty: name the file, as in diag.tgz")
	case len(base) > maxName:
		return fmt.Errorf("the name has %d bytes, at most %d are allowed: choose a shorter one", len(base), maxName)
	case !utf8.ValidString(base):
		return fmt.Errorf("the name is not valid UTF-8: rename the file")
	case strings.HasPrefix(shown, "."):
		return fmt.Errorf("the name begins with a dot: rename the file")
	case strings.HasSuffix(base, ".") || strings.HasSuffix(base, " "):
		return fmt.Errorf("the name ends in a dot or a space: rename the file")
	}
	for _, r := range base {
		if r == '/' || r == '\\' || unicode.IsControl(r) || isInvisible(r) {
			return fmt.Errorf("the name holds the character %U, which is not allowed: rename the file", r)
		}
	}
	return nil
}

// isInvisible reports characters that reorder or hide text (Unicode UAX #9
// explicit directional formatting, line separators, byte order mark).
func isInvisible(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0x200b
}

// checkDirName reports why a customer may not have a directory of this path.
func checkDirName(name string) error {
	if name == receiptsDir || strings.HasPrefix(name, receiptsDir+"/") {
		return fmt.Errorf("the directory %s belongs to the server: choose another name", receiptsDir)
	}
	return checkComponents("/" + name)
}

func checkComponents(dir string) error {
	rel := clean(dir)
	if rel == "" {
		return nil
	}
	if strings.Count(rel, "/")+1 > maxDepth {
		return fmt.Errorf("directories go at most %d deep: choose a place higher up", maxDepth)
	}
	for c := range strings.SplitSeq(rel, "/") {
		if err := checkCharacters(c, c); err != nil {
			return err
		}
		if isBundleName(strings.TrimSuffix(c, insideSuffix)) {
			return fmt.Errorf("a directory's name may not end in .tgz or .tgz.d: choose another name")
		}
	}
	return nil
}

// receiptKey is the name under which the receipt of an upload is filed: that of
// the bundle, also when it came under a temporary name.
func receiptKey(name string) string {
	if final, ok := temporaryFor(path.Base(name)); ok && final != "" {
		return path.Join(path.Dir(name), final)
	}
	return name
}

// numbered gives the n-th name beside a taken one: diag.tgz, diag~2.tgz, ...
// The stem is cut where the result would be too long.
func numbered(name string, n int) string {
	if n < 2 {
		return name
	}
	dir, base := path.Split(name)
	stem, ext := base[:len(base)-len(suffix)], base[len(base)-len(suffix):]
	tail := fmt.Sprintf("~%d%s", n, ext)
	for len(stem)+len(tail) > maxName {
		_, size := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-size]
	}
	return dir + stem + tail
}

// key is the store's key of a name in a tenant's area.
func (a *area) key(name string) store.Key { return store.Key(a.tenant).Join(name) }

// rel is the reverse of key.
func (a *area) rel(key store.Key) string {
	return strings.TrimPrefix(strings.TrimPrefix(string(key), string(a.tenant)), "/")
}
