package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limits need three files of two cgroup versions. The opencontainers/cgroups
// packages write them too, but read mountinfo, make a cgroup in every hierarchy
// there is and bring a D-Bus client along: 2 MB more of program and 3 ms more of
// each start, which without them takes five. What is not asked for is not made.

const cgroupBase = "/sys/fs/cgroup"

// cgroup is the container's, removed when it has ended.
type cgroup struct {
	v2   bool
	dirs map[string]string // controller -> directory; v2 has one, under ""
	held []*os.File        // the directories, locked: who is killed lets go of them
}

// want is one limit as its files take it.
type want struct {
	controller string
	files      [][2]string // name, value
}

// limits lists what has to be written. Swap counts as memory, else a limit would
// only make the machine slow.
func (l Limits) limits(v2 bool) []want {
	var w []want
	num := func(n int64) string { return strconv.FormatInt(n, 10) }
	if l.Memory > 0 {
		files := [][2]string{{"memory.limit_in_bytes", num(l.Memory)}, {"memory.memsw.limit_in_bytes", num(l.Memory)}}
		if v2 {
			files = [][2]string{{"memory.max", num(l.Memory)}, {"memory.swap.max", "0"}}
		}
		w = append(w, want{"memory", files})
	}
	if l.CPUs > 0 {
		const period = 100000
		quota := num(max(1000, int64(l.CPUs*period)))
		files := [][2]string{{"cpu.cfs_period_us", num(period)}, {"cpu.cfs_quota_us", quota}}
		if v2 {
			files = [][2]string{{"cpu.max", quota + " " + num(period)}}
		}
		w = append(w, want{"cpu", files})
	}
	if l.Pids > 0 {
		w = append(w, want{"pids", [][2]string{{"pids.max", num(l.Pids)}}})
	}
	return w
}

// newCgroup makes the container's cgroup with its limits, nil without any.
func newCgroup(l Limits, name string) (*cgroup, error) {
	if l == (Limits{}) {
		return nil, nil
	}
	g := &cgroup{dirs: map[string]string{}}
	var fs unix.Statfs_t
	if err := unix.Statfs(cgroupBase, &fs); err != nil {
		return nil, fmt.Errorf("limits: %s: %w: no cgroup file system is mounted there", cgroupBase, err)
	}
	g.v2 = fs.Type == unix.CGROUP2_SUPER_MAGIC
	for _, w := range l.limits(g.v2) {
		if err := g.apply(w, name); err != nil {
			g.remove()
			return nil, fmt.Errorf("%s limit: %w", w.controller, cgroupRemedy(err))
		}
	}
	return g, nil
}

func cgroupRemedy(err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: the user may not make cgroups here: run as root, or without the limit", err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: this machine does not have the cgroup controller", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: the cgroup has processes of its own and cannot give controllers to others", err)
	}
	return err
}

func (g *cgroup) apply(w want, name string) error {
	dir, err := g.dir(w.controller, name)
	if err != nil {
		return err
	}
	for _, f := range w.files {
		err := writeCgroup(filepath.Join(dir, f[0]), f[1])
		swap := f[0] == "memory.memsw.limit_in_bytes" || f[0] == "memory.swap.max"
		if swap && errors.Is(err, unix.ENOENT) {
			continue // no swap accounting: then there is nothing to limit
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dir makes the container's directory for a controller, below one of ours.
func (g *cgroup) dir(controller, name string) (string, error) {
	parent := filepath.Join(cgroupBase, controller, "docksmith")
	key := controller
	if g.v2 {
		parent, key = filepath.Join(cgroupBase, "docksmith"), ""
		for _, up := range []string{cgroupBase, parent} {
			if up == parent {
				if err := mkdir(parent); err != nil {
					return "", err
				}
			}
			if err := writeCgroup(filepath.Join(up, "cgroup.subtree_control"), "+"+controller); err != nil {
				return "", err
			}
		}
	} else if err := mkdir(parent); err != nil {
		return "", err
	}
	if dir, ok := g.dirs[key]; ok {
		return dir, nil
	}
	dir, err := g.makeHeld(parent, name)
	if err != nil {
		return "", err
	}
	g.dirs[key] = dir
	return dir, nil
}

// makeHeld makes a directory and locks it, with the parent locked against
// sweepers meanwhile. Where there is no other maker it sweeps first.
func (g *cgroup) makeHeld(parent, name string) (string, error) {
	lock, err := os.Open(parent)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		sweep(parent)
	}
	if err := flock(lock, unix.LOCK_SH); err != nil {
		return "", err
	}
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	held, err := hold(dir)
	if err != nil {
		return "", errors.Join(err, unix.Rmdir(dir))
	}
	g.held = append(g.held, held)
	return dir, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes the cgroups whose makers were killed: nobody holds them.
func sweep(parent string) {
	list, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, d := range list {
		if !d.IsDir() {
			continue
		}
		dir := filepath.Join(parent, d.Name())
		if f, err := hold(dir); err == nil {
			_ = unix.Rmdir(dir) // busy: its last process is still on its way out
			f.Close()
		}
	}
}

func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func writeCgroup(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0) // never made: a missing file is a missing feature
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// enter moves a process in.
func (g *cgroup) enter(pid int) error {
	for _, dir := range g.dirs {
		if err := writeCgroup(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// keep leaves the cgroup to who removes its directories, which it names.
func (g *cgroup) keep() (dirs []string) {
	for _, dir := range g.dirs {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	closeFiles(g.held)
	g.held = nil
	return dirs
}

// verdict is whether the kernel killed for the memory limit, and the peak.
func (g *cgroup) verdict() (oom bool, peak int64) {
	dir, ok := g.dirs["memory"]
	events, peakFile := "memory.oom_control", "memory.max_usage_in_bytes"
	if g.v2 {
		dir, ok = g.dirs[""]
		events, peakFile = "memory.events", "memory.peak"
	}
	if !ok {
		return false, 0
	}
	if b, err := os.ReadFile(filepath.Join(dir, peakFile)); err == nil {
		peak, _ = strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	}
	if b, err := os.ReadFile(filepath.Join(dir, events)); err == nil {
		for line := range strings.Lines(string(b)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				oom = strings.TrimSpace(n) != "0"
			}
		}
	}
	return oom, peak
}

// remove takes the cgroup away. Its last process may still be on its way out.
func (g *cgroup) remove() {
	defer closeFiles(g.held)
	for _, dir := range g.dirs {
		for wait := time.Millisecond; wait < time.Second; wait *= 2 {
			if err := unix.Rmdir(dir); err != unix.EBUSY {
				break
			}
			time.Sleep(wait)
		}
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// cgroupDir is a mount of a directory of a cgroup file system.
func cgroupDir(dir string, attrs uint64) (detached, error) {
	m, err := cloneTree(unix.AT_FDCWD, dir, false)
	if err == nil {
		err = m.change(attrs, unix.MS_PRIVATE, false)
	}
	return m, err
}
