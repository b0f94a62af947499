package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// emulation checks the conditions of puts itself. It is atomic within one process
// only: it is for a storage that ignores conditions and that no other daemon uses.
type emulation struct{ mu sync.Mutex }

func (e *emulation) put(ctx context.Context, c *client, key string, b body, cond condition, meta map[string]string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h, err := c.head(ctx, key)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return "", err
	case cond.absent != missing, !missing && h.etag != cond.etag:
		return "", fmt.Errorf("put %s: %w", key, errConflict)
	}
	return c.putObject(ctx, key, b, always, meta)
}
