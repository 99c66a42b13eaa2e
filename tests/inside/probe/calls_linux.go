package main

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// here is -100, the current directory.
const here = ^uintptr(99)

var mountAttempts = []attempt{
	{"mount-tmpfs", "mount a file system in memory", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("tmpfs"))},
	{"mount-bind", "mount a directory a second time", allowed(unix.SYS_MOUNT, text("/dev"), text("/tmp"), 0, unix.MS_BIND)},
	{"mount-proc", "mount a /proc without what is masked", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("proc"))},
	{"mount-sysfs", "mount a /sys that can be written", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("sysfs"))},
	{"mount-cgroup2", "mount cgroups that can be written", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("cgroup2"))},
	{"mount-debugfs", "mount the kernel's debug files", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("debugfs"))},
	{"mount-fuse", "mount a file system of one's own making", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("fuse"))},
	{"mount-nfs", "mount another machine's files", allowed(unix.SYS_MOUNT, text("x"), text("/tmp"), text("nfs"))},
	{"mount-remount", "change the options of a mount", allowed(unix.SYS_MOUNT, 0, text("/proc"), 0, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)},
	{"umount", "take a mount away", allowed(unix.SYS_UMOUNT2, text("/tmp"), unix.MNT_DETACH)},
	{"pivot_root", "change the root of all processes", allowed(unix.SYS_PIVOT_ROOT, text("."), text("."))},
	{"chroot", "change the root of the process", allowed(unix.SYS_CHROOT, text("/"))},
	{"open_tree", "copy a tree of mounts", allowed(unix.SYS_OPEN_TREE, here, text("/tmp"), unix.OPEN_TREE_CLONE)},
	{"fsopen", "begin a file system", allowed(unix.SYS_FSOPEN, text("tmpfs"))},
	{"mount_setattr", "change the attributes of a mount", allowed(unix.SYS_MOUNT_SETATTR, here, text("/bin"), 0, address(&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}), 32)},
}

// cloneArgs is struct clone_args, as far as its first version goes.
type cloneArgs struct {
	flags      uint64
	_          [3]uint64
	exitSignal uint64
	_          [3]uint64
}

var namespaceAttempts = []attempt{
	{"unshare-user", "make a user namespace, and be root in it", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
	{"clone-user", "start a process in a new user namespace", allowed(unix.SYS_CLONE, uintptr(unix.CLONE_NEWUSER)|uintptr(unix.SIGCHLD))},
	{"clone3-user", "the same by the call whose flags no filter sees", allowed(unix.SYS_CLONE3,
		address(&cloneArgs{flags: unix.CLONE_NEWUSER, exitSignal: uint64(unix.SIGCHLD)}), unsafe.Sizeof(cloneArgs{}))},
	{"unshare-mount", "make a mount namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWNS)},
	{"unshare-pid", "make a process namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWPID)},
	{"unshare-net", "make a network namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWNET)},
	{"unshare-ipc", "make an IPC namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWIPC)},
	{"unshare-uts", "make a host name namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWUTS)},
	{"unshare-cgroup", "make a cgroup namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)},
	{"unshare-time", "make a time namespace", allowed(unix.SYS_UNSHARE, unix.CLONE_NEWTIME)},
	{"setns", "join a namespace", trySetns},
}

func trySetns() result {
	fd, err := unix.Open("/proc/1/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd, err = unix.Open("/proc/self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return got(err)
	}
	defer unix.Close(fd)
	return word(inChild(call(unix.SYS_SETNS, uintptr(fd), unix.CLONE_NEWUTS)))
}

// nonsense are flags that no call takes.
const nonsense = 0xfff0

var kernelAttempts = append([]attempt{
	{"reboot", "restart the machine", allowed(unix.SYS_REBOOT, 1, 1, 1)},
	{"kexec_load", "load another kernel", allowed(unix.SYS_KEXEC_LOAD, 0, 100, 0, nonsense)},
	{"init_module", "load a kernel module", allowed(unix.SYS_INIT_MODULE, 0, 0, text(""))},
	{"finit_module", "load a kernel module from a file", allowed(unix.SYS_FINIT_MODULE, ^uintptr(0), text(""), 0)},
	{"delete_module", "remove a kernel module", allowed(unix.SYS_DELETE_MODULE, text("no-such-module"), unix.O_NONBLOCK)},
	{"swapon", "add swap", allowed(unix.SYS_SWAPON, text("/no-such-file"))},
	{"swapoff", "take swap away", allowed(unix.SYS_SWAPOFF, text("/no-such-file"))},
	{"acct", "switch the accounting of processes", allowed(unix.SYS_ACCT, text("/no-such-file"))},
	{"quotactl", "switch quotas", tryQuota},
	{"settimeofday", "set the clock", allowed(unix.SYS_SETTIMEOFDAY)},
	{"adjtimex", "change the pace of the clock", tryAdjust(unix.SYS_ADJTIMEX)},
	{"clock_adjtime", "change the pace of the clock by another call", tryAdjust(unix.SYS_CLOCK_ADJTIME)},
	{"syslog", "read the kernel's log", allowed(unix.SYS_SYSLOG, 3, address(new([64]byte)), 64)},
	{"bpf", "load programs into the kernel", allowed(unix.SYS_BPF, 0, address(&[5]uint32{2, 4, 4, 1}), 20)},
	{"perf_event_open", "count events of the kernel", allowed(unix.SYS_PERF_EVENT_OPEN, address(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: 64}), 0, ^uintptr(0), ^uintptr(0), 0)},
	{"userfaultfd", "halt the kernel in accesses to memory", allowed(unix.SYS_USERFAULTFD, 1)},
	{"io_uring_setup", "make system calls past filters", allowed(unix.SYS_IO_URING_SETUP, 1, address(new([30]uint32)))},
	{"fanotify_init", "watch all accesses to files", allowed(unix.SYS_FANOTIFY_INIT, unix.FAN_CLASS_CONTENT)},
	{"open_by_handle_at", "open files outside of the root by number", tryHandle},
	{"lookup_dcookie", "read paths by cookie", allowed(unix.SYS_LOOKUP_DCOOKIE, 0, address(new([64]byte)), 64)},
	{"sethostname", "set the host name", trySetName(unix.SYS_SETHOSTNAME)},
	{"setdomainname", "set the domain name", trySetName(unix.SYS_SETDOMAINNAME)},
}, portAttempts...)

// tryQuota asks for the quotas of a block device that is none: the kernel looks
// at the right first, and a filter at the call.
func tryQuota() result {
	const quotaOff = 0x800003 << 8
	return word(inChild(call(unix.SYS_QUOTACTL, quotaOff, text("/tmp"), 0, 0)))
}

// tryAdjust sets the length of a tick to what it is.
func tryAdjust(nr uintptr) func() result {
	return func() result {
		var t unix.Timex
		if _, err := unix.Adjtimex(&t); err != nil {
			return got(err)
		}
		set := address(&unix.Timex{Modes: unix.ADJ_TICK, Tick: t.Tick})
		if nr == unix.SYS_CLOCK_ADJTIME {
			return got(inChild(call(nr, unix.CLOCK_REALTIME, set)))
		}
		return got(inChild(call(nr, set)))
	}
}

func tryHandle() result {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/etc", 0)
	if err != nil {
		// Of a file system without handles: the right is looked at first.
		return word(inChild(call(unix.SYS_OPEN_BY_HANDLE_AT, here, address(&[6]uint32{8, 1}), 0)))
	}
	raw := append(make([]byte, 0, 160), make([]byte, 8)...)
	raw = append(raw, handle.Bytes()...)
	*(*uint32)(unsafe.Pointer(&raw[0])) = uint32(handle.Size())
	*(*int32)(unsafe.Pointer(&raw[4])) = handle.Type()
	root, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return got(err)
	}
	defer unix.Close(root)
	defer runtime.KeepAlive(raw)
	return word(inChild(call(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(root), address(&raw[0]), unix.O_PATH)))
}

// trySetName sets the name that is.
func trySetName(nr uintptr) func() result {
	return func() result {
		name, err := os.Hostname()
		if nr == unix.SYS_SETDOMAINNAME {
			var u unix.Utsname
			err = unix.Uname(&u)
			name = unix.ByteSliceToString(u.Domainname[:])
		}
		if err != nil {
			return got(err)
		}
		return got(inChild(call(nr, text(name), uintptr(len(name)))))
	}
}
