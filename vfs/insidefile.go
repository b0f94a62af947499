package vfs

import (
	"context"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
)

// open opens a file for reading.
func (w *within) open(ctx context.Context, sub string) (File, error) {
	r, err := w.acquire(ctx)
	if err != nil {
		return nil, err
	}
	f := &insideFile{within: w, ctx: ctx, sub: sub, reader: r}
	if err := f.reopen(); err != nil && (!w.damaged(r, err) || f.renew() != nil) {
		w.area.tree.readers.release(f.reader)
		return nil, w.explained(err)
	}
	return f, nil
}

// insideFile is a file of a bundle, open for reading.
type insideFile struct {
	*within
	ctx  context.Context // of the session: a renewed index may take long
	sub  string
	read atomic.Int64

	mu     sync.RWMutex // guards reader and file; held for writing while they are renewed
	reader *reader
	file   fs.File
}

// reopen opens the file with the reader at hand.
func (f *insideFile) reopen() (err error) {
	f.file, err = Contents{f.reader.Reader}.Open(f.sub)
	return err
}

// renew goes on with a new index.
func (f *insideFile) renew() error {
	r, err := f.acquire(f.ctx)
	if err != nil {
		return err
	}
	if f.file != nil {
		f.file.Close()
	}
	f.area.tree.readers.release(f.reader)
	f.reader, f.file = r, nil
	return f.reopen()
}

// ReadAt implements io.ReaderAt and counts what it hands out.
func (f *insideFile) ReadAt(p []byte, off int64) (n int, err error) {
	n, r, err := f.readAt(p, off)
	if f.damaged(r, err) {
		if err = f.renewed(r); err == nil {
			n, _, err = f.readAt(p, off)
		}
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	return n, f.explained(err)
}

// renewed goes on with a new index instead of r's, unless somebody did already.
func (f *insideFile) renewed(r *reader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != r {
		return nil
	}
	return f.renew()
}

func (f *insideFile) readAt(p []byte, off int64) (int, *reader, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, ok := f.file.(io.ReaderAt)
	if !ok {
		return 0, f.reader, fs.ErrClosed
	}
	n, err := at.ReadAt(p, off)
	f.read.Add(int64(n))
	return n, f.reader, err
}

// Stat describes the file.
func (f *insideFile) Stat() (fs.FileInfo, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.file == nil {
		return nil, fs.ErrClosed
	}
	i, err := f.file.Stat()
	if err != nil {
		return nil, f.explained(err)
	}
	return insideInfo(i, path.Base(f.sub)), nil
}

// Close reports what was read.
func (f *insideFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader == nil {
		return nil
	}
	v := f.view
	v.tree.cfg.Events.read(v.peer, v.account.Name, path.Join(string(f.area.tenant), f.name+insideSuffix, f.sub), f.read.Load())
	if f.file != nil {
		f.file.Close()
	}
	f.area.tree.readers.release(f.reader)
	f.reader, f.file = nil, nil
	return nil
}
