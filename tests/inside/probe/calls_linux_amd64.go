package main

import "golang.org/x/sys/unix"

// portAttempts are those of this processor.
var portAttempts = []attempt{
	{"iopl", "reach all input and output ports", works(unix.SYS_IOPL, 3)},
	{"ioperm", "reach an input and output port", works(unix.SYS_IOPERM, 0x80, 1, 1)},
	{"kexec_file_load", "load another kernel from a file", allowed(unix.SYS_KEXEC_FILE_LOAD, ^uintptr(0), ^uintptr(0), 0, 0, nonsense)},
	{"uselib", "load a library by an obsolete call", allowed(unix.SYS_USELIB, text("/no-such-file"))},
	{"ustat", "ask for a file system by an obsolete call", allowed(unix.SYS_USTAT, 0, address(new([32]byte)))},
	{"sysfs", "list file systems by an obsolete call", allowed(unix.SYS_SYSFS, 3)},
}
