package disk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"bundleup/vfs/store"
)

// A seal has three stages:
//
//  1. prepare: data, documents and at last the intent become durable in the
//     upload's directory. A failure leaves the upload as it was.
//  2. link: room is made for everything under its final names and the data is
//     linked to its key, the one step that decides who owns the key. A failure
//     takes the intent back.
//  3. finish: the link becomes durable, the documents take their places, the
//     upload's directory goes. From here on there is only forward, by Seal
//     again, by Resume or by the next Open.
//
// Stages 2 and 3 read nothing but the intent and the disk, and each of their
// steps may be repeated: recovery runs the same code. The key is claimed all
// the time and hidden while it is neither free nor sealed, so what others see
// changes once, at the end.

// intent is what a seal is about to do.
type intent struct {
	Key  store.Key `json:"key"`
	Docs []string  `json:"docs"`

	dir string // the upload's
	id  store.ID
}

func (in *intent) data() string              { return in.dir + "/" + dataName }
func (in *intent) bundle() string            { return bundlesDir + "/" + string(in.Key) }
func (in *intent) records() string           { return recordsDir + "/" + string(in.Key) }
func (in *intent) staged(doc string) string  { return in.dir + "/" + docPrefix + doc }
func (in *intent) waiting(doc string) string { return in.records() + "/." + string(in.id) + "." + doc }

// Seal implements store.Writer.
func (w *writer) Seal(ctx context.Context, key store.Key, meta store.Meta) error {
	w.settle()
	err := w.ready(ctx)
	if err == nil {
		err = w.full
	}
	if err == nil {
		err = store.CheckSeal(key, meta)
	}
	if err == nil {
		err = w.seal(ctx, key, meta)
	}
	if errors.Is(err, store.ErrExist) {
		err = errors.Join(err, w.s.awaitSeal(ctx, key))
	}
	return w.wrap("seal", err)
}

func (w *writer) seal(ctx context.Context, key store.Key, meta store.Meta) error {
	if w.up.half {
		if done, err := w.again(key); done {
			return err
		}
	}
	if err := w.s.claim(ctx, key); err != nil {
		return err
	}
	in := &intent{Key: key, Docs: w.documents(meta), dir: w.dir, id: w.id}
	err := w.prepare(in, meta)
	if err == nil {
		err = w.s.complete(in)
	}
	return w.settled(in, err)
}

// documents are the names of what is to be published: those of the documents,
// and the aside's if there is one by now.
func (w *writer) documents(meta store.Meta) []string {
	docs := slices.Sorted(maps.Keys(meta.Docs))
	if meta.Aside == "" || slices.Contains(docs, meta.Aside) {
		return docs
	}
	w.syncAside()
	if w.AsideSize() > 0 {
		docs = append(docs, meta.Aside)
	}
	return docs
}

// again concludes a seal that failed halfway, with the documents of that first
// try. It is not done if there is nothing to conclude any more.
func (w *writer) again(key store.Key) (done bool, err error) {
	if w.up.key != key {
		return true, fmt.Errorf("as %s: %w", w.up.key, errHalf)
	}
	in, err := w.s.halfIntent(w.dir, w.id)
	if err != nil {
		return true, err
	}
	if in == nil {
		w.s.release(w.up, key)
		return false, nil
	}
	return true, w.settled(in, w.s.conclude(in))
}

// halfIntent reads the intent of a seal that failed halfway. It is nil if only
// making its removal durable had failed.
func (s *Store) halfIntent(dir string, id store.ID) (*intent, error) {
	in, err := s.readIntent(dir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.files.SyncDir(dir)
	}
	return in, err
}

// settled draws the consequences of a seal's outcome.
func (w *writer) settled(in *intent, err error) error {
	if errors.Is(err, errHalf) {
		w.s.setHalf(w.up, in.Key)
		return err
	}
	if err == nil {
		w.end()
		w.s.forget(w.id)
	}
	w.s.release(w.up, in.Key)
	return err
}

// prepare is the first stage.
func (w *writer) prepare(in *intent, meta store.Meta) error {
	if err := w.s.wantFree(in); err != nil {
		return err
	}
	w.s.hide(in.Key)
	if err := w.stage(in, meta); err != nil {
		w.s.unstage(in)
		return err
	}
	return w.intend(in)
}

// stage makes the data and the documents durable in the upload's directory.
func (w *writer) stage(in *intent, meta store.Meta) error {
	mtime := meta.ModTime
	if mtime.IsZero() {
		mtime = w.s.now()
	}
	if err := w.s.files.Chtimes(in.data(), mtime); err != nil {
		return err
	}
	if err := w.sync(w.f.Sync); err != nil {
		return err
	}
	for _, doc := range in.Docs {
		if err := w.stageDoc(in, doc, meta); err != nil {
			return err
		}
	}
	if err := w.anchor(); err != nil {
		return err
	}
	return w.s.files.SyncDir(w.dir)
}

func (w *writer) stageDoc(in *intent, doc string, meta store.Meta) error {
	if data, ok := meta.Docs[doc]; ok {
		return w.s.writeFile(in.staged(doc), data)
	}
	return w.stageAside(in, doc)
}

// unstage gives the room of the staged documents back; Open does it otherwise.
func (s *Store) unstage(in *intent) {
	for _, doc := range in.Docs {
		s.files.Remove(in.staged(doc))
	}
}

// wantFree says ErrExist if the key or a document's name is taken, by an
// object or by a directory. For documents to be replaced is fine: a refusal
// may have left some.
func (s *Store) wantFree(in *intent) error {
	_, err := s.files.Lstat(in.bundle())
	if err == nil || isNotDir(err) {
		return fmt.Errorf("%s: %w", in.Key, store.ErrExist)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, doc := range in.Docs {
		fi, err := s.files.Lstat(in.records() + "/" + doc)
		switch {
		case isNotDir(err), err == nil && !fi.Mode().IsRegular():
			return fmt.Errorf("records of %s: %w", in.Key, store.ErrExist)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// intend makes the intent durable.
func (w *writer) intend(in *intent) error {
	payload, err := json.Marshal(in)
	if err != nil {
		return err
	}
	name := w.dir + "/" + intentName
	if err := w.s.replace(name, name+".tmp", encodeFrame(intentMagic, w.off, payload)); err != nil {
		return w.s.rollBack(in, err)
	}
	return nil
}

// complete is the second and the third stage. An error is errHalf if the seal
// must go forward, else the intent has been taken back.
func (s *Store) complete(in *intent) error {
	linked, err := s.forward(in)
	if err != nil && !linked {
		return s.rollBack(in, err)
	}
	return half(err)
}

// conclude is complete for a seal that was cut short: it is rolled back only
// if another object has its key. Whatever else fails may succeed next time, and
// without a saved state a roll-back would lose the bytes.
func (s *Store) conclude(in *intent) error {
	linked, err := s.forward(in)
	if errors.Is(err, store.ErrExist) && !linked {
		return s.rollBack(in, err)
	}
	return half(err)
}

// half marks an error after which the seal must go forward.
func half(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errHalf, err)
}

func (s *Store) forward(in *intent) (linked bool, err error) {
	linked, err = s.link(in)
	if err == nil {
		err = s.finish(in)
	}
	return linked, err
}

// link is the second stage. Data that is missing was sealed before: only the
// clearing away was cut short.
func (s *Store) link(in *intent) (linked bool, err error) {
	data, err := s.files.Lstat(in.data())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if linked, err := s.isLinked(in, data); linked || err != nil {
		return linked, err
	}
	if err := s.makeDirs(parent(in.bundle())); err != nil {
		return false, err
	}
	if err := s.makeRoom(in); err != nil {
		return false, err
	}
	err = s.files.Link(in.data(), in.bundle())
	if err == nil {
		return true, nil
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s: %w", in.Key, store.ErrExist)
	}
	// A failing disk may have linked and failed then. If it does not even
	// tell, the seal must not be taken back.
	linked, unknown := s.isLinked(in, data)
	return linked || unknown != nil, err
}

// isLinked says whether the key has the upload's data.
func (s *Store) isLinked(in *intent, data fs.FileInfo) (bool, error) {
	fi, err := s.files.Lstat(in.bundle())
	if isMissing(err) {
		return false, nil
	}
	return err == nil && s.files.SameFile(fi, data), err
}

// rollBack takes an intent back after cause and returns cause; errHalf if it
// cannot.
func (s *Store) rollBack(in *intent, cause error) error {
	if err := s.takeBack(in); err != nil {
		return fmt.Errorf("%w: %w: %w", errHalf, cause, err)
	}
	return cause
}

func (s *Store) takeBack(in *intent) error {
	if err := s.leaveRoom(in); err != nil {
		return err
	}
	s.prune(in.records())
	if err := removed(s.files.Remove(in.dir + "/" + intentName)); err != nil {
		return err
	}
	if err := s.files.SyncDir(in.dir); err != nil {
		return err
	}
	s.unstage(in)
	return nil
}
