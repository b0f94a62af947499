package vfs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"bundleup/vfs/store"
)

// The receipts directory mirrors the area: NAME.tgz.json is the receipt of the
// bundle NAME.tgz or, where there is none, of its latest refusal. Where there
// are both, the refusal is NAME.tgz.refused.json.
const (
	receiptExt = ".json"
	refusedExt = ".refused.json"
)

// resolveReceipt finds the key and the document behind a name in the receipts.
func (a *area) resolveReceipt(ctx context.Context, rel string) (doc []byte, filed time.Time, err error) {
	type try struct{ ext, doc string }
	for _, t := range []try{{receiptExt, acceptedDoc}, {receiptExt, refusedDoc}, {refusedExt, refusedDoc}} {
		name, ok := strings.CutSuffix(rel, t.ext)
		key := a.key(name)
		if !ok || name == "" || key.Check() != nil {
			continue
		}
		doc, err := a.tree.store.Record(ctx, key, t.doc)
		if err == nil {
			return doc, a.filed(ctx, key, t.doc), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, time.Time{}, internal("open", rel, err)
		}
	}
	return nil, time.Time{}, missing("open", path.Join(receiptsDir, rel))
}

// filed is when a document was written; zero if it is gone.
func (a *area) filed(ctx context.Context, key store.Key, doc string) time.Time {
	for i, err := range a.tree.store.Records(ctx, key.Dir()) {
		if err != nil {
			break
		}
		if i.Key == key {
			return i.Docs[doc]
		}
	}
	return time.Time{}
}

func (a *area) statReceipt(ctx context.Context, rel string) (fs.FileInfo, error) {
	if rel == "" {
		return &Info{name: receiptsDir, mode: modeReadDir, time: a.tree.cfg.Now()}, nil
	}
	doc, filed, err := a.resolveReceipt(ctx, rel)
	if err == nil {
		return &Info{name: path.Base(rel), size: int64(len(doc)), mode: modeReadOnly, time: filed}, nil
	}
	if ok, derr := a.directory(ctx, rel); derr == nil && ok {
		return &Info{name: path.Base(rel), mode: modeReadDir, time: a.tree.cfg.Now()}, nil
	}
	return nil, err
}

func (a *area) openReceipt(ctx context.Context, rel string) (File, error) {
	doc, filed, err := a.resolveReceipt(ctx, rel)
	if err != nil {
		return nil, err
	}
	return &document{Reader: bytes.NewReader(doc), info: &Info{name: path.Base(rel), size: int64(len(doc)), mode: modeReadOnly, time: filed}}, nil
}

// document is a small File in memory.
type document struct {
	*bytes.Reader
	info *Info
}

func (d *document) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *document) Close() error               { return nil }

// listReceipts yields the receipts of one directory, sorted by name.
func (a *area) listReceipts(ctx context.Context, rel string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		if ok, err := a.directory(ctx, rel); err != nil || !ok {
			yield(nil, cmp.Or(err, missing("list", path.Join(receiptsDir, rel))))
			return
		}
		list, err := a.receiptsIn(ctx, rel)
		for _, i := range list {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, internal("list", path.Join(receiptsDir, rel), err))
		}
	}
}

func (a *area) receiptsIn(ctx context.Context, rel string) ([]*Info, error) {
	var list []*Info
	for i, err := range a.tree.store.Records(ctx, a.key(rel)) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return list, err
		}
		if i.Dir {
			list = append(list, &Info{name: i.Key.Base(), mode: modeReadDir, time: a.tree.cfg.Now()})
		}
		for _, name := range receiptNames(i) {
			doc, filed, err := a.resolveReceipt(ctx, path.Join(rel, name))
			if err == nil {
				list = append(list, &Info{name: name, size: int64(len(doc)), mode: modeReadOnly, time: filed})
			}
		}
	}
	slices.SortFunc(list, func(a, b *Info) int { return cmp.Compare(a.name, b.name) })
	return list, nil
}

// receiptNames are the names that the documents of one key are read under.
func receiptNames(i store.RecordInfo) []string {
	_, accepted := i.Docs[acceptedDoc]
	_, refused := i.Docs[refusedDoc]
	var names []string
	if accepted || refused {
		names = append(names, i.Key.Base()+receiptExt)
	}
	if accepted && refused {
		names = append(names, i.Key.Base()+refusedExt)
	}
	return names
}

// merge puts infos, sorted by name, in between what seq yields sorted; of two of
// one name the info wins.
func merge(seq iter.Seq2[fs.FileInfo, error], infos []*Info) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		for i, err := range seq {
			if err != nil {
				yield(nil, err)
				return
			}
			for len(infos) > 0 && infos[0].name < i.Name() {
				if !yield(infos[0], nil) {
					return
				}
				infos = infos[1:]
			}
			if len(infos) > 0 && infos[0].name == i.Name() {
				continue
			}
			if !yield(i, nil) {
				return
			}
		}
		for _, i := range infos {
			if !yield(i, nil) {
				return
			}
		}
	}
}

func insertInfo(list []*Info, i *Info) []*Info {
	at, _ := slices.BinarySearchFunc(list, i, func(a, b *Info) int { return cmp.Compare(a.name, b.name) })
	return slices.Insert(list, at, i)
}
