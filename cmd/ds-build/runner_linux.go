package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags opens a file of foreign origin without waiting for a FIFO.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK

// dieWithUs makes a child end when this program is killed.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
