package inside

import (
	"cmp"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"bundleup/vfs"
)

// maxReceipts is how many receipts one command shows: the newest.
const maxReceipts = 1000

func sprint(n int64) string { return strconv.FormatInt(n, 10) }

// receipts lists what became of uploads, or shows one receipt whole. Without a path
// these are the account's own.
func (r *run) receipts(args []string) int {
	f, err := parse(args, "", "")
	if err != nil {
		return r.misused(err.Error())
	}
	if len(f.args) == 0 {
		f.args = []string{"/" + receiptsDir}
	}
	for _, arg := range f.args {
		for _, name := range r.expandReceipt(arg) {
			r.receiptsAt(name)
		}
	}
	return exitOK
}

// expandReceipt takes the name of a bundle for that of its receipt.
func (r *run) expandReceipt(arg string) []string {
	if isBundle(arg) && !strings.Contains("/"+arg, "/"+receiptsDir+"/") {
		for _, name := range []string{path.Join("/", receiptsDir, arg+receiptExt), receiptOf(arg)} {
			if _, err := r.fsys.Stat(r.ctx, name); err == nil {
				return []string{name}
			}
		}
	}
	return r.expand(arg)
}

func (r *run) receiptsAt(name string) {
	i, err := r.fsys.Stat(r.ctx, name)
	switch {
	case err != nil:
		r.complain(name, err)
	case i.IsDir():
		r.newest(name)
	default:
		if err := r.file(name, func(_ string, f vfs.File, size int64) error { return r.copy(f, 0, size) }); err != nil {
			r.complain(name, err)
		}
	}
}

// newest writes a line for each of the newest receipts below a directory.
func (r *run) newest(dir string) {
	var list []named
	r.walk(dir, 0, func(name string, i fs.FileInfo) {
		if !i.Mode().IsRegular() || !strings.HasSuffix(name, receiptExt) {
			return
		}
		list = append(list, named{name, i})
		if len(list) == 2*maxReceipts {
			list = byTime(list)
		}
	})
	for _, f := range byTime(list) {
		c, err := r.receipt(f.name)
		if err != nil {
			r.complain(f.name, err)
			continue
		}
		r.out.printf("%s %-8s %s\n", c.Finished.UTC().Format(timeFormat), c.Verdict, outcomeOf(c))
	}
}

// byTime sorts a list, the newest last, and drops the oldest that are too many.
func byTime(list []named) []named {
	slices.SortStableFunc(list, func(a, b named) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.name, b.name))
	})
	return list[max(0, len(list)-maxReceipts):]
}

func outcomeOf(c *vfs.Receipt) string {
	switch {
	case c.Rejection != nil:
		return c.Rejection.Message
	case c.StoredAs != "" && c.StoredAs != c.Name:
		return c.StoredAs + " sha256 " + c.SHA256
	}
	return c.Name + " sha256 " + c.SHA256
}

// help lists the commands.
func (r *run) help([]string) int {
	all := table()
	r.out.printf("Commands:\n")
	for _, name := range r.Names() {
		r.out.printf("  %-62s %s\n", all[name].usage, all[name].what)
	}
	for _, line := range r.cfg.Notes {
		r.out.printf("%s\n", line)
	}
	r.out.printf("What is inside the bundle X.tgz lies in X.tgz.d. Wildcards work in any part of a path.\n")
	return exitOK
}
