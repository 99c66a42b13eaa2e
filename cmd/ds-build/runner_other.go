//go:build !linux

package main

import "syscall"

// openFlags opens a file of foreign origin without waiting for a FIFO.
const openFlags = syscall.O_RDONLY | syscall.O_NONBLOCK

func dieWithUs() *syscall.SysProcAttr { return nil }
