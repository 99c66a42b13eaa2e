package container

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Real-time signals as libc counts them: it keeps the kernel's first two.
const (
	firstRealtime = 34
	lastRealtime  = 64
)

// ParseSignal reads a signal as people and images write it: a number, or a name
// with or without SIG, RTMIN+N and RTMAX-N among them.
func ParseSignal(s string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= lastRealtime {
		return syscall.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	for prefix, base := range map[string]int{"RTMIN": firstRealtime, "RTMAX": lastRealtime} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		n := 0
		if rest != "" {
			var err error
			if n, err = strconv.Atoi(rest); err != nil || rest[0] != '+' && rest[0] != '-' {
				break
			}
		}
		if sig := base + n; sig >= firstRealtime && sig <= lastRealtime {
			return syscall.Signal(sig), nil
		}
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}
