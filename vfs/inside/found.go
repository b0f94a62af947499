package inside

import (
	"errors"
	"fmt"

	"bundleup/vfs"
	"bundleup/vfs/bundle"
)

// hold keeps what was found until it is the job's turn to write, but not too much.
func (s *searcher) hold(what found, text []byte) {
	if what.match && (s.count || s.list) {
		text = nil
	}
	what.length = len(text)
	s.held = append(s.held, what)
	s.text = append(s.text, text...)
	if len(s.text)+64*len(s.held) < maxHeld {
		return
	}
	if !s.inTurn {
		<-s.workers // nobody waits with a core
		<-s.job.turn
		s.workers <- struct{}{}
		s.inTurn = true
	}
	s.flush()
}

// write waits for the turn and writes all that is held.
func (s *searcher) write() {
	if !s.inTurn {
		<-s.workers
		<-s.job.turn
		s.inTurn = true
		defer func() { s.workers <- struct{}{} }()
	}
	s.flush()
}

// flush writes what is held.
func (s *searcher) flush() {
	at := 0
	for _, w := range s.held {
		text := s.text[at : at+w.length]
		at += w.length
		switch {
		case w.binary:
			w.f.binary = !s.grep.text
		case w.end:
			s.ended(w)
		default:
			s.matched(w, text)
		}
	}
	s.held, s.text = s.held[:0], s.text[:0]
}

// matched writes a line that matches.
func (s *searcher) matched(w found, text []byte) {
	f := w.f
	if f.isDead() || s.ctx.Err() != nil {
		return
	}
	f.matches++
	s.found()
	switch {
	case s.count || s.list && f.shown:
	case s.list:
		f.shown = true
		s.out.printf("%s\n", f.name)
	case f.binary && !f.shown:
		f.shown = true
		s.out.printf("Binary file %s matches\n", f.name)
	case !f.binary:
		if s.named {
			s.out.printf("%s:", f.name)
		}
		if s.number {
			s.out.printf("%d:", f.lines+w.line+1)
		}
		if s.offset {
			s.out.printf("%d:", w.at)
		}
		s.out.Write(text)
		s.out.Write(newline)
	}
}

// ended is the end of a piece and, perhaps, of its file.
func (s *searcher) ended(w found) {
	f := w.f
	f.lines += w.line
	if s.count && s.job.ends(f) && !f.isDead() {
		if s.named {
			s.out.printf("%s:", f.name)
		}
		s.out.printf("%d\n", f.matches)
	}
}

// ends says that the job has the last piece of f.
func (j *job) ends(f *searched) bool {
	for _, p := range j.pieces {
		if p.f == f && p.to == f.end {
			return true
		}
	}
	return false
}

// isDead says that f is not what unpacking leaves under its name. It costs a look into
// the index and is asked for when it matters.
func (f *searched) isDead() bool {
	if !f.judged {
		f.judged, f.dead = true, !f.alive()
	}
	return f.dead
}

func (g *grep) found() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hit = true
}

// explained words what a Reader says of a damaged bundle.
func explained(err error) error {
	var damage *bundle.DamageError
	var ours *vfs.Error
	if errors.As(err, &damage) && !errors.As(err, &ours) {
		return &vfs.Error{Kind: vfs.Internal, Op: "read", Err: err,
			Text: fmt.Sprintf("the stored bundle is damaged at byte %d of its contents: tell whoever runs this server", damage.Offset)}
	}
	return err
}
