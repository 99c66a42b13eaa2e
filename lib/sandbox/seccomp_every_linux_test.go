package sandbox

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestAgreesWithLibseccompOnEveryCall compares verdicts over all numbers of all
// architectures, and for the calls that a profile has conditions on at the values
// where those tip over: of each argument alone, and with the others met.
func TestAgreesWithLibseccompOnEveryCall(t *testing.T) {
	compile := libseccomp(t)
	r := rand.New(rand.NewPCG(3, 4))
	profiles := []*specs.LinuxSeccomp{
		defaultFor(t, nil), defaultFor(t, boxCaps), defaultFor(t, []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}),
		defaultFor(t, []string{"CAP_SYS_MODULE", "CAP_SYS_TIME", "CAP_SYS_NICE", "CAP_SYSLOG", "CAP_BPF", "CAP_PERFMON", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_DAC_READ_SEARCH"}),
	}
	random := 60
	if testing.Short() {
		random = 6
	}
	for range random {
		profiles = append(profiles, randomProfile(r))
	}
	total := 0
	for i, p := range profiles {
		ours, err := compileSeccomp(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		theirs := compile(p)
		for _, c := range everyCall(r, p) {
			if !libseccompKnows(c) {
				continue
			}
			total++
			if got, want := sameKill(execute(t, ours, c)), sameKill(execute(t, theirs, c)); got != want {
				t.Fatalf("profile %d: call %+v gives %#x, libseccomp %#x", i, c, got, want)
			}
		}
	}
	t.Logf("%d verdicts of %d profiles are equal", total, len(profiles))
}

// randomAlternatives has several rules for each call, with one action, for which
// an order means nothing.
func randomAlternatives(r *rand.Rand) *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}}
	ops := []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpLessEqual, specs.OpMaskedEqual}
	for _, name := range []string{"ioctl", "clone", "personality", "socket", "fcntl"} {
		for range 1 + r.IntN(5) {
			s := specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow}
			for i := range 1 + r.IntN(3) {
				a := specs.LinuxSeccompArg{Index: uint(i), Op: ops[r.IntN(len(ops))], Value: r.Uint64() >> r.IntN(64), ValueTwo: r.Uint64() >> r.IntN(64)}
				if a.Op == specs.OpMaskedEqual {
					a.ValueTwo &= a.Value
				}
				s.Args = append(s.Args, a)
			}
			p.Syscalls = append(p.Syscalls, s)
		}
	}
	return p
}

// sameKill takes the two ways to kill for one: a profile's KILL is a thread's, of
// which libseccomp's later versions make the process's.
func sameKill(verdict uint32) uint32 {
	if verdict == retKillThread {
		return retKillProcess
	}
	return verdict
}

// everyCall are the calls to compare.
func everyCall(r *rand.Rand, p *specs.LinuxSeccomp) (calls []call) {
	for i := range seccompArches {
		a := &seccompArches[i]
		conditions := map[uint32][][]specs.LinuxSeccompArg{}
		for _, s := range p.Syscalls {
			for _, name := range s.Names {
				if nr, ok := a.number(name); ok && len(s.Args) > 0 {
					conditions[nr] = append(conditions[nr], s.Args)
				}
			}
		}
		for nr := range uint32(600) {
			c := call{nr: nr | a.bit, arch: a.audit}
			calls = append(calls, c)
			for _, args := range conditions[c.nr] {
				calls = append(calls, aroundConditions(r, c, args, a.narrow && a.bit == 0)...)
			}
		}
		for _, nr := range []uint32{1 << 20, 0x3fffffff, 0x7fffffff, 0xffffffff} {
			calls = append(calls, call{nr: nr &^ x32Bit, arch: a.audit})
		}
	}
	for _, audit := range []uint32{0, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_PPC64LE, 0xffffffff} {
		calls = append(calls, call{arch: audit}, call{nr: 59, arch: audit})
	}
	return calls
}

// aroundConditions varies each argument over the values that matter while the
// others are zero, are what their conditions name, or are anything.
func aroundConditions(r *rand.Rand, c call, args []specs.LinuxSeccompArg, narrow bool) (calls []call) {
	var met [6]uint64
	for _, a := range args {
		met[a.Index] = a.Value
		if a.Op == specs.OpMaskedEqual {
			met[a.Index] = a.ValueTwo
		}
	}
	for _, a := range args {
		for _, v := range tipping(a) {
			for _, others := range [][6]uint64{{}, met, {r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()}} {
				others[a.Index] = v
				c.args = others
				for i := range c.args {
					if narrow {
						c.args[i] &= 0xffffffff
					}
				}
				calls = append(calls, c)
			}
		}
	}
	return calls
}

// tipping are the values at and beside which a condition changes its mind, in
// both halves.
func tipping(a specs.LinuxSeccompArg) []uint64 {
	const high = 1 << 32
	list := []uint64{0, 1, high - 1, high, high + 1, 1 << 63, ^uint64(0)}
	for _, v := range []uint64{a.Value, a.ValueTwo, a.Value & a.ValueTwo, a.ValueTwo | ^a.Value} {
		list = append(list, v, v-1, v+1, v^high, v+high, v-high, v&(high-1), v<<32|v>>32, ^v)
	}
	return list
}

// holds is what a condition means. An architecture of narrow arguments has the
// low half of everything.
func holds(a specs.LinuxSeccompArg, v uint64, narrow bool) bool {
	value, two := a.Value, a.ValueTwo
	if narrow {
		v, value, two = v&0xffffffff, value&0xffffffff, two&0xffffffff
	}
	switch a.Op {
	case specs.OpEqualTo:
		return v == value
	case specs.OpNotEqual:
		return v != value
	case specs.OpGreaterThan:
		return v > value
	case specs.OpGreaterEqual:
		return v >= value
	case specs.OpLessThan:
		return v < value
	case specs.OpLessEqual:
		return v <= value
	}
	return v&value == two&value
}

// TestAlternativesMeanWhatTheySay compares with what the rules say, one by one.
// libseccomp 2.5 does not always: it joins the conditions of several rules for
// a call in a tree, and where those are comparisons loses some.
func TestAlternativesMeanWhatTheySay(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 25 {
		p := randomAlternatives(r)
		f, err := compileSeccomp(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range everyCall(r, p) {
			i := slices.IndexFunc(seccompArches, func(a seccompArch) bool {
				return a.audit == c.arch && a.bit == c.nr&x32Bit
			})
			if i < 0 || c.nr&^x32Bit > 600 {
				continue
			}
			a := &seccompArches[i]
			want := uint32(retErrno) | uint32(unix.EPERM)
			for _, s := range p.Syscalls {
				nr, ok := a.number(s.Names[0])
				if ok && nr == c.nr && !slices.ContainsFunc(s.Args, func(arg specs.LinuxSeccompArg) bool { return !holds(arg, c.args[arg.Index], a.narrow) }) {
					want = retAllow
				}
			}
			if got := execute(t, f, c); got != want {
				t.Fatalf("%+v: call %+v gives %#x, want %#x", p.Syscalls, c, got, want)
			}
		}
	}
}
