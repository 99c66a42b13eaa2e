package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"docksmith/lib/flock"

	"golang.org/x/sys/unix"
)

// dir gives the container's directory for a controller, which it makes.
func (g *cgroup) dir(controller string, p cgroupPlan) (string, error) {
	base, key := cgroupBase, ""
	if !g.v2 {
		key = controller
		if link, err := os.Readlink(filepath.Join(base, controller)); err == nil {
			key = filepath.Base(link) // cpu, which is mounted with cpuacct
		}
		base = filepath.Join(base, key)
	}
	if p.path == "" && InUserNamespace() {
		base = delegated(base, ownCgroup(controller, g.v2), controller, g.v2)
	}
	parent, name := filepath.Join(base, "docksmith"), p.name
	if filepath.IsAbs(p.path) {
		parent, name = filepath.Split(filepath.Join(base, p.path))
	} else if p.path != "" {
		parent, name = filepath.Split(filepath.Join(parent, filepath.Join("/", p.path)))
	}
	if err := g.makeParents(base, parent, controller); err != nil {
		return "", err
	}
	if dir, ok := g.dirs[key]; ok {
		return dir, nil
	}
	dir, err := filepath.Join(parent, name), error(nil)
	if p.path == "" {
		dir, err = g.makeHeld(parent, name)
	} else {
		err = makeNamed(dir)
	}
	if err != nil {
		return "", err
	}
	g.dirs[key] = dir
	return dir, inheritCPUs(dir)
}

// makeParents makes the directories from base to parent, and in version 2 has
// each give the controller to those below.
func (g *cgroup) makeParents(base, parent, controller string) error {
	if _, err := os.Stat(base); err != nil {
		return err
	}
	rest, err := filepath.Rel(base, parent)
	if err != nil || strings.HasPrefix(rest, "..") {
		return fmt.Errorf("cgroup %s is not below %s", parent, base)
	}
	at := base
	for _, name := range append([]string{""}, strings.Split(rest, "/")...) {
		if name == "." {
			continue
		}
		if at = filepath.Join(at, name); at != base {
			if err := mkdir(at); err != nil {
				return err
			}
		}
		switch {
		case !g.v2 && at != base:
			err = inheritCPUs(at)
		case g.v2 && controller != "":
			err = writeCgroup(filepath.Join(at, "cgroup.subtree_control"), "+"+controller)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inheritCPUs gives a new directory of the cpuset hierarchy of version 1 what
// its parent has, without which no process may enter it.
func inheritCPUs(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		now, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil // another hierarchy
		}
		if err != nil {
			return err
		}
		if len(strings.TrimSpace(string(now))) > 0 {
			continue
		}
		above, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err == nil && len(strings.TrimSpace(string(above))) > 0 {
			err = writeCgroup(filepath.Join(dir, name), strings.TrimSpace(string(above)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makeNamed makes a directory whose name others chose. One that is there is
// taken over if nobody is in it.
func makeNamed(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	pids, err := cgroupProcesses([]string{dir})
	if err == nil && len(pids) > 0 {
		err = fmt.Errorf("%s: there are processes in it", dir)
	}
	return err
}

// makeHeld makes a directory and locks it, with the parent locked against
// sweepers meanwhile. Where there is no other maker it sweeps first.
func (g *cgroup) makeHeld(parent, name string) (string, error) {
	lock, err := os.Open(parent)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if alone, _ := flock.Try(lock, flock.Exclusive); alone {
		sweep(parent)
	}
	if err := flock.Lock(lock, flock.Shared); err != nil {
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

func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	ok, err := flock.Try(f, flock.Exclusive)
	if err == nil && !ok {
		err = unix.EWOULDBLOCK
	}
	if err != nil {
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
