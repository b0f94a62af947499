package inside

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"bundleup/vfs"
)

const (
	biggest     = 10 // files that info shows
	receiptsDir = "receipts"
	receiptExt  = ".json"
	// maxReceipt bounds a receipt, in bytes.
	maxReceipt = 1 << 20
)

func (r *run) info(args []string) int {
	f, err := parse(args, "", "")
	if err != nil || len(f.args) == 0 {
		return r.misused("no bundle is named")
	}
	for n, arg := range f.args {
		for _, name := range r.expand(arg) {
			if n > 0 {
				r.out.printf("\n")
			}
			r.bundleInfo(name)
		}
	}
	return exitOK
}

// bundleInfo tells about one bundle: what its receipt says, and what is inside.
func (r *run) bundleInfo(name string) {
	if outer, sub, ok := cutInside(name); ok && sub == "" {
		name = outer
	}
	if !isBundle(name) {
		r.say(name + ": that is not a bundle")
		return
	}
	i, err := r.fsys.Stat(r.ctx, name)
	if err != nil {
		r.complain(name, err)
		return
	}
	r.out.printf("%s\n  %-10s %s bytes, of %s\n", name, "size", commas(i.Size()), i.ModTime().UTC().Format(timeFormat))
	if receipt, err := r.receipt(receiptOf(name)); err == nil {
		r.receiptLines(receipt)
	}
	r.contents(name + insideExt)
}

// receiptOf is where the receipt of a bundle lies: /TENANT/receipts/NAME.json.
func receiptOf(name string) string {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+name), "/"), "/")
	return path.Join("/", tenant, receiptsDir, rest+receiptExt)
}

// receipt reads one.
func (r *run) receipt(name string) (*vfs.Receipt, error) {
	f, err := r.fsys.Open(r.ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	doc, err := io.ReadAll(io.NewSectionReader(f, 0, maxReceipt))
	if err != nil {
		return nil, err
	}
	receipt := &vfs.Receipt{}
	if err := json.Unmarshal(doc, receipt); err != nil {
		return nil, errors.New("receipt: not JSON")
	}
	return receipt, nil
}

func (r *run) receiptLines(c *vfs.Receipt) {
	for _, l := range [][2]string{
		{"verdict", string(c.Verdict)},
		{"account", c.Account},
		{"finished", c.Finished.UTC().Format(timeFormat)},
		{"sha256", c.SHA256},
		{"unpacked", commas(c.Unpacked) + " bytes"},
		{"id", c.ID},
	} {
		if l[1] != "" {
			r.out.printf("  %-10s %s\n", l[0], l[1])
		}
	}
}

// contents tells what is at the top and which files are the biggest.
func (r *run) contents(root string) {
	var top, big []named
	var files, dirs, links, others int
	r.walk(root, 0, func(name string, i fs.FileInfo) {
		sub := strings.TrimPrefix(name, root+"/")
		switch {
		case name == root:
			return
		case i.IsDir():
			dirs++
		case i.Mode().IsRegular():
			files++
			big = keepBiggest(big, named{sub, i})
		case i.Mode().Type() == fs.ModeSymlink:
			links++
		default:
			others++
		}
		if !strings.Contains(sub, "/") && len(top) < maxMatches {
			top = append(top, named{sub, i})
		}
	})
	r.out.printf("  %-10s %d files, %d directories, %d links, %d others\n", "entries", files, dirs, links, others)
	r.listed("top", top)
	r.listed("biggest", big)
}

// named is a file by the name that is shown for it.
type named struct {
	name string
	fs.FileInfo
}

// keepBiggest puts a file into a list of the biggest, if it is one of them.
func keepBiggest(list []named, f named) []named {
	at, _ := slices.BinarySearchFunc(list, f, func(a, b named) int { return cmp.Compare(b.Size(), a.Size()) })
	if at == biggest {
		return list
	}
	return slices.Insert(list, at, f)[:min(len(list)+1, biggest)]
}

func (r *run) listed(title string, list []named) {
	r.out.printf("  %s\n", title)
	for _, f := range list {
		slash := ""
		if f.IsDir() {
			slash = "/"
		}
		r.out.printf("    %16s  %s%s\n", commas(f.Size()), r.shown(f.name), slash)
	}
}

// commas writes a size with a comma after every three digits.
func commas(n int64) string {
	if n < 1000 {
		return sprint(n)
	}
	return commas(n/1000) + "," + sprint(1000 + n%1000)[1:]
}
