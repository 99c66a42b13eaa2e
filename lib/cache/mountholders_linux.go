package cache

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holders are the processes that have the directory, by the kernel's table of
// locks. Those in other pid namespaces are not in it, so none is no proof.
func (d MountDir) Holders() []Holder {
	var st unix.Stat_t
	if unix.Stat(d.Dir+".lock", &st) != nil {
		return nil
	}
	table, err := os.Open("/proc/locks")
	if err != nil {
		return nil
	}
	defer table.Close()
	// "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; who waits has "->".
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), st.Ino)
	var list []Holder
	for lines := bufio.NewScanner(table); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != file {
			continue
		}
		pid, err := strconv.Atoi(f[4])
		if err != nil || pid <= 0 || slices.ContainsFunc(list, func(h Holder) bool { return h.PID == pid }) {
			continue
		}
		// Not "comm": a program that executed itself again is called "exe" there.
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it has ended
		}
		name, _, _ := strings.Cut(string(line), "\x00")
		list = append(list, Holder{pid, path.Base(name)})
	}
	return list
}

// exchange swaps two directories in one step.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return swap(a, b) // a file system that cannot
	}
	return err
}
