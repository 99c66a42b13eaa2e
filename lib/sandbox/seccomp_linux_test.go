package sandbox

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

type call = seccompCall

func execute(t *testing.T, f []unix.SockFilter, c call) uint32 {
	t.Helper()
	verdict, err := decide(f, c)
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

// interesting are values at which comparisons tip over.
func interesting(r *rand.Rand, profile *specs.LinuxSeccomp) uint64 {
	values := []uint64{0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32, 1<<32 + 1, 1 << 63, ^uint64(0), unix.TIOCSTI}
	for _, s := range profile.Syscalls {
		for _, a := range s.Args {
			values = append(values, a.Value, a.Value-1, a.Value+1, a.Value^1<<32, a.Value<<32, a.ValueTwo, a.ValueTwo|1<<32, ^a.Value)
		}
	}
	return values[r.IntN(len(values))]
}

func randomProfile(r *rand.Rand) *specs.LinuxSeccomp {
	actions := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKillProcess, specs.ActTrap, specs.ActLog}
	ops := []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpMaskedEqual,
	}
	names := []string{"read", "write", "ioctl", "personality", "clone", "mmap", "prctl", "kill", "openat", "fcntl", "getpid"}
	values := []uint64{0, 1, 5, 0x5412, 0x7fffffff, 0xffffffff, 1 << 32, 1<<40 | 7, ^uint64(0)}
	p := &specs.LinuxSeccomp{
		DefaultAction: actions[r.IntN(2)],
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}[:1+r.IntN(3)],
	}
	perm := r.Perm(len(names))
	for i := range 1 + r.IntN(6) {
		s := specs.LinuxSyscall{Names: []string{names[perm[i]]}, Action: actions[r.IntN(len(actions))]}
		for j := range r.IntN(3) {
			s.Args = append(s.Args, specs.LinuxSeccompArg{
				Index: uint(j * 2), Op: ops[r.IntN(len(ops))], Value: values[r.IntN(len(values))], ValueTwo: values[r.IntN(len(values))],
			})
		}
		p.Syscalls = append(p.Syscalls, s)
	}
	return p
}

func TestConditionsCompare64Bits(t *testing.T) {
	const errno = retErrno | uint32(unix.EPERM)
	for _, c := range []struct {
		op    specs.LinuxSeccompOperator
		v, v2 uint64
		arg   uint64
		match bool
	}{
		{specs.OpEqualTo, 5, 0, 5, true},
		{specs.OpEqualTo, 5, 0, 5 | 1<<32, false},
		{specs.OpNotEqual, 5, 0, 5, false},
		{specs.OpNotEqual, 5, 0, 5 | 1<<32, true},
		{specs.OpGreaterThan, 1 << 32, 0, 0xffffffff, false},
		{specs.OpGreaterThan, 1 << 32, 0, 1 << 32, false},
		{specs.OpGreaterThan, 1<<32 | 9, 0, 2 << 32, true},
		{specs.OpGreaterEqual, 1 << 32, 0, 1 << 32, true},
		{specs.OpGreaterEqual, 1<<32 | 1, 0, 1 << 32, false},
		{specs.OpLessThan, 1<<32 | 1, 0, 1 << 32, true},
		{specs.OpLessThan, 2 << 32, 0, 1<<32 | 0xffffffff, true},
		{specs.OpLessThan, 5, 0, 1 << 32, false},
		{specs.OpLessEqual, 1 << 32, 0, 1 << 32, true},
		{specs.OpLessEqual, 1 << 32, 0, 1<<32 | 1, false},
		{specs.OpMaskedEqual, 0xffffffff, 0x5412, 0x5412 | 7<<32, true},
		{specs.OpMaskedEqual, 0xff << 32, 1 << 32, 1<<32 | 9, true},
		{specs.OpMaskedEqual, 0xff << 32, 1 << 32, 2 << 32, false},
	} {
		f, err := compileSeccomp(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"ioctl"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 3, Value: c.v, ValueTwo: c.v2, Op: c.op}},
		}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := uint32(retAllow)
		if c.match {
			want = errno
		}
		got := execute(t, f, call{nr: unix.SYS_IOCTL, arch: seccompArches[0].audit, args: [6]uint64{3: c.arg}})
		if got != want {
			t.Errorf("%s %#x %#x: argument %#x gives %#x, want %#x", c.op, c.v, c.v2, c.arg, got, want)
		}
	}
}

func TestDefaultProfile(t *testing.T) {
	spec := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
	f, err := seccompFilter(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d instructions", len(f))
	native := &seccompArches[0]
	number := func(a *seccompArch, name string) uint32 {
		nr, ok := a.number(name)
		if !ok {
			t.Fatalf("%s has no %s", a.name, name)
		}
		return nr
	}
	const eperm, enosys = retErrno | uint32(unix.EPERM), retErrno | uint32(unix.ENOSYS)
	for _, c := range []struct {
		name string
		args [6]uint64
		want uint32
	}{
		{"read", [6]uint64{}, retAllow},
		{"execve", [6]uint64{}, retAllow},
		{"mount", [6]uint64{}, eperm},
		{"keyctl", [6]uint64{}, eperm},
		{"bpf", [6]uint64{}, eperm},
		{"userfaultfd", [6]uint64{}, eperm},
		{"io_uring_setup", [6]uint64{}, eperm},
		{"unshare", [6]uint64{unix.CLONE_NEWUSER}, eperm},
		{"clone", [6]uint64{unix.CLONE_NEWUSER}, eperm},
		{"clone", [6]uint64{uint64(unix.SIGCHLD)}, retAllow},
		{"clone3", [6]uint64{}, enosys},
		{"socket", [6]uint64{unix.AF_VSOCK}, eperm},
		{"socket", [6]uint64{unix.AF_INET}, retAllow},
		{"personality", [6]uint64{0xffffffff}, retAllow},
		{"personality", [6]uint64{0x40000}, eperm},
		{"ioctl", [6]uint64{1: unix.TCGETS}, retAllow},
		{"ioctl", [6]uint64{1: unix.TIOCSTI}, eperm},
		{"ioctl", [6]uint64{1: 1<<32 | unix.TIOCSTI}, eperm},
		{"ioctl", [6]uint64{1: unix.TIOCLINUX}, eperm},
	} {
		for i := range seccompArches {
			a := &seccompArches[i]
			if _, ok := a.number(c.name); !ok {
				continue
			}
			if got := execute(t, f, call{number(a, c.name), a.audit, c.args}); got != c.want {
				t.Errorf("%s: %s%v gives %#x, want %#x", a.name, c.name, c.args, got, c.want)
			}
		}
	}
	if got := execute(t, f, call{0xfff, native.audit, [6]uint64{}}); got != eperm {
		t.Errorf("an unknown call gives %#x", got)
	}
	if got := execute(t, f, call{0, 0x12345678, [6]uint64{}}); got != retKillProcess {
		t.Errorf("an unknown architecture gives %#x", got)
	}
}

func TestArchitecturesNotNamedKill(t *testing.T) {
	f, err := compileSeccomp(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range seccompArches[1:] {
		nr, _ := a.number("read")
		if got := execute(t, f, call{nr, a.audit, [6]uint64{}}); got != retKillProcess {
			t.Errorf("%s: read gives %#x", a.name, got)
		}
	}
}

func TestSeccompRefuses(t *testing.T) {
	for _, p := range []*specs.LinuxSeccomp{
		{DefaultAction: "SCMP_ACT_WHATEVER"},
		{DefaultAction: specs.ActNotify},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: "no"}}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "no"}}}}},
	} {
		if _, err := compileSeccomp(p, nil); err == nil {
			t.Errorf("%+v: no error", p)
		}
	}
}

// libseccomp gives a function that compiles profiles with the library of that
// name, by a small C program.
func libseccomp(t *testing.T) func(*specs.LinuxSeccomp) []unix.SockFilter {
	if runtime.GOARCH != "amd64" {
		t.Skip("the comparison is written for x86-64")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is not installed: no comparison with libseccomp")
	}
	bin := filepath.Join(t.TempDir(), "export")
	if out, err := exec.Command(gcc, "-o", bin, "testdata/export.c", "-lseccomp").CombinedOutput(); err != nil {
		t.Skipf("libseccomp's headers are not installed: %s", out)
	}
	ops := map[specs.LinuxSeccompOperator]int{
		specs.OpNotEqual: 1, specs.OpLessThan: 2, specs.OpLessEqual: 3, specs.OpEqualTo: 4, specs.OpGreaterEqual: 5, specs.OpGreaterThan: 6, specs.OpMaskedEqual: 7,
	}
	audit := map[specs.Arch]uint32{specs.ArchX86_64: unix.AUDIT_ARCH_X86_64, specs.ArchX86: unix.AUDIT_ARCH_I386, specs.ArchX32: 0x4000003e}
	return func(p *specs.LinuxSeccomp) []unix.SockFilter {
		var in strings.Builder
		def, _ := seccompAction(p.DefaultAction, p.DefaultErrnoRet)
		fmt.Fprintf(&in, "default %d\n", def)
		for _, a := range p.Architectures {
			fmt.Fprintf(&in, "arch %d\n", audit[a])
		}
		for _, s := range p.Syscalls {
			action, _ := seccompAction(s.Action, s.ErrnoRet)
			for _, name := range s.Names {
				if action == def {
					continue
				}
				fmt.Fprintf(&in, "rule %d %s %d", action, name, len(s.Args))
				for _, a := range s.Args {
					fmt.Fprintf(&in, " %d %d %d %d", a.Index, ops[a.Op], a.Value, a.ValueTwo)
				}
				in.WriteString("\n")
			}
		}
		cmd := exec.Command(bin)
		cmd.Stdin = strings.NewReader(in.String())
		cmd.Stderr = os.Stderr
		if !testing.Verbose() {
			cmd.Stderr = nil
		}
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("libseccomp: %v\n%s", err, in.String())
		}
		var f []unix.SockFilter
		for ; len(out) >= 8; out = out[8:] {
			f = append(f, unix.SockFilter{Code: binary.NativeEndian.Uint16(out), Jt: out[2], Jf: out[3], K: binary.NativeEndian.Uint32(out[4:])})
		}
		return f
	}
}

func TestAgreesWithLibseccomp(t *testing.T) {
	compile := libseccomp(t)
	r := rand.New(rand.NewPCG(1, 2))
	profiles := []*specs.LinuxSeccomp{defaultFor(t, nil), defaultFor(t, []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"})}
	for range 40 {
		profiles = append(profiles, randomProfile(r))
	}
	for i, p := range profiles {
		ours, err := compileSeccomp(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		theirs := compile(p)
		calls := 4000
		if i < 2 {
			calls = 20000
		}
		for range calls {
			c := randomCall(r, p)
			if !libseccompKnows(c) {
				continue
			}
			got, want := sameKill(execute(t, ours, c)), sameKill(execute(t, theirs, c))
			if got != want {
				brief := *p
				if i < 2 {
					brief.Syscalls = nil
				}
				t.Fatalf("profile %d %+v: call %+v gives %#x, libseccomp %#x", i, brief, c, got, want)
			}
		}
	}
}

func defaultFor(t *testing.T, caps []string) *specs.LinuxSeccomp {
	p, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// randomCall prefers architectures and numbers that mean something. 32-bit
// programs have no high halves.
func randomCall(r *rand.Rand, p *specs.LinuxSeccomp) call {
	a := seccompArches[r.IntN(len(seccompArches))]
	var c call
	c.arch, c.nr = a.audit, uint32(r.IntN(480))|a.bit
	if len(p.Syscalls) > 0 && r.IntN(2) == 0 {
		s := p.Syscalls[r.IntN(len(p.Syscalls))]
		if nr, ok := a.number(s.Names[r.IntN(len(s.Names))]); ok {
			c.nr = nr
		}
	}
	for i := range c.args {
		c.args[i] = interesting(r, p)
		if a.name == specs.ArchX86 {
			c.args[i] &= 0xffffffff
		}
	}
	return c
}

// libseccompKnows leaves out what the installed library cannot be asked about:
// calls newer than it is, and x32 numbers that differ from the 64-bit ones only
// in what it lists.
func libseccompKnows(c call) bool {
	const newest = 448 // process_mrelease; uretprobe has 335, and is newer
	nr := c.nr &^ x32Bit
	return nr <= newest && nr != 335 || nr >= 512 && c.nr&x32Bit != 0
}

func TestTablesAreSorted(t *testing.T) {
	for _, a := range seccompArches {
		if !slices.IsSortedFunc(a.table, func(x, y sysno) int { return strings.Compare(x.name, y.name) }) {
			t.Errorf("the table of %s is not sorted", a.name)
		}
	}
}

func BenchmarkDefaultFilter(b *testing.B) {
	spec := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
	for b.Loop() {
		if _, err := seccompFilter(spec); err != nil {
			b.Fatal(err)
		}
	}
}
