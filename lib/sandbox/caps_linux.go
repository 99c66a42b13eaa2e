package sandbox

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capNames are the capabilities by number. A number that a newer kernel has and
// this list has not is dropped from every set.
var capNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
	"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
	"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
	"CHECKPOINT_RESTORE",
}

// capSet is a set of capabilities by number.
type capSet uint64

func (s capSet) has(n int) bool { return s>>n&1 == 1 }

func parseCaps(names []string) (capSet, error) {
	var set capSet
next:
	for _, name := range names {
		short := strings.TrimPrefix(name, "CAP_")
		for n, known := range capNames {
			if known == short {
				set |= 1 << n
				continue next
			}
		}
		return 0, fmt.Errorf("unknown capability %q", name)
	}
	return set, nil
}

// Capabilities names those that the caller has and may hand on, with CAP_: all,
// for root on the machine or in a user namespace, unless something took some away.
func Capabilities() ([]string, error) {
	has, err := callersCaps()
	if err != nil {
		return nil, err
	}
	names := []string{}
	for n, name := range capNames {
		if has.has(n) {
			names = append(names, "CAP_"+name)
		}
	}
	return names, nil
}

func callersCaps() (capSet, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return capSet(data[0].Permitted) | capSet(data[1].Permitted)<<32, nil
}

// capSets are the five sets of a process.
type capSets struct{ bounding, permitted, effective, inheritable, ambient capSet }

func parseCapSets(c *specs.LinuxCapabilities) (s capSets, err error) {
	if c == nil {
		return s, nil
	}
	for _, set := range []struct {
		dst   *capSet
		names []string
	}{
		{&s.bounding, c.Bounding}, {&s.permitted, c.Permitted}, {&s.effective, c.Effective},
		{&s.inheritable, c.Inheritable}, {&s.ambient, c.Ambient},
	} {
		if *set.dst, err = parseCaps(set.names); err != nil {
			return s, err
		}
	}
	if s.effective&^s.permitted != 0 {
		return s, fmt.Errorf("capabilities: the effective set has what the permitted set has not")
	}
	if s.ambient&^(s.permitted&s.inheritable) != 0 {
		return s, fmt.Errorf("capabilities: the ambient set has what the permitted or the inheritable set has not")
	}
	return s, nil
}

// maxCap is where dropping from the bounding set ends; the kernel knows fewer
// and refuses the rest, which is of no importance.
const maxCap = 63

type capHeader struct {
	version uint32
	_       int32 // a process id: 0 is the caller
}

type capData struct{ effective, permitted, inheritable uint32 }

func (p *program) capset(name string, s capSets) {
	header := pointer(p, []capHeader{{version: unix.LINUX_CAPABILITY_VERSION_3}})
	data := pointer(p, []capData{
		{uint32(s.effective), uint32(s.permitted), uint32(s.inheritable)},
		{uint32(s.effective >> 32), uint32(s.permitted >> 32), uint32(s.inheritable >> 32)},
	})
	p.add(name, unix.SYS_CAPSET, header, data)
}

// dropBounding leaves the given capabilities in the bounding set.
func (p *program) dropBounding(keep capSet) {
	for n := range maxCap {
		if !keep.has(n) {
			s := p.prctl("limit capabilities", unix.PR_CAPBSET_DROP, uintptr(n))
			if n >= len(capNames) {
				s.kind = try
			}
		}
	}
}

func (p *program) dropAllCapabilities() {
	p.dropBounding(0)
	p.prctl("clear ambient capabilities", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0).kind = try
	p.capset("drop capabilities", capSets{})
}

// identity is who the process is.
type identity struct {
	uid, gid  uint32
	groups    []uint32
	setgroups bool // false where the user namespace forbids it
}

// become gives the process its user and capabilities. SETPCAP goes last, with
// the sets themselves.
func (p *program) become(id identity, caps capSets) {
	p.dropBounding(caps.bounding)
	if id.setgroups {
		p.add("set groups", unix.SYS_SETGROUPS, uintptr(len(id.groups)), pointer(p, id.groups))
	}
	p.prctl("keep capabilities", unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
	p.add("set group", unix.SYS_SETRESGID, uintptr(id.gid), uintptr(id.gid), uintptr(id.gid))
	p.add("set user", unix.SYS_SETRESUID, uintptr(id.uid), uintptr(id.uid), uintptr(id.uid))
	p.prctl("keep capabilities", unix.PR_SET_KEEPCAPS, 0, 0, 0, 0)
	p.capset("set capabilities", caps)
	p.prctl("clear ambient capabilities", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	for n := range capNames {
		if caps.ambient.has(n) {
			p.prctl("set ambient capabilities", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(n), 0, 0)
		}
	}
}
