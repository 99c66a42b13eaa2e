package sandbox

import (
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container without a pid namespace has no process 1 whose end is that of all
// others. What its command leaves running, in whatever session, is still to be told
// by the mount namespace, which no process of the machine has entered; a process
// that has made itself another one is let go. Without a mount namespace, too, there
// is nothing to tell it by: a directory may be the root of several containers.

// ownMounts names the mount namespace of a process of the container where that is
// what the container's processes are to be told by; "" where it is not.
func (c *container) ownMounts(pid int) string {
	if c.newNamespace(specs.PIDNamespace) || !c.made() {
		return ""
	}
	theirs, ours := mountNamespace(strconv.Itoa(pid)), mountNamespace("self")
	if theirs == ours || ours == "" {
		return ""
	}
	return theirs
}

func mountNamespace(pid string) string {
	name, _ := os.Readlink("/proc/" + pid + "/ns/mnt")
	return name
}

// endOrphans kills every process in a mount namespace, and returns when they have
// ended. What they start meanwhile is found by looking again.
func endOrphans(mounts string) {
	for again := mounts != ""; again; {
		again = false
		list, _ := os.ReadDir("/proc")
		for _, d := range list {
			pid, err := strconv.Atoi(d.Name())
			if err == nil && mountNamespace(d.Name()) == mounts && endOrphan(pid, mounts) {
				again = true
			}
		}
	}
}

// endOrphan kills a process of the namespace; false when it is none, or will not end.
func endOrphan(pid int, mounts string) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	// As long as we hold it, the number in a name of /proc that still leads there
	// is nobody else's.
	if mountNamespace(strconv.Itoa(pid)) != mounts || unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return false
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000)
		if err != unix.EINTR {
			return n > 0
		}
	}
}
