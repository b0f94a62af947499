package bundle

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

var errTree = badIndex("a block is damaged")

// unpack reads a blob of a section: at most limit bytes of it.
func (r *Reader) unpack(f blockRef, s section, limit int) ([]byte, error) {
	e := r.footer.sections[s]
	n := int64(f.length)
	switch {
	case f.offset < e.offset, n > e.length, f.offset-e.offset > e.length-n, int64(f.raw) > int64(limit), n > int64(limit)+1024:
		return nil, badIndex("a block is out of range")
	}
	packed := make([]byte, n)
	if err := r.readIndex(packed, f.offset); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(packed) != f.crc {
		return nil, errTree
	}
	z := r.cache.inflater(bytes.NewReader(packed))
	defer r.cache.giveBack(z)
	raw := make([]byte, f.raw)
	if _, err := io.ReadFull(z, raw); err != nil {
		return nil, errTree
	}
	return raw, nil
}

// block reads a block of a tree.
func (r *Reader) block(f blockRef, s section) ([]byte, error) {
	k := cacheKey{r, true, f.offset}
	if b, ok := r.cache.get(k); ok {
		return b, nil
	}
	b, err := r.unpack(f, s, maxBlock)
	if err == nil {
		r.cache.put(k, b)
	}
	return b, err
}

// blockPos is a place in a block: in front of the item at at, behind key.
type blockPos struct {
	b   []byte
	key []byte // of the item read last
}

// next reads an item; more is false at the block's end.
func (p *blockPos) next() (value []byte, more bool, err error) {
	if len(p.b) == 0 {
		return nil, false, nil
	}
	shared, b, ok := cutUvarint(p.b, len(p.key))
	suffix, b, ok2 := cutText(b, maxBlock)
	value, b, ok3 := cutText(b, maxBlock)
	if !ok || !ok2 || !ok3 {
		return nil, false, errTree
	}
	p.key = append(p.key[:shared], suffix...)
	p.b = b
	return value, true, nil
}

// treeCursor goes through a tree in order. Keys must increase, so that it ends
// whatever the blocks hold.
type treeCursor struct {
	r       *Reader
	section section
	levels  []blockPos // the root first; what is missing was not reached yet
	depth   int
	last    []byte // key of the item given last
	begun   bool
	held    []byte // value of an item that seek found, to be given
	holding bool
}

// seek makes a cursor in front of the first item whose key is not less.
func (r *Reader) seek(root treeRoot, s section, key []byte) (*treeCursor, error) {
	c := &treeCursor{r: r, section: s, depth: root.depth}
	if root.length == 0 {
		return c, nil
	}
	ref := root.blockRef
	for level := 0; ; level++ {
		b, err := r.block(ref, s)
		if err != nil {
			return nil, err
		}
		c.levels = append(c.levels, blockPos{b: b})
		p := &c.levels[level]
		if level == c.depth {
			return c, c.seekLeaf(p, key)
		}
		if ref, err = seekInner(p, key); err != nil {
			return nil, err
		}
	}
}

// seekInner finds the last block that does not begin behind key, or the first,
// and stops behind its item.
func seekInner(p *blockPos, key []byte) (ref blockRef, err error) {
	var before blockPos
	for found := false; ; found = true {
		before.b, before.key = p.b, append(before.key[:0], p.key...)
		value, more, err := p.next()
		switch {
		case err != nil:
			return ref, err
		case more && len(value) != refLen, !more && !found:
			return ref, errTree
		case !more, found && bytes.Compare(p.key, key) > 0:
			*p = before
			return ref, nil
		}
		ref = parseRef(value)
	}
}

// seekLeaf finds the first item that is not less than key.
func (c *treeCursor) seekLeaf(p *blockPos, key []byte) error {
	for {
		value, more, err := p.next()
		if err != nil || !more {
			return err
		}
		if bytes.Compare(p.key, key) >= 0 {
			c.held, c.holding = value, true
			return nil
		}
	}
}

// next gives the next item, valid until the call after it; key is nil at the end.
func (c *treeCursor) next() (key, value []byte, err error) {
	for level := len(c.levels) - 1; level >= 0; {
		p := &c.levels[level]
		value, more := c.held, c.holding
		if c.holding = false; !more {
			if value, more, err = p.next(); err != nil {
				return nil, nil, err
			}
		}
		switch {
		case !more:
			c.levels = c.levels[:level]
			level--
		case level == c.depth:
			return c.give(p.key, value)
		case len(value) != refLen:
			return nil, nil, errTree
		default:
			b, err := c.r.block(parseRef(value), c.section)
			if err != nil {
				return nil, nil, err
			}
			c.levels = append(c.levels, blockPos{b: b})
			level++
		}
	}
	return nil, nil, nil
}

// give gives an item if it is behind the last one.
func (c *treeCursor) give(key, value []byte) ([]byte, []byte, error) {
	if c.begun && bytes.Compare(c.last, key) >= 0 {
		return nil, nil, badIndex("a tree is not in order")
	}
	c.begun = true
	c.last = append(c.last[:0], key...)
	return c.last, value, nil
}

// manifestKey is the key of the entry whose header begins at an offset.
func manifestKey(header int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(header))
}
