package sftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"testing"
	"testing/fstest"
)

// script is a channel whose peer sends what is in it and ends.
type script struct {
	io.Reader
	replies bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.replies.Write(p) }
func (s *script) Close() error                { return nil }

// FuzzFrames sends anything to a whole session. It must end, each reply must be
// a whole frame, and no upload that is not closed may be committed.
func FuzzFrames(f *testing.F) {
	hello := newFrame(typeInit, 3).done()
	join := func(frames ...frame) []byte {
		b := bytes.Clone(hello)
		for _, f := range frames {
			b = append(b, f.done()...)
		}
		return b
	}
	f.Add(join())
	f.Add(join(openFrame(1, "/x.tgz", flagsPut), pathFrame(typeStat, 9, "/"), writeFrame(2, "1", 0, "abc"), pathFrame(typeClose, 3, "1")))
	f.Add(join(openFrame(1, "/x.tgz", flagsAppend), pathFrame(typeMkdir, 9, "/d").uint32(0), writeFrame(2, "1", 3, "abc"), writeFrame(2, "1", 0, "abc")))
	f.Add(join(openFrame(1, "/f", openRead), pathFrame(typeFstat, 9, "1"), readFrame(2, "1", 0, 10), readFrame(3, "1", 1, 1<<31), readFrame(4, "1", 1<<63, 1)))
	f.Add(join(pathFrame(typeOpendir, 1, "/"), pathFrame(typeReaddir, 2, "1"), pathFrame(typeReaddir, 2, "1"), pathFrame(typeClose, 3, "1")))
	f.Add(join(pathFrame(typeSetstat, 1, "/x.tgz").uint32(0xf).uint64(1).uint64(1).uint32(1).uint64(1), pathFrame(typeRename, 1, "/a").string("/b")))
	f.Add(join(newFrame(typeExtended, 1).string(extLimits), newFrame(typeExtended, 1).string(extFsync).string("1"), newFrame(typeExtended, 1).string(extRename).string("a").string("b")))
	f.Fuzz(func(t *testing.T, sent []byte) {
		view := newFakeView()
		view.files = fstest.MapFS{"f": {Data: []byte("data")}}
		ch := &script{Reader: bytes.NewReader(sent)}
		s := newSession(context.Background(), view, io.Discard, slog.New(slog.DiscardHandler))
		s.create = view.create
		if err := s.serve(ch, Options{MaxHandles: 4}); err == errGaveUp || err == errReplies {
			t.Error(err)
		}
		if s.ahead.left != maxAhead {
			t.Errorf("%d bytes of the budget are lost", maxAhead-s.ahead.left)
		}
		for name, u := range view.uploads {
			if u.end != "commit" && u.end != "suspend" {
				t.Errorf("upload %q ended with %q", name, u.end)
			}
		}
		for b := ch.replies.Bytes(); len(b) > 0; {
			if len(b) < 9 || int64(len(b)) < 4+int64(binary.BigEndian.Uint32(b)) {
				t.Fatalf("%d bytes of a reply", len(b))
			}
			b = b[4+binary.BigEndian.Uint32(b):]
		}
	})
}
