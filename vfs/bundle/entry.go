package bundle

import (
	"bytes"
	"math"
	"time"
)

// start takes the header of an entry.
func (w *walker) start(b *block, next int64) *Rejection {
	w.resolve(b)
	mode, mtime, bad := b.numbers()
	if bad != "" {
		return badNumber(bad)
	}
	size, ok := b.size()
	if !ok {
		return badNumber("size")
	}
	if w.ext.hasSize {
		if size != 0 && size != w.ext.size {
			return badRecord("the PAX size and the size in the header differ")
		}
		size = w.ext.size
	}
	if size > math.MaxInt64-blockSize-next {
		return badNumber("size")
	}
	if w.entries >= w.maxEntries {
		return reject(RuleLimit, "the archive has more than "+thousands(w.maxEntries)+" entries", mendLimit)
	}
	w.entry = Entry{
		Name: w.name, Linkname: w.link, Size: size, RealSize: size,
		Mode: uint32(mode & 0o7777), ModTime: time.Unix(mtime, 0), Offset: next, Header: next - blockSize,
	}
	if w.ext.chain > 0 {
		w.entry.Header = w.ext.from
	}
	if w.ext.hasTime {
		w.entry.ModTime = time.Unix(w.ext.seconds, w.ext.nsc)
	}
	w.names.implied = 0
	if r := w.judge(b.typeflag(), size); r != nil {
		return r
	}
	w.entry.implied = w.names.implied
	return w.startData(b)
}

// resolve finds the names that count among all that an entry may have.
func (w *walker) resolve(b *block) {
	e := &w.ext
	w.link = append(w.link[:0], b.linkname()...)
	if e.gnuLink || e.paxLink {
		w.link = append(w.link[:0], e.link...)
	}
	switch prefix := b.prefix(); {
	case len(e.sparse.name) > 0:
		w.name = append(w.name[:0], e.sparse.name...)
	case e.gnuName || e.paxName:
		w.name = append(w.name[:0], e.name...)
	case len(prefix) > 0:
		w.name = append(append(append(w.name[:0], prefix...), '/'), b.name()...)
	default:
		w.name = append(w.name[:0], b.name()...)
	}
}

// judge says whether the entry may be unpacked beside those before it.
func (w *walker) judge(flag byte, size int64) *Rejection {
	t, r := entryType(flag, w.name, size)
	if r != nil {
		return r
	}
	w.entry.Type = t
	if why := unsafeName(w.name); why != "" {
		return reject(RuleName, why, mendNames)
	}
	// What a reader without sparse files would use as the name.
	if len(w.ext.sparse.name) > 0 && w.ext.paxName {
		if why := unsafeName(w.ext.name); why != "" {
			return reject(RuleName, why, mendNames)
		}
	}
	if w.ext.sparse.seen && t != TypeFile {
		return badSparse("a sparse map belongs to something that is no file")
	}
	switch t {
	case TypeLabel:
		return nil
	case TypeDir:
		return w.names.place(w.name, kindDir)
	case TypeSymlink:
		return w.symlink()
	case TypeHardlink:
		if r := w.names.target(w.link); r != nil {
			return r
		}
	}
	return w.names.place(w.name, kindFile)
}

func (w *walker) symlink() *Rejection {
	if len(w.link) == 0 {
		return reject(RuleLink, "the symbolic link has no target", mendForeign)
	}
	return w.names.place(w.name, kindSymlink)
}

// entryType reads the type flag. A file whose name ends in a slash is a
// directory, as v7 has it.
func entryType(flag byte, name []byte, size int64) (Type, *Rejection) {
	const mend = "pack only files, directories and links: leave out what lies in /dev"
	switch flag {
	case '3', '4':
		return 0, reject(RuleType, "the entry is a device", mend)
	case 'M':
		return 0, reject(RuleType, "the entry is a part of an archive of several volumes", mendRepack)
	case 'V':
		return TypeLabel, nil
	case 'D':
		return TypeDir, nil
	}
	t := TypeVendor
	switch flag {
	case 0, '0', '7':
		t = TypeFile
		if bytes.HasSuffix(name, []byte("/")) {
			t = TypeDir
		}
	case 'S':
		return TypeFile, nil
	case '1':
		t = TypeHardlink
	case '2':
		t = TypeSymlink
	case '5':
		t = TypeDir
	case '6':
		t = TypeFIFO
	}
	if size != 0 && t != TypeFile && t != TypeVendor {
		return 0, reject(RuleType, "the entry is a "+typeNames[t]+" and carries data", mendForeign)
	}
	return t, nil
}

var typeNames = [...]string{
	TypeFile: "file", TypeDir: "directory", TypeSymlink: "symbolic link", TypeHardlink: "hard link",
	TypeFIFO: "FIFO", TypeLabel: "volume label", TypeVendor: "vendor entry",
}

// startData goes on behind the header of a sound entry.
func (w *walker) startData(b *block) *Rejection {
	s := &w.ext.sparse
	switch {
	case b.typeflag() == 'S':
		return w.startOldSparse(b)
	case s.seen:
		if r := s.judge(w.entry.Size); r != nil {
			return r
		}
		w.entry.Sparse, w.entry.RealSize = true, s.real
		if s.inData() {
			return w.startMap()
		}
	}
	w.enter()
	return nil
}

// enter counts the entry, tells of it and goes on to its data.
func (w *walker) enter() {
	w.entries++
	if w.onEntry != nil {
		w.onEntry(&w.entry)
	}
	if w.rec != nil {
		w.rec.enter(&w.entry)
	}
	w.ext.reset()
	w.skip(w.entry.Size + padding(w.entry.Size))
}
