package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"
)

// PutRecord implements Recorder.
func (m *Memory) PutRecord(ctx context.Context, key Key, name string, doc []byte) error {
	return m.doRecord(ctx, OpPutRecord, key, name, func() error {
		m.putDoc(key, name, doc, m.Now())
		return nil
	})
}

// Record implements Recorder.
func (m *Memory) Record(ctx context.Context, key Key, name string) (doc []byte, err error) {
	err = m.doRecord(ctx, OpRecord, key, name, func() error {
		d, ok := m.records[key][name]
		if !ok {
			return fs.ErrNotExist
		}
		doc = slices.Clone(d.data)
		return nil
	})
	return doc, err
}

// OpenRecord implements LargeRecorder.
func (m *Memory) OpenRecord(ctx context.Context, key Key, name string) (Object, error) {
	var r *memReader
	err := m.doRecord(ctx, OpOpenRecord, key, name, func() error {
		d, ok := m.records[key][name]
		if !ok {
			return fs.ErrNotExist
		}
		r = &memReader{bytes.NewReader(d.data), Info{Key: key, Size: int64(len(d.data)), ModTime: d.mtime}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// StreamRecord implements LargeRecorder. The hooks run around the replacement,
// after write.
func (m *Memory) StreamRecord(ctx context.Context, key Key, name string, write func(io.Writer) error) error {
	var doc bytes.Buffer
	if err := write(&doc); err != nil {
		return fmt.Errorf("%s %s: %w", OpStreamRecord, key.Join(name), err)
	}
	return m.doRecord(ctx, OpStreamRecord, key, name, func() error {
		m.putDoc(key, name, doc.Bytes(), m.Now())
		return nil
	})
}

// RemoveRecord implements Recorder.
func (m *Memory) RemoveRecord(ctx context.Context, key Key, name string) error {
	return m.doRecord(ctx, OpRemoveRecord, key, name, func() error {
		if _, ok := m.records[key][name]; !ok {
			return fs.ErrNotExist
		}
		delete(m.records[key], name)
		if len(m.records[key]) == 0 {
			delete(m.records, key)
		}
		return nil
	})
}

func (m *Memory) doRecord(ctx context.Context, op Op, key Key, name string, f func() error) error {
	return m.do(ctx, op, string(key.Join(name)), func() error {
		if err := CheckRecord(key, name); err != nil {
			return err
		}
		return f()
	})
}

// CheckRecord reports why no medium can keep a document name at key, or nil.
func CheckRecord(key Key, name string) error {
	if err := key.CheckObject(); err != nil {
		return err
	}
	return CheckDoc(name)
}

// Records implements Recorder.
func (m *Memory) Records(ctx context.Context, dir Key) iter.Seq2[RecordInfo, error] {
	return func(yield func(RecordInfo, error) bool) {
		var infos []RecordInfo
		err := m.do(ctx, OpRecords, string(dir), func() (err error) {
			infos, err = m.recordChildren(dir)
			return err
		})
		yieldAll(ctx, infos, err, yield)
	}
}

func (m *Memory) recordChildren(dir Key) ([]RecordInfo, error) {
	if err := dir.Check(); err != nil {
		return nil, err
	}
	found := map[Key]RecordInfo{}
	for key, docs := range m.records {
		child, deeper, ok := childOf(dir, key)
		if !ok {
			continue
		}
		info := found[child]
		info.Key = child
		if deeper {
			info.Dir = true
		} else {
			info.Docs = docTimes(docs)
		}
		found[child] = info
	}
	return sortedRecords(found), nil
}

// childOf finds the child of dir on the way to key; deeper says that key lies
// below that child.
func childOf(dir, key Key) (child Key, deeper, ok bool) {
	rest := string(key)
	if dir != "" {
		rest, ok = strings.CutPrefix(rest, string(dir)+"/")
		if !ok {
			return "", false, false
		}
	}
	first, _, deeper := strings.Cut(rest, "/")
	return dir.Join(first), deeper, true
}

func docTimes(docs map[string]memDoc) map[string]time.Time {
	times := make(map[string]time.Time, len(docs))
	for name, d := range docs {
		times[name] = d.mtime
	}
	return times
}

func sortedRecords(found map[Key]RecordInfo) []RecordInfo {
	infos := make([]RecordInfo, 0, len(found))
	for _, info := range found {
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b RecordInfo) int {
		return strings.Compare(string(a.Key), string(b.Key))
	})
	return infos
}
