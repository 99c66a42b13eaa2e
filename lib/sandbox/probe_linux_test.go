package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary is also the program that is run inside, to try what a hostile
// one would: the environment variable names what it shall do.
const probeVariable = "DOCKSMITH_TEST_PROBE"

func TestMain(m *testing.M) {
	if do := os.Getenv(probeVariable); do != "" {
		os.Exit(probe(do))
	}
	if os.Geteuid() != 0 {
		if err := EnterUserNamespace(UserNamespaceOptions{}); err != nil {
			fmt.Fprintf(os.Stderr, "tests of containers need root or user namespaces: %v\n", err)
		}
	}
	os.Exit(m.Run())
}

func probe(do string) int {
	switch do {
	case "attempts":
		return probeAttempts()
	case "exit":
		return int(os.Args[1][0])
	case "pivot":
		return probePivot(os.Args[1])
	case "supervise":
		return probeSupervise(os.Args[1])
	}
	return 99
}

// probeAttempts tries system calls and prints the error of each.
func probeAttempts() int {
	out := map[string]string{}
	var fds []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			fds = append(fds, e.Name())
		}
	}
	out["descriptors"] = strings.Join(fds, " ")
	try := func(name string, nr uintptr, args ...uintptr) {
		var a [6]uintptr
		copy(a[:], args)
		_, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		out[name] = errnoName(e)
	}
	root := append([]byte("/"), 0)
	tmpfs := append([]byte("tmpfs"), 0)
	r, f := uintptr(unsafe.Pointer(&root[0])), uintptr(unsafe.Pointer(&tmpfs[0]))
	try("mount", unix.SYS_MOUNT, f, r, f, 0, 0)
	try("umount", unix.SYS_UMOUNT2, r, 0)
	try("pivot_root", unix.SYS_PIVOT_ROOT, r, r)
	try("reboot", unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF)
	try("keyctl", unix.SYS_KEYCTL, 0, ^uintptr(2))
	try("add_key", unix.SYS_ADD_KEY, f, f, 0, 0, ^uintptr(3))
	try("unshare user", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	try("setns", unix.SYS_SETNS, 0, 0)
	try("bpf", unix.SYS_BPF, 0, 0, 0)
	try("userfaultfd", unix.SYS_USERFAULTFD, 0)
	try("io_uring", unix.SYS_IO_URING_SETUP, 1, r)
	try("perf", unix.SYS_PERF_EVENT_OPEN, r, 0, 0, 0, 0)
	try("swapon", unix.SYS_SWAPON, r, 0)
	try("init_module", unix.SYS_INIT_MODULE, r, 1, r)
	try("settimeofday", unix.SYS_SETTIMEOFDAY, 0, 0)
	try("acct", unix.SYS_ACCT, 0)
	try("syslog", unix.SYS_SYSLOG, 10, 0, 0)
	try("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0)
	try("clone3", unix.SYS_CLONE3, 0, 0)
	try("fsopen", unix.SYS_FSOPEN, f, 0)
	try("TIOCSTI", unix.SYS_IOCTL, 0, unix.TIOCSTI, r)
	try("TIOCSTI with high bits", unix.SYS_IOCTL, 0, 1<<32|unix.TIOCSTI, r)
	try("AF_VSOCK", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	try("AF_INET", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	try("ptrace init", unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1, 0, 0)
	probeFiles(out)
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 1
	}
	return 0
}

// probeFiles tries to open what must not be.
func probeFiles(out map[string]string) {
	file := func(name, path string, flags int) {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		var e syscall.Errno
		if err != nil {
			e = err.(syscall.Errno)
		} else {
			unix.Close(fd)
		}
		out[name] = errnoName(e)
	}
	file("write /proc/1/exe", "/proc/1/exe", unix.O_WRONLY)
	file("read /proc/1/exe", "/proc/1/exe", unix.O_RDONLY)
	file("read /proc/1/mem", "/proc/1/mem", unix.O_RDONLY)
	file("write sysrq-trigger", "/proc/sysrq-trigger", unix.O_WRONLY)
	file("write /proc/sys", "/proc/sys/kernel/panic", unix.O_WRONLY)
	file("write core_pattern", "/proc/sys/kernel/core_pattern", unix.O_WRONLY)
	file("write /sys", "/sys/kernel/mm/transparent_hugepage/enabled", unix.O_WRONLY)
	out["mknod"] = "none"
	if err := unix.Mknod("/dev/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err == nil {
		file("mknod", "/dev/disk", unix.O_RDONLY)
	}
	kcore, _ := os.ReadFile("/proc/kcore")
	out["kcore"] = fmt.Sprint(len(kcore))
}

func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "ok"
	}
	return unix.ErrnoName(e)
}
