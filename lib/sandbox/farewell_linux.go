package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a process has open, and what it has written, is gone with it before anybody
// can wait for it. So where one of the limits of a watch is asked for, and only
// there, a filter of its own has each process of the container announce its end:
// exit_group(2) waits until the watch has had a look. The filter denies nothing and
// stands under the container's own, whose verdicts outweigh it. Who is killed
// announces nothing.
//
// Once nobody listens any more, the kernel refuses the call, so this is for
// containers that end with their watch: those with a pid namespace.

// farewellFilter is that filter: for the native architecture, as the programs of
// others have limits to run into too, but seldom.
func farewellFilter() []unix.SockFilter {
	return []unix.SockFilter{
		{Code: bpfLoad, K: offsetArch},
		{Code: bpfJumpEqual, Jf: 3, K: seccompArches[0].audit},
		{Code: bpfLoad, K: offsetNumber},
		{Code: bpfJumpEqual, Jf: 1, K: unix.SYS_EXIT_GROUP},
		{Code: bpfReturn, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: bpfReturn, K: retAllow},
	}
}

// announce adds the steps that load it and pass its listener on. A process has one
// listener at most: in a container of somebody who listens already there is none.
func (p *process) announce(prog *program, socket int) {
	s := prog.seccomp(farewellFilter())
	s.kind, s.a2 = try, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	prog.send(socket, p.firstFree()).kind = try
	prog.add("close socket", unix.SYS_CLOSE, uintptr(socket))
}

// The structures of linux/seccomp.h.
type (
	farewell struct {
		id         uint64
		pid, flags uint32
		nr, arch   uint32
		_          [7]uint64
	}
	answer struct {
		id           uint64
		value        int64
		errno, flags uint32
	}
)

// nextFarewell takes what the listener has; 0 when the process is gone already.
func nextFarewell(listener int) (f farewell) {
	if e := listenerCall(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&f)); e != 0 {
		return farewell{}
	}
	return f
}

// letGo has the process end.
func letGo(listener int, f farewell) {
	a := answer{id: f.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_ = listenerCall(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // else it is gone
}

func listenerCall(listener int, request uintptr, arg unsafe.Pointer) unix.Errno {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), request, uintptr(arg))
		if e != unix.EINTR {
			return e
		}
	}
}
