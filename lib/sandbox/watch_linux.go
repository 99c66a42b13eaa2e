package sandbox

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// watch finds the processes that run into limits of which the kernel tells nobody
// else: a full storage, and all descriptors in use. It looks at a process when that
// is about to end, if it announces its end, and at all of the container once in a
// while. What it has not seen it does not say.
type watch struct {
	storage       int    // a descriptor of the file system, or -1
	mount         string // the id of the root's mount
	files         uint64 // how many descriptors a process is to have, or 0
	command, init int
	listener      int // for the ends, or -1
	stop          int // an eventfd
	running       sync.WaitGroup

	full    bool
	filler  filler
	reached uint64 // the limit
	leakers []victim
}

// filler is a process that was there when the storage was full.
type filler struct {
	victim
	file  string // that it had open for writing, or ""
	bytes int64  // in the file, or that it had written at all
}

// watched tells whether there is something to look for, by who makes the container.
func (c *container) watched() bool {
	_, ok := c.asked("RLIMIT_NOFILE")
	return (ok || c.opts.Storage > 0) && c.made()
}

// made tells whether it is ours from its beginning to its end: nobody enters it, and
// it does not outlive us.
func (c *container) made() bool { return c.bundle != nil && !c.outlives && c.gate == nil }

// asked finds a limit among those that the caller asked for.
func (c *container) asked(kind string) (soft uint64, ok bool) {
	for _, l := range c.opts.Limits.Rlimits {
		if l.Type == kind && l.Soft != unix.RLIM_INFINITY {
			return l.Soft, true
		}
	}
	return 0, false
}

// farewells tells whether processes are to announce their ends.
func (c *container) farewells() bool {
	return c.watched() && c.newNamespace(specs.PIDNamespace) && len(seccompArches) > 0
}

// startWatch begins to look after the container that t has made; nil without a
// limit to look for.
func (c *container) startWatch(t *thread) *watch {
	if !c.watched() {
		return nil
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil
	}
	w := &watch{storage: c.storage.fd, command: t.command.pid, listener: -1, stop: stop}
	w.files, _ = c.asked("RLIMIT_NOFILE")
	if t.init != nil {
		w.init = t.init.pid
	}
	if t.root != nil {
		w.mount, _ = openMode("/proc/self/fdinfo/" + strconv.Itoa(t.root.Fd()))
	}
	return w
}

// listen has the watch go on, with the listener of a process that is about to
// execute, if it passes one.
func (w *watch) listen(l *launch) {
	if w == nil {
		return
	}
	if l.announces {
		if fd, err := receive(l.socket); err == nil {
			w.listener = fd
		}
	}
	w.running.Go(w.run)
}

// end stops it. Nothing of the container runs any more.
func (w *watch) end() {
	if w == nil {
		return
	}
	_, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	w.running.Wait()
	unix.Close(w.stop)
	if w.listener >= 0 {
		unix.Close(w.listener)
	}
}

// watchEvery is how often it looks at all, unless that takes long.
const watchEvery = time.Second

func (w *watch) run() {
	fds := []unix.PollFd{{Fd: int32(w.stop), Events: unix.POLLIN}, {Fd: int32(w.listener), Events: unix.POLLIN}}
	next := time.Now().Add(watchEvery)
	for {
		wait := max(0, time.Until(next).Milliseconds()+1)
		if _, err := unix.Poll(fds, int(wait)); err != nil && err != unix.EINTR || fds[0].Revents != 0 {
			return
		}
		switch got := fds[1].Revents; {
		case got&unix.POLLIN != 0:
			f := nextFarewell(w.listener)
			if f.pid != 0 {
				w.farewell(int(f.pid))
				letGo(w.listener, f)
			}
		case got != 0:
			fds[1].Fd = -1 // there is nobody left
		}
		if begun := time.Now(); begun.After(next) {
			w.lookAround()
			next = time.Now().Add(max(watchEvery, 50*time.Since(begun)))
		}
	}
}

// farewell looks at a process that is about to end. With the command all others do.
func (w *watch) farewell(pid int) {
	first := !w.full
	w.look(pid)
	if pid == w.command || first && w.full {
		w.lookAround()
	}
}

// lookAround looks at every process of the container.
func (w *watch) lookAround() {
	if w.files == 0 && !w.isFull() {
		return
	}
	seen := map[int]bool{}
	for list := []int{w.command, w.init}; len(list) > 0; list = list[1:] {
		if pid := list[0]; pid > 0 && !seen[pid] {
			seen[pid] = true
			w.look(pid)
			list = append(list, children(pid)...)
		}
	}
}

func (w *watch) look(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	if w.files > 0 {
		w.lookForLeak(pid, dir)
	}
	if w.isFull() {
		w.full = true
		w.lookForFiller(pid, dir)
	}
}

func (w *watch) isFull() bool {
	var fs unix.Statfs_t
	return w.storage >= 0 && unix.Fstatfs(w.storage, &fs) == nil && (fs.Bfree == 0 || fs.Ffree == 0)
}

// lookForLeak notes a process that has as many descriptors as its limit lets it
// have, unless the limit is a lower one of its own.
func (w *watch) lookForLeak(pid int, dir string) {
	open := countFiles(dir + "/fd")
	if open < w.files {
		return
	}
	limit := filesLimit(dir + "/limits")
	if limit == 0 || open < limit {
		return
	}
	for _, x := range w.leakers {
		if x.pid == pid {
			return
		}
	}
	w.reached = max(w.reached, limit)
	w.leakers = append(w.leakers, nameProcess(pid))
}

// lookForFiller notes the process with the largest file of the storage open for
// writing, or if there is none, one that has written to whatever.
func (w *watch) lookForFiller(pid int, dir string) {
	best := filler{bytes: -1}
	fds, _ := os.ReadDir(dir + "/fdinfo")
	for _, d := range fds {
		mount, mode := openMode(path.Join(dir, "fdinfo", d.Name()))
		if mount == "" || mount != w.mount || mode == unix.O_RDONLY {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path.Join(dir, "fd", d.Name()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Blocks*512 <= best.bytes {
			continue
		}
		if name, err := os.Readlink(path.Join(dir, "fd", d.Name())); err == nil {
			best.file, best.bytes = name, st.Blocks*512
		}
	}
	if best.file == "" {
		best.bytes = written(dir)
	}
	if better(best, w.filler) {
		best.victim = nameProcess(pid)
		w.filler = best
	}
}

// written is what a process has written to whatever. A process's own count has that
// of its children, too, once they have ended; those of its threads have not.
func written(dir string) (n int64) {
	threads, _ := os.ReadDir(dir + "/task")
	for _, t := range threads {
		n += readEvent(path.Join(dir, "task", t.Name(), "io"), "wchar:")
	}
	return n
}

// better says who is named. Of two that had no file open any more, the one that
// ended first is likelier to have met the limit, unless the other wrote far more: what
// went into a pipe was written, too.
func better(a, b filler) bool {
	switch {
	case (a.file == "") != (b.file == ""):
		return a.file != ""
	case a.file == "":
		return a.bytes > 2*b.bytes
	}
	return a.bytes > b.bytes
}

// verdict says what it has seen.
func (w *watch) verdict(res *Result, storage int64) {
	if w == nil {
		return
	}
	if now := w.isFull(); now || w.full {
		text := "refused: storage of " + Size(storage) + map[bool]string{true: " is full", false: " was full"}[now]
		switch x := w.filler; {
		case x.file != "":
			text += ": " + x.String() + " was writing " + quoteOdd(x.file) + ", which had " + Size(x.bytes)
		case x.bytes > 0:
			text += ": " + x.String() + " had written " + Size(x.bytes)
		}
		res.Verdicts = append(res.Verdicts, text)
	}
	if len(w.leakers) > 0 {
		res.Verdicts = append(res.Verdicts, "reached: limit of "+strconv.FormatUint(w.reached, 10)+" descriptors"+listVictims(w.leakers))
	}
}

// quoteOdd quotes a name that has something odd in it, for it is the container's.
func quoteOdd(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` || strings.ContainsAny(name, " ,") {
		return q
	}
	return name
}

// nameProcess asks a process what it is called.
func nameProcess(pid int) (x victim) {
	x.pid = pid
	x.inside, _ = insidePID(pid)
	name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	x.name = strings.TrimSpace(string(name))
	return x
}

// children are those of all threads of a process.
func children(pid int) (list []int) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, _ := os.ReadDir(dir)
	for _, t := range threads {
		b, _ := os.ReadFile(path.Join(dir, t.Name(), "children"))
		for _, f := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(f)); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// countFiles counts the descriptors in a process's directory of them, which since
// Linux 6.2 is what it has for a size.
func countFiles(dir string) uint64 {
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil && st.Size > 0 {
		return uint64(st.Size)
	}
	f, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	return uint64(len(names))
}

// filesLimit is a process's soft limit of descriptors, 0 if it cannot be known.
func filesLimit(file string) uint64 {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseUint(f[0], 10, 64)
				return n
			}
		}
	}
	return 0
}

// openMode reads a file of fdinfo: the mount that a descriptor leads into, and
// whether it is for reading, writing or both.
func openMode(file string) (mount string, mode uint64) {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); name {
		case "flags":
			mode, _ = strconv.ParseUint(value, 8, 64)
			mode &= unix.O_ACCMODE
		case "mnt_id":
			mount = value
		}
	}
	return mount, mode
}
