package main

import (
	"os"
	"syscall"
)

// maxRSS is the peak memory of the largest process that was waited for.
func maxRSS(p *os.ProcessState) int64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}
