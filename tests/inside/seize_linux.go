package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// seize looks at all processes for a time and takes what it can of those that
// are on their way into the container: the program, to overwrite it, and
// whatever leads to the canary. It prints what it took, and how many it met that
// were closed to it.
func seize(canary string, d time.Duration) error {
	closed := map[string]bool{}
	took := func(format string, args ...any) { fmt.Printf("took "+format+"\n", args...) }
	for end := time.Now().Add(d); time.Now().Before(end); {
		list, _ := filepath.Glob("/proc/[0-9]*")
		for _, p := range list {
			pid, _ := strconv.Atoi(filepath.Base(p))
			if pid == os.Getpid() || pid == 1 {
				continue
			}
			if err := tryExe(p); err == errClosed {
				closed[p] = true
			} else if err != nil {
				took("%v", err)
			}
			tryDirs(p, canary, took)
			tryTrace(p, pid, took)
		}
	}
	fmt.Printf("%d processes were closed\n", len(closed))
	return nil
}

var errClosed = fmt.Errorf("closed")

// tryExe keeps hold of a program that is not the container's and writes to it
// when it has ended.
func tryExe(p string) error {
	fd, err := unix.Open(p+"/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		return errClosed
	}
	if err != nil {
		return nil // it has ended
	}
	defer unix.Close(fd)
	self := "/proc/self/fd/" + strconv.Itoa(fd)
	name, _ := os.Readlink(self)
	if !strings.Contains(name, "ds-") {
		return nil
	}
	for range 200 {
		w, err := unix.Open(self, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(w)
			return fmt.Errorf("%s, and may write to it", name)
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("%s, and may not write to it", name)
}

// tryDirs goes where a process is, has its root, and what it has open.
func tryDirs(p, canary string, took func(string, ...any)) {
	fds, _ := filepath.Glob(p + "/fd/*")
	for _, dir := range append(fds, p+"/root", p+"/cwd") {
		for _, up := range []string{"", "/../../../../../../../.."} {
			if _, err := os.Stat(dir + up + canary); err == nil {
				took("%s%s leads to the canary", dir, up)
			}
		}
	}
}

// tryTrace traces a process that has more capabilities than we.
func tryTrace(p string, pid int, took func(string, ...any)) {
	theirs, before := effective(p)
	ours, _ := effective("/proc/self")
	if theirs&^ours == 0 {
		return
	}
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
	if e != 0 {
		return
	}
	// It may have dropped them since: then it is of our kind.
	if theirs, after := effective(p); theirs&^ours != 0 && before == after {
		took("process %d by trace", pid)
	}
	_ = unix.PtraceDetach(pid)
}

// effective are a process's capabilities, and its name.
func effective(p string) (set uint64, name string) {
	f, err := os.Open(p + "/status")
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		key, value, _ := strings.Cut(s.Text(), ":\t")
		switch key {
		case "Name":
			name = value
		case "CapEff":
			set, _ = strconv.ParseUint(value, 16, 64)
		}
	}
	return set, name
}

// where looks for the canary from the working directory.
func where(canary string) error {
	dir, err := os.Getwd()
	for up := ""; len(up) < 60; up += "../" {
		if _, err := os.Stat(up + strings.TrimPrefix(canary, "/")); err == nil {
			return fmt.Errorf("the canary is at %s of %s", up, dir)
		}
	}
	if err != nil || !strings.HasPrefix(dir, "/") {
		return fmt.Errorf("the working directory is %q: %v", dir, err)
	}
	fmt.Println("inside")
	return nil
}
