package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What can be done to a container's cgroups by their directories, when who made
// them has gone. A directory that is gone has nothing in it.

// SignalCgroups sends a signal to every process in the cgroups.
func SignalCgroups(dirs []string, sig unix.Signal) error {
	pids, err := cgroupProcesses(dirs)
	for pid := range pids {
		if kerr := unix.Kill(pid, sig); kerr != nil && kerr != unix.ESRCH {
			err = errors.Join(err, fmt.Errorf("signal process %d: %w", pid, kerr))
		}
	}
	return err
}

// KillCgroups kills every process in the cgroups, and those that they start
// meanwhile, and returns when there is none.
func KillCgroups(dirs []string) error {
	for wait, until := time.Millisecond, time.Now().Add(10*time.Second); ; wait = min(2*wait, 100*time.Millisecond) {
		pids, err := cgroupProcesses(dirs)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("kill cgroup: %d processes do not end", len(pids))
		}
		if err := SignalCgroups(dirs, unix.SIGKILL); err != nil {
			return err
		}
		time.Sleep(wait)
	}
}

// cgroupProcesses are those in the cgroups and below.
func cgroupProcesses(dirs []string) (map[int]bool, error) {
	pids := map[int]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			list, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, word := range strings.Fields(string(list)) {
				if pid, perr := strconv.Atoi(word); perr == nil && pid > 0 {
					pids[pid] = true
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return pids, fmt.Errorf("list processes of cgroup: %w", err)
		}
	}
	return pids, nil
}

// RemoveCgroups removes the cgroups, with those that the container made in them.
// Their last process may still be on its way out.
func RemoveCgroups(dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		err := removeCgroup(dir)
		for wait := time.Millisecond; errors.Is(err, unix.EBUSY) && wait < time.Second; wait *= 2 {
			time.Sleep(wait)
			err = removeCgroup(dir)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

func removeCgroup(dir string) error {
	list, err := os.ReadDir(dir)
	for _, d := range list {
		if d.IsDir() && err == nil {
			err = removeCgroup(filepath.Join(dir, d.Name()))
		}
	}
	if err == nil {
		err = unix.Rmdir(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
