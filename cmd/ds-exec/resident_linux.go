package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
)

// settleDown gives back the memory that the start of a container took and waiting
// for its end does not: what the heap had, and the pages of the program itself.
// Those are four fifths of a monitor, and come back from the page cache one by one
// as they are used.
func settleDown() {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		f := strings.Fields(line)
		if len(f) < 6 || strings.Contains(f[1], "w") || strings.Join(f[5:], " ") != self {
			continue // what can be written to has no other copy
		}
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err == nil {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}
