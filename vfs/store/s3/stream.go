package s3

import (
	"context"
	"fmt"
	"io"
)

// stream makes an object of what write writes, whatever its size, in memory of one
// part. It replaces what is there, as a whole, when write returns nil.
func (s *Store) stream(ctx context.Context, key string, write func(io.Writer) error) error {
	w := &streamWriter{ctx: ctx, s: s, key: key, sched: schedules[s.opts.schedule]}
	defer w.free()
	if err := write(w); err != nil {
		w.abort()
		return err
	}
	return w.finish()
}

// streamWriter sends part after part.
type streamWriter struct {
	ctx      context.Context
	s        *Store
	key      string
	sched    schedule
	fill     *part
	uploadID string
	parts    []partRef
	failed   error
}

// Write implements io.Writer.
func (w *streamWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) && w.failed == nil {
		if w.fill == nil {
			number := len(w.parts) + 1
			w.fill = newPart(w.s.memory, w.s.opts.Spool, number, w.sched.size(number))
		}
		n, err := w.fill.Write(p[done:min(int64(len(p)), int64(done)+w.fill.room())])
		done += n
		if err == nil && w.fill.room() == 0 {
			err = w.send()
		}
		w.failed = err
	}
	return done, w.failed
}

func (w *streamWriter) send() (err error) {
	if w.uploadID == "" {
		if w.uploadID, err = w.s.begin(w.ctx, w.key, ""); err != nil {
			return err
		}
	}
	ref, err := w.s.send(w.ctx, w.key, w.uploadID, w.fill.number, w.fill.body())
	w.parts = append(w.parts, ref)
	w.free()
	return err
}

func (w *streamWriter) finish() error {
	if w.failed != nil {
		w.abort()
		return w.failed
	}
	if w.uploadID == "" {
		b := bytesBody(nil)
		if w.fill != nil {
			b = w.fill.body()
		}
		_, err := w.s.put(w.ctx, w.key, b, always, nil)
		return err
	}
	var err error
	if w.fill != nil {
		err = w.send()
	}
	if err == nil {
		err = w.s.replace(w.ctx, w.key, w.uploadID, w.parts)
	}
	if err != nil {
		w.abort()
		return fmt.Errorf("publish %s: %w", w.key, err)
	}
	return nil
}

func (w *streamWriter) free() {
	if w.fill != nil {
		w.fill.free()
		w.fill = nil
	}
}

func (w *streamWriter) abort() {
	if w.uploadID != "" {
		w.s.abort(context.WithoutCancel(w.ctx), w.key, w.uploadID)
	}
}
