package main

import (
	"errors"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the texts and structures that calls point to.
var kept []any

func text(s string) uintptr {
	b, _ := unix.BytePtrFromString(s)
	return address(b)
}

func address[T any](p *T) uintptr {
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

// step is a system call of a child; only the last one's error counts.
type step struct {
	nr   uintptr
	args [6]uintptr
}

func call(nr uintptr, args ...uintptr) (s step) {
	s.nr = nr
	copy(s.args[:], args)
	return s
}

// allowed tries a call in a child, so that what it does ends with it.
func allowed(nr uintptr, args ...uintptr) func() result {
	return func() result { return word(inChild(call(nr, args...))) }
}

// works is allowed for a call that must succeed to be of use.
func works(nr uintptr, args ...uintptr) func() result {
	return func() result { return got(inChild(call(nr, args...))) }
}

// inChild makes calls in a process with one thread, which many of them need,
// and gives the error of the last. A signal that ended it is the filter's.
func inChild(steps ...step) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, _, e := fork(&steps[0], len(steps))
	runtime.KeepAlive(steps)
	if e != 0 {
		return e
	}
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(int(pid), &status, 0, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return err
		}
	}
	switch {
	case status.Signaled():
		return errors.New(unix.SignalName(status.Signal()))
	case status.ExitStatus() != 0:
		return syscall.Errno(status.ExitStatus())
	}
	return nil
}

// fork makes the calls in a child, which never returns into Go.
//
//go:norace
//go:noinline
//go:nosplit
func fork(s *step, n int) (pid, r uintptr, e syscall.Errno) {
	pid, r, e = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		return pid, r, e
	}
	for ; n > 0; n-- {
		pid, _, e = syscall.RawSyscall6(s.nr, s.args[0], s.args[1], s.args[2], s.args[3], s.args[4], s.args[5])
		if (s.nr == unix.SYS_CLONE || s.nr == unix.SYS_CLONE3) && e == 0 && pid == 0 {
			break // a child of the child
		}
		s = (*step)(unsafe.Add(unsafe.Pointer(s), unsafe.Sizeof(*s)))
	}
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, uintptr(e), 0, 0, 0, 0, 0)
	}
}
