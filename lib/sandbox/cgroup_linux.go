package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
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

// cgroupPlan is what a container's cgroup is to be.
type cgroupPlan struct {
	resources *specs.LinuxResources
	path      string      // cgroupsPath of the specification, or ""
	name      string      // below a directory of ours, without a path
	spare     func(error) // gets what cannot be limited, which else is an error
}

// make makes the container's cgroup with its limits; nil when neither a path nor
// a limit is asked for. Who gives a path has the container in every hierarchy.
func (p cgroupPlan) make() (*cgroup, error) {
	if p.path == "" && p.resources == nil {
		return nil, nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(cgroupBase, &fs); err != nil {
		return nil, p.lack(fmt.Errorf("limits: %s: %w: no cgroup file system is mounted there", cgroupBase, err))
	}
	g := &cgroup{dirs: map[string]string{}, v2: fs.Type == unix.CGROUP2_SUPER_MAGIC}
	var r specs.LinuxResources
	if p.resources != nil {
		r = *p.resources
	}
	if p.path == "" || InUserNamespace() {
		r.Devices = nil // not worth a cgroup: nothing of the container opens a device
	}
	wants, err := translate(&r, g.v2)
	if err != nil {
		return nil, err
	}
	if err := g.join(p, len(wants) > 0); err != nil {
		g.remove()
		return nil, err
	}
	for _, w := range wants {
		err := g.apply(w, p)
		if err == nil {
			continue
		}
		if err := p.lack(fmt.Errorf("%s limit: %w", w.controller, cgroupRemedy(err))); err != nil {
			g.remove()
			return nil, err
		}
	}
	if len(g.dirs) == 0 {
		return nil, nil
	}
	return g, nil
}

// lack gives err back unless it can be spared.
func (p cgroupPlan) lack(err error) error {
	if p.spare == nil {
		return err
	}
	p.spare(err)
	return nil
}

// join makes the container's directory in every hierarchy, if it has a path. An
// ordinary user may do without, unless there is a limit to apply.
func (g *cgroup) join(p cgroupPlan, limited bool) error {
	if p.path == "" {
		return nil
	}
	for _, h := range hierarchies(g.v2) {
		if _, err := g.dir(h, p); err != nil {
			if !limited && InUserNamespace() {
				g.remove()
				g.dirs = map[string]string{}
				return nil
			}
			return fmt.Errorf("make cgroup %s: %w", p.path, cgroupRemedy(err))
		}
	}
	return nil
}

// hierarchies are those of version 1 by their names; of version 2 there is one.
func hierarchies(v2 bool) (names []string) {
	if v2 {
		return []string{""}
	}
	list, err := os.ReadDir(cgroupBase)
	if err != nil {
		return nil
	}
	for _, d := range list {
		var fs unix.Statfs_t
		if d.IsDir() && unix.Statfs(filepath.Join(cgroupBase, d.Name()), &fs) == nil && fs.Type == unix.CGROUP_SUPER_MAGIC {
			names = append(names, d.Name())
		}
	}
	return names
}

// hasController tells whether version 1 has one.
func hasController(name string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(filepath.Join(cgroupBase, name), &fs) == nil && fs.Type == unix.CGROUP_SUPER_MAGIC
}

func cgroupRemedy(err error) error {
	switch {
	case errors.Is(err, errNoSuchCPU):
		return err
	case InUserNamespace() && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)):
		return &undelegatedError{outerUID(), err}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: no cgroup can be made here: run as root, or without the limit", err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: this machine does not have the cgroup controller", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: the cgroup has processes of its own and cannot give controllers to others", err)
	}
	return err
}

func (g *cgroup) apply(w want, p cgroupPlan) error {
	dir, err := g.dir(w.controller, p)
	if err != nil {
		return err
	}
	for _, s := range w.files {
		if err := s.available(dir); err != nil {
			return err
		}
		if err := s.write(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s setting) write(dir string) (err error) {
	for _, name := range s.files {
		if err = writeCgroup(filepath.Join(dir, name), s.value); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if s.maybe && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", s.value, err)
	}
	return nil
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
func (g *cgroup) keep() []string {
	closeFiles(g.held)
	g.held = nil
	return g.list()
}

// list is the directories in order.
func (g *cgroup) list() []string { return slices.Sorted(maps.Values(g.dirs)) }

// remove takes the cgroup away, as far as that goes.
func (g *cgroup) remove() {
	defer closeFiles(g.held)
	_ = RemoveCgroups(g.list())
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
