package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// victims watches the kernel's log for processes of a cgroup that are killed for
// its memory limit. It is the only place that names them; who may not read it
// gets to know that there was one. Reading along, and not afterwards, finds the
// process still there, with the id that it has inside.
type victims struct {
	log    *os.File
	cgroup string // the last element of its path
	ended  sync.WaitGroup

	mu   sync.Mutex
	list []victim
}

type victim struct {
	pid    int // the machine's
	inside int // the container's, 0 when it had gone already
	name   string
}

// watchVictims begins to watch; nil without a memory limit or leave.
func (g *cgroup) watchVictims() *victims {
	dir := ""
	if g != nil {
		dir = g.memoryDir()
	}
	if dir == "" {
		return nil
	}
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		unix.Close(fd)
		return nil
	}
	v := &victims{log: os.NewFile(uintptr(fd), "/dev/kmsg"), cgroup: filepath.Base(dir)}
	v.ended.Go(v.read)
	return v
}

// read takes one record with each call of read(2), as the device gives them.
func (v *victims) read() {
	buf := make([]byte, 8192)
	for {
		n, err := v.log.Read(buf)
		if errors.Is(err, unix.EPIPE) {
			continue // records were overwritten before we came
		}
		if err != nil {
			return
		}
		if x, ok := v.parse(string(buf[:n])); ok {
			x.inside, _ = insidePID(x.pid)
			v.mu.Lock()
			v.list = append(v.list, x)
			v.mu.Unlock()
		}
	}
}

// parse reads "...;oom-kill:constraint=...,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=N,uid=N".
// The name may have commas in it, and what looks like members.
func (v *victims) parse(record string) (x victim, ok bool) {
	_, text, _ := strings.Cut(record, ";")
	text, _, _ = strings.Cut(text, "\n")
	rest, ok := strings.CutPrefix(text, "oom-kill:")
	if !ok {
		return x, false
	}
	_, rest, _ = strings.Cut(rest, ",oom_memcg=")
	path, rest, ok := strings.Cut(rest, ",task_memcg=")
	if !ok || filepath.Base(path) != v.cgroup {
		return x, false
	}
	_, rest, _ = strings.Cut(rest, ",task=")
	i := strings.LastIndex(rest, ",pid=")
	if i < 0 {
		return x, false
	}
	number, _, _ := strings.Cut(rest[i+len(",pid="):], ",")
	pid, err := strconv.Atoi(number)
	return victim{pid: pid, name: rest[:i]}, err == nil
}

// insidePID is a process's id in the innermost namespace that it is in.
func insidePID(pid int) (int, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(ids)
			return strconv.Atoi(f[len(f)-1])
		}
	}
	return 0, errors.New("no NSpid")
}

// end stops watching and gives the victims.
func (v *victims) end(oom bool) []victim {
	if v == nil {
		return nil
	}
	if oom { // what is in the log is wanted to the last
		_ = v.log.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	} else {
		_ = v.log.SetReadDeadline(time.Now())
	}
	v.ended.Wait()
	v.log.Close()
	return v.list
}

// namesCommand tells whether the container's command is to be asked for its name,
// for a limit that it may run into when nobody says who did.
func (c *container) namesCommand() bool {
	_, files := c.asked("RLIMIT_FSIZE")
	_, time := c.asked("RLIMIT_CPU")
	return files || time || c.cgroup != nil && c.cgroup.memoryDir()+c.cgroup.pidsDir() != ""
}

// signalVerdict tells of a limit for which the kernel has sent the command a signal
// of its own.
func (c *container) signalVerdict(res *Result) {
	text := ""
	if size, ok := c.asked("RLIMIT_FSIZE"); ok && res.Signal == int(unix.SIGXFSZ) {
		text = "file size limit of " + Size(int64(size))
	}
	if seconds, ok := c.asked("RLIMIT_CPU"); ok && res.Signal == int(unix.SIGXCPU) {
		text = fmt.Sprintf("processor time limit of %d seconds", seconds)
	}
	if text != "" {
		res.Verdicts = append(res.Verdicts, "killed: "+text+": "+c.first.String())
	}
}

func (x victim) String() string {
	if x.inside > 0 {
		return fmt.Sprintf("process %d (%s)", x.inside, x.name)
	}
	return fmt.Sprintf("process %d of the machine (%s)", x.pid, x.name)
}

func (g *cgroup) memoryDir() string {
	if g.v2 {
		return g.dirs[""]
	}
	return g.dirs["memory"]
}

func (g *cgroup) pidsDir() string {
	if g.v2 {
		return g.dirs[""]
	}
	return g.dirs["pids"]
}

func (g *cgroup) killed() bool {
	return g != nil && g.memoryDir() != "" && readEvent(filepath.Join(g.memoryDir(), g.eventsFile()), "oom_kill") > 0
}

func (g *cgroup) eventsFile() string {
	if g.v2 {
		return "memory.events"
	}
	return "memory.oom_control"
}

// verdict fills in what the cgroup tells about the end of the container, whose
// command was first.
func (g *cgroup) verdict(res *Result, first victim, killed []victim) {
	if dir := g.memoryDir(); dir != "" {
		limit, peak := "memory.limit_in_bytes", "memory.max_usage_in_bytes"
		if g.v2 {
			limit, peak = "memory.max", "memory.peak"
		}
		if n := readNumber(filepath.Join(dir, peak)); n > 0 {
			res.PeakMemory = n
		}
		if res.OOM = g.killed(); res.OOM {
			res.Verdicts = append(res.Verdicts, memoryVerdict(readNumber(filepath.Join(dir, limit)), killed))
		}
	}
	dir := g.pidsDir()
	if n := readEvent(filepath.Join(dir, "pids.events"), "max"); dir != "" && n > 0 {
		res.Verdicts = append(res.Verdicts, fmt.Sprintf("refused: limit of %d processes: %s and its descendants could not start %d more",
			readNumber(filepath.Join(dir, "pids.max")), first, n))
	}
}

func memoryVerdict(limit int64, killed []victim) string {
	return "killed: memory limit of " + Size(limit) + listVictims(killed)
}

// listVictims names some, behind a colon: first those with an id that the container
// knows.
func listVictims(list []victim) (text string) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b victim) int { return cmp.Compare(min(b.inside, 1), min(a.inside, 1)) })
	for i, x := range list {
		if i == 3 {
			return fmt.Sprintf("%s, and %d more", text, len(list)-i)
		}
		text += map[bool]string{true: ": ", false: ", "}[i == 0] + x.String()
	}
	return text
}

// readNumber reads a file with a number in it; 0 when it has none.
func readNumber(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// readEvent reads the count of an event from a file with a line for each kind.
func readEvent(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, name+" "); ok {
			count, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			return count
		}
	}
	return 0
}
