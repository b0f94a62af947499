package inside

import (
	"bytes"
	"io"

	"bundleup/vfs/bundle"
)

const (
	// maxLine is how far a line may go on behind the span that it begins in, in
	// bytes. Of what is longer the parts are lines of their own.
	maxLine = 1 << 20
	// window is how much of a file is searched at once, in bytes.
	window = 2 << 20
	// maxHeld is how much a worker has found, in bytes, before it waits for its turn
	// to write.
	maxHeld = 1 << 20
	// binaryHead is where a NUL makes a file binary, in bytes from its beginning;
	// grep looks at its first buffer of the same size.
	binaryHead = 32 << 10
)

// job is a part of the search that one worker does: pieces that lie behind each other
// in what it reads.
type job struct {
	name   string // for an error
	pieces []piece
	reader *bundle.Reader                // read its stream, from the first piece on, or
	open   func() (io.ReadCloser, error) // open this
	then   func()                        // is called in the job's turn

	turn <-chan struct{} // closed when the job before is written
	done chan struct{}   // closed when this one is
}

// piece is a part [from, to) of a file. Lines belong to the piece that they begin in;
// one that begins at to still belongs to it, because only it can see that.
type piece struct {
	f        *searched
	from, to int64
}

// searched is a file that is searched. The offsets are those of what the job reads.
type searched struct {
	name       string
	start, end int64
	sparse     bool
	alive      func() bool // it is not replaced by a later one of its name

	// In the turn of the jobs that have a piece of it:
	lines   int64 // newlines so far
	matches int64
	binary  bool
	shown   bool // that a binary file matches
	judged  bool
	dead    bool
}

// searcher is one worker's state.
type searcher struct {
	*grep
	pattern *matcher
	buf     []byte
	job     *job
	inTurn  bool

	held  []found // not written yet
	text  []byte  // their lines
	piece piece
	lines int64 // newlines before buf in the piece
	start int64 // of buf in the file
}

// found is one matching line, or the end of a piece.
type found struct {
	f      *searched
	line   int64 // newlines before it in its piece
	at     int64 // where it begins in the file
	length int   // of its text
	match  bool
	binary bool
	end    bool // of the piece, which has line newlines
}

// work does jobs until there are no more. A core is taken before a job is, so that
// who has the oldest job has a core, and given back before anything is waited for.
func (g *grep) work() {
	s := &searcher{grep: g, pattern: g.pattern.clone(), buf: make([]byte, window)}
	for {
		g.workers <- struct{}{}
		j, ok := <-g.jobs
		if ok {
			s.do(j)
		}
		<-g.workers
		if !ok {
			return
		}
	}
}

// do searches one job and writes what it found when it is its turn.
func (s *searcher) do(j *job) {
	s.job, s.inTurn = j, false
	err := s.read(j)
	s.write()
	if err != nil && s.ctx.Err() == nil {
		s.complain(j.name, explained(err))
	}
	if j.then != nil {
		j.then()
	}
	close(j.done)
}

// read goes through the pieces.
func (s *searcher) read(j *job) error {
	if j.open == nil && j.reader == nil || s.ctx.Err() != nil {
		return nil
	}
	in, err := j.source()
	if err != nil {
		return err
	}
	defer in.Close()
	at := j.pieces[0].from
	for _, p := range j.pieces {
		if _, err := io.CopyN(io.Discard, in, p.from-at); err != nil {
			return err
		}
		if at, err = s.search(in, p); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) source() (io.ReadCloser, error) {
	if j.open != nil {
		return j.open()
	}
	last := j.pieces[len(j.pieces)-1]
	return j.reader.Stream(j.pieces[0].from, min(last.f.end, last.to+maxLine)), nil
}

// search goes through one piece and says where it stopped reading.
func (s *searcher) search(in io.Reader, p piece) (at int64, err error) {
	s.piece, s.lines = p, 0
	at = p.from
	skip := p.from > p.f.start // the line that is under way belongs to the piece before
	stop := min(p.f.end, p.to+maxLine)
	n, to := 0, p.to // buf[:n] is what was read and not searched; to is where to stop
	for at < to && s.ctx.Err() == nil {
		got, err := io.ReadFull(in, s.buf[n:n+int(min(int64(len(s.buf)-n), s.ahead(at, to, p.to)))])
		if at == p.f.start && bytes.IndexByte(s.buf[:min(got, binaryHead)], 0) >= 0 {
			s.hold(found{f: p.f, binary: true}, nil)
		}
		if at, n = at+int64(got), n+got; err != nil {
			return at, err
		}
		if at >= p.to && p.to < stop {
			to = s.lineEnd(n, at, p.to, stop)
		}
		n -= int(max(0, at-to)) // what begins behind the line is not of this piece
		if skip {
			var done bool
			if n, done = s.skip(n, at-p.from); !done {
				continue
			}
			skip = false
		}
		s.start = min(at, to) - int64(n) - p.f.start
		n = s.whole(n, at >= to)
	}
	if s.count || s.number {
		s.hold(found{f: p.f, end: true, line: s.lines}, nil)
	}
	return at, nil
}

// ahead is how much to read at once: all up to the end of the piece, and then, for the
// rest of a line, little by little.
func (s *searcher) ahead(at, to, pieceEnd int64) int64 {
	if at < pieceEnd {
		return pieceEnd - at
	}
	return min(to-at, 64<<10)
}

// lineEnd is where the line ends that goes on at the end of the piece: buf[:n] ends at
// at. It is stop until its newline has been read.
func (s *searcher) lineEnd(n int, at, pieceEnd, stop int64) int64 {
	from := max(0, n-int(at-pieceEnd))
	if i := bytes.IndexByte(s.buf[from:n], '\n'); i >= 0 {
		return at - int64(n-from-i-1)
	}
	return stop
}

// skip drops the end of a line at the piece's beginning, of which seen bytes were read.
func (s *searcher) skip(n int, seen int64) (left int, done bool) {
	before := seen - int64(n)
	limit := min(int64(n), maxLine-before)
	i := bytes.IndexByte(s.buf[:limit], '\n')
	switch {
	case i >= 0: // the newline was counted with its line
		return copy(s.buf, s.buf[i+1:n]), true
	case before+limit >= maxLine:
		return copy(s.buf, s.buf[limit:n]), true
	}
	return 0, false
}

// whole searches the whole lines of buf[:n], and the rest if it is the last or fills the
// buffer. It says how much is left.
func (s *searcher) whole(n int, last bool) int {
	end := bytes.LastIndexByte(s.buf[:n], '\n') + 1
	if last || end == 0 && n == len(s.buf) {
		end = n
	}
	s.matches(s.buf[:end])
	return copy(s.buf, s.buf[end:n])
}

// matches holds the lines of p that match.
func (s *searcher) matches(p []byte) {
	counted := 0
	s.pattern.lines(p, func(start, end int) bool {
		if s.number {
			s.lines += int64(bytes.Count(p[counted:start], newline))
			counted = start
		}
		s.hold(found{f: s.piece.f, match: true, line: s.lines, at: s.start + int64(start)}, p[start:end])
		return !s.list && s.ctx.Err() == nil
	})
	if s.number {
		s.lines += int64(bytes.Count(p[counted:], newline))
	}
}

var newline = []byte{'\n'}
