package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var rightAttempts = []attempt{
	{"setuid", "become another user", works(unix.SYS_SETRESUID, 1, 1, 1)},
	{"setgroups", "join other groups", works(unix.SYS_SETGROUPS, 1, address(&[1]uint32{1}))},
	{"chown", "give files away", onFile(func(f string) error { return unix.Chown(f, 1, 1) })},
	{"file-capability", "give a program rights of its own", onFile(func(f string) error {
		return unix.Setxattr(f, "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
	})},
	{"immutable", "make files that nobody may remove", onFile(tryImmutable)},
	{"trusted-xattr", "set attributes that only the machine's root may", onFile(func(f string) error {
		return unix.Setxattr(f, "trusted.probe", []byte("x"), 0)
	})},
	{"setuid-program", "gain rights by a setuid program", tryNewPrivileges},
	{"ambient", "hand rights on to programs that have none", tryAmbient},
	{"bounding", "have any right that engines do not give", tryBounding},
}

// onFile does something to a file that is made for it.
func onFile(do func(string) error) func() result {
	return func() result {
		name := filepath.Join("/tmp", "probe-"+strconv.Itoa(os.Getpid()))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			return got(err)
		}
		defer os.Remove(name)
		return got(do(name))
	}
}

// immutable is FS_IMMUTABLE_FL of linux/fs.h.
const immutable = 0x10

// tryImmutable sets and takes back the attribute; a file system that has none
// does not tell.
func tryImmutable(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	flags, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags|immutable); err != nil {
		return err
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, flags)
}

func tryNewPrivileges() result {
	n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return got(err)
	}
	return seen(n == 0, "")
}

// tryAmbient looks for a capability in the sets that outlive a change of user.
func tryAmbient() result {
	for _, set := range []string{"CapInh", "CapAmb"} {
		if n := statusSet(set); n != 0 {
			return seen(true, set)
		}
	}
	return seen(false, "")
}

func tryBounding() result {
	const engines = 0xa80425fb // the fourteen of container engines
	return seen(statusSet("CapBnd")&^engines != 0, "")
}

func statusSet(name string) uint64 {
	raw, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name+":" {
			n, _ := strconv.ParseUint(f[1], 16, 64)
			return n
		}
	}
	return 0
}

var reachAttempts = []attempt{
	{"host-processes", "see processes of the machine", tryProcesses},
	{"host-kill", "signal processes of the machine", tryKill},
	{"host-name", "see the machine's name", tryName},
	{"host-files", "see files of the machine", tryFiles},
	{"host-abstract-socket", "reach services of the machine without a file", tryAbstract},
	{"host-loopback", "reach services on the machine's loopback", tryLoopback},
	{"host-interfaces", "see the machine's network", tryInterfaces},
	{"host-shared-memory", "reach shared memory of the machine", tryShared},
	{"host-environment", "read variables of the caller", tryEnvironment},
	{"host-descriptors", "use what the caller had open", tryDescriptors},
	{"host-uid", "be the machine's root", tryUID},
}

func tryProcesses() result {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if raw, _ := os.ReadFile(f); facts["word"] != "" && bytes.Contains(raw, []byte(facts["word"])) && !bytes.Contains(raw, []byte("word=")) {
			return seen(true, "")
		}
	}
	return seen(false, "")
}

func tryKill() result {
	pid, err := strconv.Atoi(facts["pid"])
	if err != nil {
		return seen(false, "not told")
	}
	return got(unix.Kill(pid, 0))
}

func tryName() result {
	name, _ := os.Hostname()
	return seen(name == facts["host"], "")
}

// tryFiles looks for a file by all the roots that there are.
func tryFiles() result {
	roots, _ := filepath.Glob("/proc/[0-9]*/root")
	more, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, r := range append(append(roots, more...), "", "..", "../../../..") {
		if _, err := os.Stat(r + facts["file"]); err == nil {
			return seen(true, "")
		}
	}
	return seen(false, "")
}

func tryAbstract() result {
	c, err := net.Dial("unix", "@"+facts["socket"])
	if err == nil {
		c.Close()
	}
	return seen(err == nil, "")
}

func tryLoopback() result {
	c, err := net.Dial("tcp", "127.0.0.1:"+facts["port"])
	if err == nil {
		c.Close()
	}
	return seen(err == nil, "")
}

func tryInterfaces() result {
	list, err := net.Interfaces()
	if err != nil {
		return seen(false, "")
	}
	for _, i := range list {
		// The kernel makes those of its tunnels in every network.
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return seen(true, "")
		}
	}
	return seen(false, "")
}

func tryShared() result {
	key, err := strconv.Atoi(facts["shm"])
	if err != nil {
		return seen(false, "not told")
	}
	_, err = unix.SysvShmGet(key, 0, 0)
	return got(err)
}

func tryEnvironment() result { return seen(os.Getenv(facts["env"]) != "", "") }

func tryDescriptors() result {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && n > 2 && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			return seen(true, "")
		}
	}
	return seen(false, "")
}

// tryUID reads the map of users: only a namespace of its own has another.
func tryUID() result {
	raw, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return got(err)
	}
	f := strings.Fields(string(raw))
	return seen(len(f) == 3 && f[1] == "0" && os.Getuid() == 0, "")
}
