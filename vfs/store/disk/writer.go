package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"bundleup/vfs/store"
)

// The files of an upload's directory; staged documents are beside them.
const (
	dataName   = "data"
	nameName   = "name"
	stateName  = "state"
	intentName = "intent"
	docPrefix  = "doc."
)

// Bytes are pushed to the disk a window at a time; a Write waits only for the
// window that lies so many behind. So at most (behind+1)*window bytes are left
// for a sync, and a disk slower than the network slows the peer down early
// instead of at its close, where clients have little patience.
const (
	window = 8 << 20
	behind = 4
)

// errHalf says that a seal got past the point of no return and then failed.
// The object is there; Seal under the same key, Resume or Open completes it.
var errHalf = errors.New("a seal must be completed first")

// writer implements store.Writer.
type writer struct {
	s   *Store
	id  store.ID
	up  *upload
	dir string // uploads/TENANT/ID
	f   file

	aside aside

	name     store.Key
	off      int64 // bytes written
	pushed   int64 // start of the first window not pushed yet
	saved    bool  // a state is on the disk
	reserved bool  // the reserve was made, or tried
	anchored bool  // the names of the directory, data and name are durable
	beside   *beside
	kept     int64 // what the last save beside made durable
	late     error // why it failed, until that was told
	failed   error // sticky: the data's bytes can no longer be trusted
	full     error // sticky: no room for more, but what was taken can be saved
	closed   bool
}

// Create implements store.Store. Nothing is durable before the first Save.
func (s *Store) Create(ctx context.Context, id store.ID, name store.Key) (store.Writer, error) {
	w, err := s.create(ctx, id, name)
	if err != nil {
		return nil, fmt.Errorf("create upload %s: %w", id, mark(err))
	}
	return w, nil
}

func (s *Store) create(ctx context.Context, id store.ID, name store.Key) (*writer, error) {
	if err := cmp.Or(ctx.Err(), id.Check(), name.Check()); err != nil {
		return nil, err
	}
	if name == "" {
		return nil, errors.New("name is the root")
	}
	tenant := tenantOf(name)
	w := &writer{s: s, id: id, name: name, up: &upload{tenant: tenant, open: true}}
	w.dir = uploadDir(tenant, id)
	if !s.register(id, w.up) {
		return nil, fs.ErrExist
	}
	if err := w.make(); err != nil {
		s.forget(id)
		return nil, err
	}
	return w, nil
}

func (w *writer) make() error {
	if err := w.s.makeDirs(parent(w.dir)); err != nil {
		return err
	}
	if err := w.s.files.Mkdir(w.dir); err != nil {
		return err
	}
	f, err := w.s.files.OpenFile(w.dir+"/"+dataName, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND)
	if err != nil {
		w.s.files.Remove(w.dir)
		return err
	}
	// Another process looks at uploads that have a state, and this one has none.
	if err := f.Lock(); err != nil {
		return errors.Join(err, f.Close(), w.s.removeDir(w.dir))
	}
	w.setData(f)
	return nil
}

// setData makes f the writer's data.
func (w *writer) setData(f file) {
	w.f = f
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.up.data = f
}

// tenantOf is the first component of a key.
func tenantOf(key store.Key) string {
	tenant, _, _ := strings.Cut(string(key), "/")
	return tenant
}

func uploadDir(tenant string, id store.ID) string {
	return uploadsDir + "/" + tenant + "/" + string(id)
}

func (s *Store) register(id store.ID, u *upload) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads[id] != nil {
		return false
	}
	s.uploads[id] = u
	return true
}

func (s *Store) forget(id store.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, id)
}

// ready says whether the upload can still be written, saved or sealed.
func (w *writer) ready(ctx context.Context) error {
	switch {
	case w.closed:
		return fs.ErrClosed
	case w.failed != nil:
		return w.failed
	}
	return ctx.Err()
}

// wrap names the operation and the upload.
func (w *writer) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s upload %s: %w", op, w.id, mark(err))
}

// Write implements store.Writer.
func (w *writer) Write(p []byte) (int, error) {
	w.look()
	err := w.mayGoOn()
	if err == nil {
		err = w.full
	}
	if err == nil {
		err = w.takeLate()
	}
	if err != nil {
		return 0, w.wrap("write", err)
	}
	n, err := w.f.Write(p)
	w.off += int64(n)
	switch {
	case err == nil:
		w.failed = w.push()
		err = w.failed
	case isFull(err):
		w.full = err
	default:
		w.failed = err
	}
	return n, w.wrap("write", err)
}

// mayGoOn says whether the upload can still be written or saved.
func (w *writer) mayGoOn() error {
	if err := w.ready(context.Background()); err != nil {
		return err
	}
	if w.up.half {
		return errHalf
	}
	return nil
}

// push starts the write-back of every full window.
func (w *writer) push() error {
	for ; w.off-w.pushed >= window; w.pushed += window {
		w.keepRoom()
		if err := w.f.Flush(w.pushed, window, false); err != nil {
			return err
		}
		if late := w.pushed - behind*window; late >= 0 {
			if err := w.f.Flush(late, window, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// sync makes the data durable. The kernel tells a failed write-back once and
// then takes the pages for clean, so a failure must not be tried again.
func (w *writer) sync(sync func() error) error {
	w.failed = sync()
	return w.failed
}

// anchor makes the upload's name, and the names of its directory and its data,
// durable, once.
func (w *writer) anchor() error {
	if w.anchored {
		return nil
	}
	if err := w.s.writeFile(w.dir+"/"+nameName, []byte(w.name)); err != nil {
		return err
	}
	if err := w.s.files.SyncDir(w.dir); err != nil {
		return err
	}
	if err := w.s.files.SyncDir(parent(w.dir)); err != nil {
		return err
	}
	w.anchored = true
	return nil
}

// Save implements store.Writer. If writing the state fails, the one before it
// holds and Save may be tried again.
func (w *writer) Save(ctx context.Context, state []byte) error {
	w.settle()
	err := w.ready(ctx)
	if err == nil && w.up.half {
		err = errHalf
	}
	if err == nil {
		err = w.save(state)
	}
	return w.wrap("save", err)
}

func (w *writer) save(state []byte) error {
	if err := w.sync(w.f.SyncData); err != nil {
		return err
	}
	err := w.keep(state)
	if err != nil && isFull(err) && w.giveRoom() {
		err = w.keep(state)
	}
	return err
}

// keep makes state durable behind the data that is.
func (w *writer) keep(state []byte) error {
	if err := w.anchor(); err != nil {
		return err
	}
	w.syncAside()
	w.saved = true // perhaps, if replace fails: Discard must reckon with it
	name := w.dir + "/" + stateName
	return w.s.replace(name, name+".tmp", encodeState(w.off, w.AsideSize(), state))
}

// Discard implements store.Writer. It fails while a half-done seal stands.
func (w *writer) Discard(ctx context.Context) error {
	w.settle()
	if w.closed {
		return w.wrap("discard", fs.ErrClosed)
	}
	err := ctx.Err()
	if err == nil && w.up.half {
		err = errHalf
	}
	if err == nil {
		err = w.remove()
	}
	return w.wrap("discard", err)
}

// remove forgets the upload. Its state goes first, durably: without one Open
// takes what is left for litter.
func (w *writer) remove() error {
	err := removed(w.s.files.Remove(w.dir + "/" + stateName))
	if err == nil && w.saved {
		err = w.s.files.SyncDir(w.dir)
	}
	if err != nil {
		return err
	}
	w.end()
	w.s.forget(w.id)
	return w.s.removeDir(w.dir)
}

// Close implements store.Writer.
func (w *writer) Close() error {
	w.settle()
	if w.closed {
		return nil
	}
	if !w.saved && !w.up.half {
		return w.wrap("close", w.remove())
	}
	err := w.end()
	w.s.mu.Lock()
	w.up.open, w.up.data = false, nil
	w.s.mu.Unlock()
	return w.wrap("close", err)
}

// end closes the files; the writer is of no use any more.
func (w *writer) end() error {
	w.closed = true
	w.closeAside()
	return w.f.Close()
}

// removeDir removes a directory of files, such as an upload's.
func (s *Store) removeDir(dir string) error {
	entries, err := s.files.ReadDir(dir)
	if err != nil {
		return removed(err)
	}
	for _, e := range entries {
		if err := removed(s.files.Remove(dir + "/" + e.Name())); err != nil {
			return err
		}
	}
	return removed(s.files.Remove(dir))
}
