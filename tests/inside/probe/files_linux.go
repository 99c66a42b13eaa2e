package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// opens tries to open a file, and leaves it as it is.
func opens(path string, flags int) func() result {
	return func() result {
		fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return got(err)
	}
}

func writable(path string) func() result { return opens(path, unix.O_WRONLY) }

// anyWritable takes a pattern, the first file of which is tried.
func anyWritable(pattern string) func() result {
	return func() result {
		list, _ := filepath.Glob(pattern)
		if len(list) == 0 {
			return seen(false, "ENOENT")
		}
		return writable(list[0])()
	}
}

// readable tells whether there is anything to read.
func readable(path string) func() result {
	return func() result {
		f, err := os.Open(path)
		if err != nil {
			return got(err)
		}
		defer f.Close()
		if n, err := f.Read(make([]byte, 16)); n == 0 || err != nil {
			return seen(false, "empty")
		}
		return seen(true, "")
	}
}

// lists tells whether a directory has anything in it.
func lists(path string) func() result {
	return func() result {
		entries, err := os.ReadDir(path)
		if err != nil {
			return got(err)
		}
		if len(entries) == 0 {
			return seen(false, "empty")
		}
		return seen(true, "")
	}
}

var procAttempts = []attempt{
	{"proc-sys-kernel", "set what the kernel does when it fails", writable("/proc/sys/kernel/panic")},
	{"proc-sys-core_pattern", "have a program of one's own run by the kernel", writable("/proc/sys/kernel/core_pattern")},
	{"proc-sys-modprobe", "choose the program that loads modules", writable("/proc/sys/kernel/modprobe")},
	{"proc-sys-vm", "set how the machine uses memory", writable("/proc/sys/vm/overcommit_memory")},
	{"proc-sys-fs", "register a format of programs", writable("/proc/sys/fs/file-max")},
	{"proc-sys-net", "set options of the network", writable("/proc/sys/net/ipv4/ip_forward")},
	{"proc-sysrq-trigger", "give the kernel commands", writable("/proc/sysrq-trigger")},
	{"proc-irq", "choose the processor of an interrupt", anyWritable("/proc/irq/*/smp_affinity")},
	{"proc-interrupts", "watch keys by the interrupts that they make", readable("/proc/interrupts")},
	{"proc-kcore", "read the kernel's memory", readable("/proc/kcore")},
	{"proc-kmsg", "read the kernel's log from its file", opens("/proc/kmsg", unix.O_RDONLY)},
	{"proc-keys", "list keys", readable("/proc/keys")},
	{"proc-timer_list", "list timers of all processes", readable("/proc/timer_list")},
	{"proc-sched_debug", "list processes of the machine", readable("/proc/sched_debug")},
	{"proc-kallsyms", "read addresses of the kernel", tryAddresses("/proc/kallsyms")},
	{"proc-modules", "read addresses of the kernel's modules", tryAddresses("/proc/modules")},
	{"proc-kpagecount", "read how pages are used", readable("/proc/kpagecount")},
	{"proc-iomem", "read addresses of memory and devices", tryAddresses("/proc/iomem")},
	{"proc-latency_stats", "see what others wait for", readable("/proc/latency_stats")},
	{"proc-acpi", "reach the power management", lists("/proc/acpi")},
	{"proc-scsi", "remove disks", lists("/proc/scsi")},
	{"proc-asound", "see the sound card", lists("/proc/asound")},
	{"proc-bus", "write to buses", anyWritable("/proc/bus/*/*/*")},
	{"proc-fs", "write to file systems' own files", anyWritable("/proc/fs/*/*/*")},
	{"proc-mtrr", "change how memory is cached", writable("/proc/mtrr")},
	{"proc-1-mem", "read the memory of process 1 from its file", opens("/proc/1/mem", unix.O_RDONLY)},
	{"proc-1-environ", "read the environment of process 1", readable("/proc/1/environ")},
	{"proc-1-exe-write", "overwrite the program of process 1", writable("/proc/1/exe")},
	{"proc-1-root", "go where process 1 has its root", opens("/proc/1/root", unix.O_PATH|unix.O_DIRECTORY)},
	{"proc-thread-label", "set the label of the next program", tryLabel},
}

// tryAddresses looks for an address that is not hidden as zero.
func tryAddresses(file string) func() result {
	return func() result {
		raw, err := os.ReadFile(file)
		if err != nil {
			return got(err)
		}
		for line := range bytes.Lines(raw) {
			f := strings.Fields(string(line))
			if len(f) == 0 {
				continue
			}
			at := f[0]
			if strings.HasSuffix(file, "modules") {
				at = strings.TrimPrefix(f[len(f)-1], "0x")
			}
			if strings.Trim(at, "0-") != "" {
				return seen(true, "")
			}
		}
		return seen(false, "zeros")
	}
}

func tryLabel() result {
	return got(os.WriteFile("/proc/thread-self/attr/exec", []byte("unconfined\x00"), 0))
}

var sysAttempts = []attempt{
	{"sys-write", "set options of the kernel", writable("/sys/kernel/mm/transparent_hugepage/enabled")},
	{"sys-uevent", "make the machine see devices", anyWritable("/sys/devices/virtual/net/lo/uevent")},
	{"sys-uevent_helper", "choose the program that is told of devices", writable("/sys/kernel/uevent_helper")},
	{"sys-module", "set options of modules", anyWritable("/sys/module/*/parameters/*")},
	{"sys-firmware", "read the machine's firmware", lists("/sys/firmware")},
	{"sys-powercap", "read the processor's power, and from it secrets", lists("/sys/devices/virtual/powercap")},
	{"sys-security", "reach the security modules", lists("/sys/kernel/security")},
	{"sys-debug", "reach the kernel's debug files", lists("/sys/kernel/debug")},
	{"sys-tracing", "trace the kernel", lists("/sys/kernel/tracing")},
	{"cgroup-write", "move out of the limits, or lift them", tryCgroup},
	{"cgroup-release_agent", "have a program run when a cgroup is empty", tryReleaseAgent},
	{"cgroup-path", "see where in the machine's cgroups one is", tryCgroupPath},
}

func cgroupDirs() []string {
	list, _ := filepath.Glob("/sys/fs/cgroup/*")
	return append(list, "/sys/fs/cgroup")
}

func tryCgroup() result {
	last := seen(false, "ENOENT")
	for _, dir := range cgroupDirs() {
		if _, err := os.Stat(dir + "/cgroup.procs"); err != nil {
			continue
		}
		err := unix.Mkdir(dir+"/probe", 0o755)
		if err == nil {
			_ = unix.Rmdir(dir + "/probe")
			return seen(true, "")
		}
		last = got(err)
	}
	return last
}

func tryReleaseAgent() result {
	last := seen(false, "ENOENT")
	for _, dir := range cgroupDirs() {
		if last = writable(dir + "/release_agent")(); last.allowed {
			return last
		}
	}
	return last
}

func tryCgroupPath() result {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return got(err)
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && f[2] != "/" {
			return seen(true, "")
		}
	}
	return seen(false, "")
}

var deviceAttempts = []attempt{
	{"dev-mem", "read the machine's memory", opens("/dev/mem", unix.O_RDONLY)},
	{"dev-kmsg", "write to the kernel's log", writable("/dev/kmsg")},
	{"dev-fuse", "be a file system", opens("/dev/fuse", unix.O_RDWR)},
	{"dev-kvm", "run virtual machines", opens("/dev/kvm", unix.O_RDWR)},
	{"dev-tun", "make network devices", opens("/dev/net/tun", unix.O_RDWR)},
	{"dev-loop-control", "make block devices of files", opens("/dev/loop-control", unix.O_RDWR)},
	{"dev-vhost", "reach the hypervisor's devices", opens("/dev/vhost-net", unix.O_RDWR)},
	{"dev-tty0", "write to the machine's console", opens("/dev/tty0", unix.O_WRONLY)},
	{"dev-block", "read a disk that /dev shows", tryBlock},
	{"mknod-char", "make the node of a device", tryNode(unix.S_IFCHR, 1, 1, false)},
	{"mknod-block", "make the node of a disk", tryNode(unix.S_IFBLK, 7, 0, false)},
	{"mknod-open", "open the node of a disk that one made", tryNode(unix.S_IFBLK, 7, 0, true)},
	{"mknod-open-mem", "open the node of the memory that one made", tryNode(unix.S_IFCHR, 1, 1, true)},
	{"mknod-whiteout", "make what an overlay takes for a removed file", tryNode(unix.S_IFCHR, 0, 0, false)},
}

func tryBlock() result {
	entries, _ := os.ReadDir("/dev")
	last := seen(false, "ENOENT")
	for _, e := range entries {
		if e.Type()&os.ModeDevice == 0 || e.Type()&os.ModeCharDevice != 0 {
			continue
		}
		if last = opens("/dev/"+e.Name(), unix.O_RDONLY)(); last.allowed {
			return last
		}
	}
	return last
}

// tryNode makes a node in /dev, where devices may be opened.
func tryNode(kind, major, minor uint32, open bool) func() result {
	return func() result {
		last := seen(false, "")
		for _, dir := range []string{"/dev", "/", "/tmp"} {
			path := fmt.Sprintf("%s/probe-%d", dir, os.Getpid())
			err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(major, minor)))
			if err != nil {
				last = got(err)
				continue
			}
			if last = seen(true, ""); open {
				last = opens(path, unix.O_RDONLY)()
			}
			_ = unix.Unlink(path)
			if last.allowed {
				return last
			}
		}
		return last
	}
}
