package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Numbers of linux/seccomp.h.
const (
	seccompSetModeFilter = 1
	retKillProcess       = 0x80000000
	retKillThread        = 0x00000000
	retTrap              = 0x00030000
	retErrno             = 0x00050000
	retTrace             = 0x7ff00000
	retLog               = 0x7ffc0000
	retAllow             = 0x7fff0000
)

// guards are checked before a profile's rules. The default profile of container
// engines lets every ioctl pass, but a container that runs on its caller's
// terminal could type into it with TIOCSTI or paste with TIOCLINUX and so
// command the shell outside. The kernel looks at the low half of the request
// alone, and so does this (a filter that compared all 64 bits was CVE-2019-7303).
var guards = []specs.LinuxSyscall{
	ioctlGuard(unix.TIOCSTI), ioctlGuard(unix.TIOCLINUX),
}

func ioctlGuard(request uint64) specs.LinuxSyscall {
	return specs.LinuxSyscall{
		Names: []string{"ioctl"}, Action: specs.ActErrno,
		Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0xffffffff, ValueTwo: request, Op: specs.OpMaskedEqual}},
	}
}

// seccompFilter is the filter a container gets: the one of its config.json, else
// the default profile of container engines, which follows the capabilities that
// the container has. One that allows everything is none.
func seccompFilter(spec *specs.Spec) ([]unix.SockFilter, error) {
	if f := usual(spec); f != nil {
		return f, nil
	}
	return compileFilter(spec)
}

func compileFilter(spec *specs.Spec) ([]unix.SockFilter, error) {
	profile := spec.Linux.Seccomp
	var first []specs.LinuxSyscall
	if profile == nil {
		if spec.Process.Capabilities == nil {
			bare := *spec.Process
			bare.Capabilities = &specs.LinuxCapabilities{}
			spec = &specs.Spec{Process: &bare}
		}
		var err error
		if profile, err = moby.GetDefaultProfile(spec); err != nil {
			return nil, fmt.Errorf("make seccomp filter: %w", err)
		}
		first = guards
	} else if profile.DefaultAction == specs.ActAllow && len(profile.Syscalls) == 0 {
		return nil, nil
	}
	f, err := compileSeccomp(profile, first)
	if err != nil {
		return nil, fmt.Errorf("make seccomp filter: %w", err)
	}
	return f, nil
}

// seccompAction is what the kernel returns for an action.
func seccompAction(a specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		if *errno > 4095 {
			return 0, fmt.Errorf("errno %d is out of range", *errno)
		}
		data = uint32(*errno)
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return retKillThread, nil
	case specs.ActKillProcess:
		return retKillProcess, nil
	case specs.ActTrap:
		return retTrap, nil
	case specs.ActErrno:
		return retErrno | data, nil
	case specs.ActTrace:
		return retTrace | data, nil
	case specs.ActLog:
		return retLog, nil
	case specs.ActAllow:
		return retAllow, nil
	case specs.ActNotify:
		return 0, errors.New("action SCMP_ACT_NOTIFY: there is no agent to notify")
	}
	return 0, fmt.Errorf("unknown action %q", a)
}

// sysno is a system call by name.
type sysno struct {
	name string
	nr   uint32
}

// seccompArch is an architecture whose calls a filter knows.
type seccompArch struct {
	name  specs.Arch
	audit uint32
	table []sysno
	// narrow arguments have 32 bits that count.
	narrow bool
	// x32 calls come with the audit number of x86-64 and this bit in theirs.
	bit uint32
	// renumbered are calls that have other numbers than in table, absent those
	// that the table has and the architecture has not.
	renumbered []sysno
	absent     []string
	// multiplexed calls are reached through others too.
	multiplexed []multiplexer
}

// multiplexer is a call whose first argument selects one of many.
type multiplexer struct {
	name  string
	calls []sysno
}

// number finds a call. Names that an architecture has not are of no importance:
// profiles list those of all.
func (a *seccompArch) number(name string) (uint32, bool) {
	nr, _, ok := a.numberFrom(name, 0)
	return nr, ok
}

// numberFrom tries some places from one on before it searches: profiles are
// mostly in the order of the alphabet, as the table is. It also gives the place
// to try for the next name.
func (a *seccompArch) numberFrom(name string, from int) (nr uint32, next int, ok bool) {
	for _, s := range a.renumbered {
		if s.name == name {
			return s.nr | a.bit, from, true
		}
	}
	if slices.Contains(a.absent, name) {
		return 0, from, false
	}
	for i := from; i < len(a.table) && i < from+8; i++ {
		if a.table[i].name == name {
			return a.table[i].nr | a.bit, i + 1, true
		}
	}
	i, ok := slices.BinarySearchFunc(a.table, name, func(s sysno, name string) int { return strings.Compare(s.name, name) })
	if !ok {
		return 0, i, false
	}
	return a.table[i].nr | a.bit, i + 1, true
}

// architectures picks those that the profile names, the native one always.
func architectures(names []specs.Arch) ([]*seccompArch, error) {
	if len(seccompArches) == 0 {
		return nil, fmt.Errorf("no table of system calls for %s: run with --no-seccomp", runtime.GOARCH)
	}
	use := []*seccompArch{&seccompArches[0]}
	for i := range seccompArches[1:] {
		a := &seccompArches[i+1]
		for _, name := range names {
			if name == a.name {
				use = append(use, a)
				break
			}
		}
	}
	return use, nil
}
