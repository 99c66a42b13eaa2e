package main

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

var processAttempts = []attempt{
	{"ptrace-init", "trace process 1", allowed(unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1)},
	{"ptrace-sibling", "trace a process of one's own", tryTraceSibling},
	{"process_vm_readv-init", "read the memory of process 1", tryReadMemory},
	{"pidfd_getfd-init", "take descriptors of process 1", tryTakeDescriptor},
	{"personality", "switch off the randomness of addresses", works(unix.SYS_PERSONALITY, 0x40000)},
	{"prctl-set-mm", "change what the process says of its memory", allowed(unix.SYS_PRCTL, unix.PR_SET_MM, unix.PR_SET_MM_START_BRK, 1)},
	{"setpriority", "run before all others", works(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, ^uintptr(9))},
	{"sched-realtime", "run in real time", works(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, address(&[1]int32{1}))},
	{"ioprio-realtime", "have input and output before all others", works(unix.SYS_IOPRIO_SET, 1, 0, 1<<13)},
	{"mlock", "lock more memory than the limit", tryLock},
	{"rlimit-raise", "raise a hard limit", tryRaise},
	{"oom-score-lower", "have others killed when memory is short", tryOOM},
	{"set_mempolicy", "choose memory of a node", allowed(unix.SYS_SET_MEMPOLICY, 0, 0, 0)},
	{"tiocsti", "type into the terminal", tryTerminal(unix.TIOCSTI)},
	{"tiocsti-high", "type into the terminal, with bits above the request's", tryTerminal(1<<32 | unix.TIOCSTI)},
	{"tioclinux", "paste into the console", tryTerminal(unix.TIOCLINUX)},
}

func tryTraceSibling() result {
	// One child waits for its input to end, and the other traces it.
	r, w, err := os.Pipe()
	if err != nil {
		return got(err)
	}
	defer r.Close()
	defer w.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"probe", "wait"}, &os.ProcAttr{Files: []*os.File{r, nil, nil}})
	if err != nil {
		return got(err)
	}
	defer func() { _ = p.Kill(); _, _ = p.Wait() }()
	return got(inChild(call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.Pid))))
}

func tryReadMemory() result {
	local, remote := [2]uintptr{address(new([8]byte)), 8}, [2]uintptr{4096, 8}
	return word(inChild(call(unix.SYS_PROCESS_VM_READV, 1, address(&local), 1, address(&remote), 1)))
}

func tryTakeDescriptor() result {
	fd, err := unix.PidfdOpen(1, 0)
	if err != nil {
		return got(err)
	}
	defer unix.Close(fd)
	return word(inChild(call(unix.SYS_PIDFD_GETFD, uintptr(fd), 0)))
}

func tryLock() result {
	mem, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return got(err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	return got(inChild(call(unix.SYS_MLOCK, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)))))
}

func tryRaise() result {
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MSGQUEUE, &now); err != nil {
		return got(err)
	}
	now.Max += 4096
	return got(inChild(call(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_MSGQUEUE, address(&now))))
}

func tryOOM() result {
	const file = "/proc/self/oom_score_adj"
	was, err := os.ReadFile(file)
	if err != nil {
		return got(err)
	}
	defer func() { _ = os.WriteFile(file, was, 0) }()
	n, _ := strconv.Atoi(string(was[:len(was)-1]))
	return got(os.WriteFile(file, []byte(strconv.Itoa(n-1)), 0))
}

// tryTerminal makes a terminal and has the request made of it by a session that
// it commands.
func tryTerminal(request uintptr) func() result {
	return func() result {
		near, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return got(err)
		}
		defer unix.Close(near)
		n, err := unix.IoctlGetInt(near, unix.TIOCGPTN)
		if err == nil {
			err = unix.IoctlSetPointerInt(near, unix.TIOCSPTLCK, 0)
		}
		if err != nil {
			return got(err)
		}
		far, err := unix.Open("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return got(err)
		}
		defer unix.Close(far)
		r := word(inChild(call(unix.SYS_SETSID), call(unix.SYS_IOCTL, uintptr(far), unix.TIOCSCTTY, 0),
			call(unix.SYS_IOCTL, uintptr(far), request, address(&[1]byte{'x'}))))
		if r.note == "EIO" { // the kernel's own switch
			r.allowed = false
		}
		return r
	}
}

var keyAttempts = []attempt{
	{"keyctl", "find the keyring of the session", allowed(unix.SYS_KEYCTL, 0, ^uintptr(2), 1)},
	{"add_key", "keep a key in the kernel", allowed(unix.SYS_ADD_KEY, text("user"), text("probe"), text("x"), 1, ^uintptr(1))},
	{"request_key", "ask for keys", allowed(unix.SYS_REQUEST_KEY, text("user"), text("no-such-key"), 0, ^uintptr(1))},
}

func socket(domain, kind, protocol int) func() result {
	return works(unix.SYS_SOCKET, uintptr(domain), uintptr(kind), uintptr(protocol))
}

var socketAttempts = []attempt{
	{"socket-raw-icmp", "make raw sockets, as ping does", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
	{"socket-packet", "read and write packets of the network", socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
	{"socket-audit", "speak to the kernel's audit", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)},
	{"socket-uevent", "hear of the machine's devices", tryUevent},
	{"socket-vsock", "speak to the machine below", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
	{"socket-alg", "use the kernel's ciphers", socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
	{"socket-key", "see the kernel's keys of connections", socket(unix.AF_KEY, unix.SOCK_RAW, 2)},
	{"net-admin", "change the addresses of the network", tryNetAdmin},
	{"bind-low-port", "serve on a port below 1024", tryLowPort},
}

// tryUevent binds to the group of the kernel's messages.
func tryUevent() result {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return got(err)
	}
	defer unix.Close(fd)
	return got(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}))
}

// tryNetAdmin sets the flags of lo to what they are.
func tryNetAdmin() result {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return got(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr)
	}
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	}
	return got(err)
}

func tryLowPort() result {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return got(err)
	}
	defer unix.Close(fd)
	return got(unix.Bind(fd, &unix.SockaddrInet4{Port: 641, Addr: [4]byte{127, 0, 0, 1}}))
}
