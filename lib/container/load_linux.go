package container

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Load measures a container that runs: by its cgroups where it has them for
// that, else by its processes, which leaves out the processor time of those that
// ended unobserved by their parents.
func (s *State) Load() (Load, error) {
	l, err := processesLoad(s.PID)
	if err != nil {
		return l, fmt.Errorf("measure container %s: %w", s.ID, err)
	}
	for _, dir := range s.Cgroups {
		if n, ok := cgroupNumber(dir, "cpuacct.usage", ""); ok {
			l.CPU = time.Duration(n)
		} else if n, ok := cgroupNumber(dir, "cpu.stat", "usage_usec"); ok {
			l.CPU = time.Duration(n) * time.Microsecond
		}
		for _, name := range []string{"memory.current", "memory.usage_in_bytes"} {
			if n, ok := cgroupNumber(dir, name, ""); ok {
				l.Memory = n
			}
		}
	}
	return l, nil
}

// cgroupNumber reads a file that holds a number, or the number behind a word.
func cgroupNumber(dir, name, word string) (int64, bool) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(raw))
	at := 0
	if word != "" {
		at = slices.Index(fields, word) + 1
		if at == 0 {
			return 0, false
		}
	}
	if at >= len(fields) {
		return 0, false
	}
	n, err := strconv.ParseInt(fields[at], 10, 64)
	return n, err == nil
}

// processesLoad adds up a process and those below it. The error is of the
// process itself: any other may end meanwhile.
func processesLoad(pid int) (Load, error) {
	if pid <= 0 {
		return Load{}, os.ErrProcessDone
	}
	l, err := processLoad(pid)
	if err != nil {
		return l, err
	}
	children, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/[0-9]*/children") // the pattern is right
	for _, path := range children {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(raw)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			if below, err := processesLoad(child); err == nil {
				l.CPU += below.CPU
				l.Memory += below.Memory
				l.Processes += below.Processes
			}
		}
	}
	return l, nil
}

// processLoad reads /proc/PID/stat, with the time of the children that the
// process has waited for.
func processLoad(pid int) (Load, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Load{}, err
	}
	const (
		timeFields = 11 // utime, stime, cutime, cstime; counted behind the parentheses
		rssField   = 21
		tick       = time.Second / 100 // what /proc counts in, on every machine
	)
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) <= rssField {
		return Load{}, fmt.Errorf("%q is no process's status", raw)
	}
	l := Load{Processes: 1}
	for _, f := range fields[timeFields : timeFields+4] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return Load{}, err
		}
		l.CPU += time.Duration(n) * tick
	}
	pages, err := strconv.ParseInt(string(fields[rssField]), 10, 64)
	l.Memory = pages * int64(os.Getpagesize())
	return l, err
}
