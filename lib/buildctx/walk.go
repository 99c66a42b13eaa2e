package buildctx

import (
	"errors"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// WalkOptions of Walk.
type WalkOptions struct {
	// Exclude hides more, by rules that are relative to the directory walked
	// (COPY --exclude). Nil hides nothing.
	Exclude *Ignore
	// Fingerprint is told of all that the walk comes by. Nil: nobody is.
	Fingerprint *Fingerprint
}

// Walk yields the visible entries of a subtree: first the entry operand itself
// (links among its parents followed, the entry not), then, below a directory,
// its children in the byte order of their names, each followed by its own. A
// directory that the rules hide comes only if something visible is below it,
// and before that. Hidden directories are not entered unless a "!" rule could
// match inside. Each entry costs one lstat.
//
// An error is yielded last and ends the sequence. Entries that vanish while
// they are walked are left out. The sequence may be iterated more than once;
// each time it reads the directories anew. What is yielded is the caller's.
func (c *Context) Walk(operand string, o WalkOptions) iter.Seq2[*Info, error] {
	return func(yield func(*Info, error) bool) {
		w := &walker{c: c, o: o, yield: yield}
		if o.Fingerprint != nil && o.Fingerprint.none {
			w.o.Fingerprint = nil
		}
		if !w.walk(operand) && o.Fingerprint != nil {
			o.Fingerprint.none = true
		}
	}
}

// walk reports whether it reached its end.
func (w *walker) walk(operand string) bool {
	top, err := w.c.walkTop(operand)
	if err != nil {
		w.yield(&Info{Path: Clean(operand)}, err)
		return false
	}
	w.base = top.Path
	defer w.stop()
	job := dirJob{path: top.Path, local: w.c.isLocal(&top)}
	job.ignore, _ = w.c.o.Ignore.state(top.Path)
	e := entry{Info: top, hidden: job.ignore.hidden}
	if top.Type == Dir && (!e.hidden || w.c.o.Ignore.mayRestore(top.Path, job.ignore)) {
		e.dir = &dirTask{job: job}
	} else if e.hidden {
		return true
	}
	if w.o.Fingerprint != nil {
		w.o.Fingerprint.top(&e)
	}
	return w.visit(&e)
}

// walkTop is Lstat without the question for visible children, which the walk
// itself answers.
func (c *Context) walkTop(operand string) (Info, error) {
	p := Clean(operand)
	if dir := path.Dir(p); dir != "." {
		parent, err := c.resolve(dir)
		if err != nil {
			return Info{}, err
		}
		p = path.Join(parent.Path, path.Base(p))
	}
	info, err := c.lstatAny(p)
	if err != nil || info.Type == Dir {
		return info, err
	}
	return info, c.checkVisible(&info)
}

// ReadDir returns the visible entries of a directory in the byte order of their
// names. A link to a directory is followed.
func (c *Context) ReadDir(operand string) ([]Info, error) {
	dir, err := c.Resolve(operand)
	if err != nil {
		return nil, err
	}
	return c.readDir(dir)
}

func (c *Context) readDir(dir string) ([]Info, error) {
	state, _ := c.o.Ignore.state(dir)
	w := &walker{c: c, base: dir}
	list := w.read(dirJob{path: dir, ignore: state})
	if list.err != nil {
		return nil, list.err
	}
	infos := make([]Info, 0, len(list.entries))
	for _, e := range list.entries {
		if e.hidden {
			if err := c.checkVisible(&e.Info); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				return nil, err
			}
		}
		infos = append(infos, e.Info)
	}
	return infos, nil
}

// walker is one iteration of Walk. Directories are read ahead of the consumer
// by a few workers; the consumer reads itself what no worker has begun.
type walker struct {
	c       *Context
	base    string // what o.Exclude's rules are relative to
	o       WalkOptions
	skim    bool // of a directory only those below it are wanted
	yield   func(*Info, error) bool
	ahead   *readAhead
	pending []*Info // hidden directories above, not yet yielded
}

// dirJob is a directory to be read, with what the rules say about it.
type dirJob struct {
	path    string
	local   bool // as statAt wants it
	ignore  dirState
	exclude dirState
}

// dirList is a directory that was read.
type dirList struct {
	entries []entry
	sum     dirSum // for o.Fingerprint
	err     error
}

type entry struct {
	Info
	hidden bool     // a directory that is there for what is below it
	dir    *dirTask // of a directory: its children
}

// visit yields an entry and all below it; false means stop.
func (w *walker) visit(e *entry) bool {
	if e.hidden {
		w.pending = append(w.pending, &e.Info)
	} else if !w.emit(&e.Info) {
		return false
	}
	if e.dir == nil {
		return true
	}
	depth := len(w.pending)
	list := w.ahead.take(w, e.dir)
	if list.err != nil {
		if errors.Is(list.err, fs.ErrNotExist) || e.hidden && errors.Is(list.err, fs.ErrPermission) {
			list = dirList{} // gone since it was seen, or none of our business
		} else {
			w.yield(&e.Info, list.err)
			return false
		}
	}
	if w.o.Fingerprint != nil {
		w.o.Fingerprint.add(list.sum)
	}
	rest := list.entries // not yet offered to the workers
	for i := range list.entries {
		if list.entries[i].dir != nil {
			rest = w.prefetch(rest)
		}
		if !w.visit(&list.entries[i]) {
			return false
		}
	}
	if e.hidden && len(w.pending) == depth {
		w.pending = w.pending[:depth-1] // nothing visible was found below it
	}
	return true
}

func (w *walker) emit(info *Info) bool {
	for _, dir := range w.pending {
		if !w.yield(dir, nil) {
			return false
		}
	}
	w.pending = w.pending[:0]
	w.c.o.Uses.entry(info)
	return w.yield(info, nil)
}

// nameLists are for reuse; the names themselves are not.
var nameLists = sync.Pool{New: func() any { return new([]string) }}

// read lists a directory: one lstat for every entry that is visible or may have
// something visible below.
func (w *walker) read(job dirJob) dirList {
	dir, err := w.c.openDir(job.path)
	if err != nil {
		return dirList{err: err}
	}
	defer unix.Close(dir)
	w.c.o.Uses.add(job.path)
	scratch := nameLists.Get().(*[]string)
	defer nameLists.Put(scratch)
	names, err := readNames(dir, job.path, (*scratch)[:0])
	*scratch = names
	if err != nil {
		return dirList{err: err}
	}
	var list dirList
	if !w.skim {
		list.entries = make([]entry, 0, len(names))
	}
	var m *marks
	if w.o.Fingerprint != nil {
		m = w.o.Fingerprint.marks()
	}
	prefix := ""
	if job.path != "." {
		prefix = job.path + "/"
	}
	paths := joinAll(prefix, names)
	for _, name := range names {
		p := paths[:len(prefix)+len(name)]
		paths = paths[len(p):]
		e := entry{Info: Info{Path: p}}
		keep, err := w.look(&e, dir, job, name)
		if err != nil {
			return dirList{err: err}
		}
		if !keep {
			continue
		}
		if m != nil {
			m.add(name, &e)
		}
		if !w.skim || e.dir != nil {
			list.entries = append(list.entries, e)
		}
	}
	if m != nil {
		list.sum = m.sum()
	}
	slices.SortFunc(list.entries, func(a, b entry) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// joinAll is the paths of all names, one after the other: the paths of a
// directory are parts of one string.
func joinAll(prefix string, names []string) string {
	size := 0
	for _, name := range names {
		size += len(prefix) + len(name)
	}
	var b strings.Builder
	b.Grow(size)
	for _, name := range names {
		b.WriteString(prefix)
		b.WriteString(name)
	}
	return b.String()
}

// look judges and describes the entry of a directory whose path is set.
func (w *walker) look(e *entry, dir int, job dirJob, name string) (keep bool, err error) {
	ignore, exclude, p := w.c.o.Ignore, w.o.Exclude, e.Path
	excluded := exclude.hides(w.relative(p), job.exclude)
	e.hidden = excluded || ignore.hides(p, job.ignore)
	if e.hidden && !ignore.canRestore() && !exclude.canRestore() {
		return false, nil
	}
	err = statAt(&e.Info, dir, name, job.local)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || e.Type != Dir {
		return !e.hidden, err
	}
	below := dirJob{path: p, local: w.c.isLocal(&e.Info), ignore: ignore.child(p, job.ignore), exclude: exclude.child(w.relative(p), job.exclude)}
	if below.ignore.hidden && !ignore.mayRestore(p, below.ignore) ||
		below.exclude.hidden && !exclude.mayRestore(w.relative(p), below.exclude) {
		return false, nil
	}
	e.dir = &dirTask{job: below}
	return true, nil
}

// relative is a path as the exclude rules see it.
func (w *walker) relative(p string) string {
	if w.o.Exclude == nil || w.base == "." {
		return p
	}
	return p[len(w.base)+1:]
}

func (g *Ignore) canRestore() bool { return g != nil && g.restores }
