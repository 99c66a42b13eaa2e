package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags opens a file of foreign origin without waiting for a FIFO.
const openFlags = unix.O_RDONLY | unix.O_NONBLOCK

// dieWithUs makes a child end when this program is killed, and lets a
// terminal's Ctrl-C reach it only through us: otherwise who of the two dies
// first would decide what the user is told.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
