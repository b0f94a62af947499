package inside

import (
	"io"
	"io/fs"
	"strings"
	"sync"

	"bundleup/vfs"
)

// grep is one run of the command. The goroutine of the command walks the names and
// makes jobs; workers search them; what they find is written in the order of the jobs,
// so the output is the same on any number of cores.
type grep struct {
	*run
	pattern *matcher
	count   bool // -c
	list    bool // -l
	number  bool // -n
	offset  bool // -b
	text    bool // -a
	named   bool // lines begin with the file's name

	jobs chan *job
	last chan struct{} // closed when the job before the next one is written
	mu   sync.Mutex    // guards hit
	hit  bool
}

func (r *run) grep(args []string) int {
	f, err := parse(args, "bincFlhaHEr", "e")
	if err != nil {
		return r.misused(err.Error())
	}
	pattern, ok := f.values["e"]
	if !ok && len(f.args) > 0 {
		pattern, f.args, ok = f.args[0], f.args[1:], true
	}
	if !ok || len(f.args) == 0 {
		return r.misused("a pattern and a path are needed")
	}
	m, err := newMatcher(pattern, f.set['F'], f.set['i'])
	if err != nil {
		return r.misused(err.Error())
	}
	g := &grep{run: r, pattern: m, count: f.set['c'], list: f.set['l'], number: f.set['n'], offset: f.set['b'], text: f.set['a']}
	names := g.names(f.args)
	g.named = !f.set['h'] && (f.set['H'] || len(names) > 1 || len(names) == 1 && g.isTree(names[0]))
	g.search(names)
	if g.hit && !r.failed {
		return exitOK
	}
	if r.failed {
		return exitTrouble
	}
	return 1
}

func (g *grep) names(args []string) (names []string) {
	for _, arg := range args {
		names = append(names, g.expand(arg)...)
	}
	return names
}

// isTree says that more than one file may be behind a name.
func (g *grep) isTree(name string) bool {
	i, err := g.fsys.Stat(g.ctx, name)
	_, _, inner := cutInside(name)
	return err == nil && (i.IsDir() || !inner && isBundle(name))
}

// search runs the workers while it walks the names.
func (g *grep) search(names []string) {
	g.jobs = make(chan *job)
	g.last = make(chan struct{})
	close(g.last)
	var workers sync.WaitGroup
	for range g.cfg.Workers {
		workers.Go(g.work)
	}
	for _, name := range names {
		g.visit(name, 0)
	}
	close(g.jobs)
	workers.Wait()
}

// visit makes the jobs for a name and all below it.
func (g *grep) visit(name string, depth int) {
	if g.ctx.Err() != nil || depth > maxDepth {
		return
	}
	i, err := g.fsys.Stat(g.ctx, name)
	if err != nil {
		g.trouble(name, err)
		return
	}
	outer, sub, inner := cutInside(name)
	switch {
	case !inner && i.Mode().IsRegular() && isBundle(name):
		outer, sub, inner = name, "", true
	case !inner && i.IsDir():
		g.directory(name, depth)
		return
	}
	if b, ok := g.fsys.(vfs.Bundler); inner && ok {
		g.bundle(b, outer, strings.Trim(sub, "/"), name, depth)
		return
	}
	g.any(name, i, depth)
}

// any searches without a Reader at hand, or where a name leads through links.
func (g *grep) any(name string, i fs.FileInfo, depth int) {
	switch {
	case i.IsDir():
		g.directory(name, depth)
	case i.Mode().IsRegular():
		g.file(name, i.Size())
	}
}

func (g *grep) directory(name string, depth int) {
	for i, err := range g.fsys.List(g.ctx, name) {
		if err != nil {
			g.trouble(name, err)
			return
		}
		if i.IsDir() || i.Mode().IsRegular() {
			g.visit(join(name, i.Name()), depth+1)
		}
		if g.ctx.Err() != nil {
			return
		}
	}
}

// trouble tells of an error in its place between the output of the jobs.
func (g *grep) trouble(name string, err error) {
	g.send(&job{open: func() (io.ReadCloser, error) { return nil, err }, name: name})
}

// file searches one file from its beginning to its end.
func (g *grep) file(name string, size int64) {
	f := &searched{name: name, end: size, alive: func() bool { return true }}
	g.send(&job{name: name, pieces: []piece{{f, 0, size}}, open: func() (io.ReadCloser, error) {
		file, err := g.fsys.Open(g.ctx, name)
		if err != nil {
			return nil, err
		}
		return &section{io.NewSectionReader(file, 0, size), file}, nil
	}})
}

// section is a reader with something to close.
type section struct {
	io.Reader
	io.Closer
}

// bundle searches what is inside a bundle, all or below sub, in the archive's order.
func (g *grep) bundle(b vfs.Bundler, outer, sub, name string, depth int) {
	r, release, err := b.Bundle(g.ctx, outer)
	if err != nil {
		g.trouble(outer, err)
		return
	}
	// The jobs use the Reader until they are written.
	defer func() { g.after(release) }()
	plan := &plan{grep: g, r: r, root: join(outer+insideExt, ""), sub: sub}
	switch file, direct := plan.target(); {
	case !direct:
		if i, err := g.fsys.Stat(g.ctx, name); err == nil {
			g.any(name, i, depth)
		}
	case file != nil:
		plan.one(file)
	default:
		plan.all()
	}
	if plan.err != nil {
		g.trouble(outer, plan.err)
	}
}

// after calls f when all jobs so far are written.
func (g *grep) after(f func()) {
	g.send(&job{then: f})
}

// send hands a job to a worker.
func (g *grep) send(j *job) {
	j.turn, j.done = g.last, make(chan struct{})
	g.last = j.done
	// Even when the command ends early every job goes through, for its then.
	g.jobs <- j
}
