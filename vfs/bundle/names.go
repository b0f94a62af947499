package bundle

import "bytes"

// maxName is the longest name or link target in bytes, as PATH_MAX has it.
const maxName = 4096

// mendNames is what to do about a name that leads out of the archive.
const mendNames = "pack relative names from inside the directory: tar czf X.tgz -C DIR ."

// unsafeName says why name, of an entry or of a link's target, must not be
// unpacked, or "". It judges the text alone; names.place judges it beside the
// other names of the archive.
func unsafeName(name []byte) string {
	switch {
	case len(name) == 0:
		return "the name is empty"
	case len(name) > maxName:
		return "the name is longer than 4,096 bytes"
	case name[0] == '/':
		return "the name is absolute"
	}
	rest := name // without the "./" that tar -C DIR . puts in front
	for len(rest) > 1 && rest[0] == '.' && rest[1] == '/' {
		rest = bytes.TrimLeft(rest[1:], "/")
	}
	if len(rest) > 0 && rest[0] == '\\' {
		return "the name is absolute on Windows"
	}
	if len(rest) > 1 && rest[1] == ':' && 'a' <= rest[0]|0x20 && rest[0]|0x20 <= 'z' {
		return "the name begins with a Windows drive"
	}
	if bytes.Contains(rest, dotdot) && climbs(rest) {
		return `the name climbs out with ".."`
	}
	return ""
}

var dotdot = []byte("..")

// climbs reports whether a component of name is "..", on Windows too.
func climbs(name []byte) bool {
	for len(name) > 0 {
		c := name
		if i := bytes.IndexAny(name, `/\`); i >= 0 {
			c, name = name[:i], name[i+1:]
		} else {
			name = nil
		}
		if bytes.Equal(c, dotdot) {
			return true
		}
	}
	return false
}

// kind is what a name of the archive stands for when it is unpacked.
type kind uint64

const (
	kindNone    kind = iota
	kindDir          // a directory, also one that only a longer name implies
	kindFile         // anything that is neither a directory nor a symlink
	kindSymlink      // what nothing may be written through
	kindBits    = 3
)

// names remembers every name of the archive and every directory that a name
// implies, as 62 bits of a keyed hash and the kind, in a table with open
// addressing: 8 bytes a slot, at most seven of eight slots in use, doubled
// when full. It never forgets and never turns a directory into anything else.
type names struct {
	key   [2]uint64
	slots []uint64
	used  int
	max   int // of used: a name of 4 KiB may imply 2,000 directories

	implied int // directories that were new, since it was set to 0

	// dir is the directory of the name placed last, with its slash, and
	// dirHash the hash up to it. All its components are directories and will
	// stay such: a name below it need not look them up again.
	dir     []byte
	dirHash sip
}

// minTable is the size of the first table, in slots.
const minTable = 64

// namesPerEntry is how many names an entry may bring on average. Archives
// without entries for directories bring two or three.
const namesPerEntry = 4

func newNames(key [2]uint64, maxEntries int64) names {
	return names{key: key, max: int(min(maxEntries, maxEntriesLimit))*namesPerEntry + 4096}
}

// component cuts the next component off a name: what of it comes before the
// component's end, and the component itself, empty at the end of the name.
// Empty components and "." are passed over.
func component(name []byte, from int) (c []byte, end int) {
	for from < len(name) {
		if name[from] == '/' {
			from++
			continue
		}
		end = from + 1
		for end < len(name) && name[end] != '/' {
			end++
		}
		if end != from+1 || name[from] != '.' {
			return name[from:end], end
		}
		from = end
	}
	return nil, len(name)
}

// place enters a name that unsafeName let pass as one of kind k.
func (t *names) place(name []byte, k kind) *Rejection {
	h, at := t.start(name)
	c, end := component(name, at)
	if c == nil { // the directory placed last again, or "./"
		return clash(kindDir, k, false)
	}
	base := max(at-1, 0)
	for {
		next, nextEnd := component(name, end)
		if next == nil {
			break
		}
		h.component(c)
		if r := t.enter(h.sum(), kindDir, true); r != nil {
			return r
		}
		base, c, end = end, next, nextEnd
	}
	below := h
	h.component(c)
	if r := t.enter(h.sum(), k, false); r != nil {
		return r
	}
	if k == kindDir {
		base, below = end, h
	}
	t.remember(name[:base], below)
	return nil
}

// start is where place begins: behind the directory placed last, if name lies
// in it, or at the top.
func (t *names) start(name []byte) (sip, int) {
	if len(t.dir) > 0 && bytes.HasPrefix(name, t.dir) {
		return t.dirHash, len(t.dir)
	}
	return newSip(t.key), 0
}

// remember keeps dir, which ends before a slash or before the last component.
func (t *names) remember(dir []byte, h sip) {
	if len(t.dir) == len(dir)+1 && bytes.Equal(t.dir[:len(dir)], dir) {
		return
	}
	t.dir = t.dir[:0]
	if len(dir) > 0 {
		t.dir = append(append(t.dir, dir...), '/')
	}
	t.dirHash = h
}

// enter looks the hash up and puts kind k there if it may be. implied says
// that a longer name stands for the directory.
func (t *names) enter(h uint64, k kind, implied bool) *Rejection {
	if t.used >= len(t.slots)-len(t.slots)/8 {
		t.rehash(max(minTable, 2*len(t.slots)))
	}
	i := t.find(h)
	old := kind(t.slots[i] & kindBits)
	if r := clash(old, k, implied); r != nil {
		return r
	}
	if old == kindNone {
		if t.used >= t.max {
			return reject(RuleLimit, "the archive has too many names and directories", mendLimit)
		}
		t.used++
		if implied {
			t.implied++
		}
	}
	t.slots[i] = h&^kindBits | uint64(k)
	return nil
}

// clash says why a name of kind old must not be used as one of kind k.
func clash(old, k kind, implied bool) *Rejection {
	switch {
	case old == kindNone || old == k || old == kindFile && k == kindSymlink:
		return nil
	case old == kindSymlink && implied:
		return reject(RuleLink, "the entry would be written through a symbolic link of the archive",
			"pack the directory that the link points to, or leave it out")
	case old == kindSymlink:
		return reject(RuleLink, "the entry would replace a symbolic link of the archive", mendTwice)
	case k == kindDir && implied:
		return reject(RuleName, "the name needs a directory where the archive has a file", mendTwice)
	case k == kindDir:
		return reject(RuleName, "the name is a file and later a directory", mendTwice)
	}
	return reject(RuleName, "the name is a directory and later something else", mendTwice)
}

const mendTwice = "the names contradict each other; pack each name once"

// lookup gives the kind of the path's hash; kindNone if it is not known.
func (t *names) lookup(h uint64) kind {
	if len(t.slots) == 0 {
		return kindNone
	}
	return kind(t.slots[t.find(h)] & kindBits)
}

// find gives the slot that has the hash or is free for it. The table is never
// full, so that it ends.
func (t *names) find(h uint64) int {
	mask := uint64(len(t.slots) - 1)
	for i := h >> 2 & mask; ; i = (i + 1) & mask {
		if s := t.slots[i]; s&kindBits == 0 || s|kindBits == h|kindBits {
			return int(i)
		}
	}
}

// rehash moves the table into one of size slots, a power of two.
func (t *names) rehash(size int) {
	old := t.slots
	t.slots = make([]uint64, size)
	for _, s := range old {
		if s&kindBits != 0 {
			t.slots[t.find(s)] = s
		}
	}
}

// target judges the target of a hard link: it must lie inside, and neither be
// a symlink or a directory of the archive nor be reached through a symlink.
func (t *names) target(link []byte) *Rejection {
	const mend = "pack the files anew, with tar's --hard-dereference to store no hard links"
	if why := unsafeName(link); why != "" {
		return reject(RuleLink, "the hard link leads to no place in the archive: "+why, mend)
	}
	h := newSip(t.key)
	k, end := kindDir, 0
	for k != kindSymlink {
		c, e := component(link, end)
		if c == nil {
			break
		}
		h.component(c)
		k, end = t.lookup(h.sum()), e
	}
	switch k {
	case kindSymlink:
		return reject(RuleLink, "the hard link leads through a symbolic link of the archive", mend)
	case kindDir:
		return reject(RuleLink, "the hard link leads to a directory", mend)
	}
	return nil
}
