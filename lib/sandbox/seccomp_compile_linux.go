package sandbox

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Instructions of classic BPF, and where they find what in struct seccomp_data.
const (
	bpfLoad         = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	bpfAnd          = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	bpfJump         = unix.BPF_JMP | unix.BPF_JA
	bpfJumpEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	bpfJumpGreater  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	bpfJumpNotLess  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	bpfReturn       = unix.BPF_RET | unix.BPF_K
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

// rule is what one entry of a profile says about one call.
type rule struct {
	nr     uint32
	first  bool                    // comes before all rules that are not
	args   []specs.LinuxSeccompArg // all must hold; none means always
	action uint32
}

// compileSeccomp turns a profile into a filter.
//
// The semantics are libseccomp's, by which engines and runtimes agree on what a
// profile means: a rule without arguments beats all that have some; the others
// are tried in order; conditions of one rule on the same argument are
// alternatives; a call of an architecture that the profile does not have kills.
// The filter is a binary search over ranges of numbers with equal treatment, a
// tenth of the instructions of a list.
func compileSeccomp(profile *specs.LinuxSeccomp, first []specs.LinuxSyscall) ([]unix.SockFilter, error) {
	for _, flag := range profile.Flags {
		// The first is about threads, of which a new process has one; without the
		// second the processor's protections stay on.
		if flag != "SECCOMP_FILTER_FLAG_TSYNC" && flag != "SECCOMP_FILTER_FLAG_SPEC_ALLOW" {
			return nil, fmt.Errorf("flag %q is not applied", flag)
		}
	}
	def, err := seccompAction(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	arches, err := architectures(profile.Architectures)
	if err != nil {
		return nil, err
	}
	out := []unix.SockFilter{{Code: bpfLoad, K: offsetArch}}
	for i := 0; i < len(arches); i++ {
		a := arches[i]
		body, err := archBody(a, profile, first, def)
		if err != nil {
			return nil, err
		}
		if i+1 < len(arches) && arches[i+1].audit == a.audit {
			i++
			other, err := archBody(arches[i], profile, first, def)
			if err != nil {
				return nil, err
			}
			body = slices.Concat(branch(bpfJumpNotLess, arches[i].bit, body), other)
		} else if a.audit == unix.AUDIT_ARCH_X86_64 {
			body = slices.Concat(branch(bpfJumpNotLess, x32Bit, body), []unix.SockFilter{{Code: bpfReturn, K: retKillProcess}})
		}
		body = append([]unix.SockFilter{{Code: bpfLoad, K: offsetNumber}}, body...)
		out = append(out, unless(bpfJumpEqual, a.audit, len(body))...)
		out = append(out, body...)
	}
	out = append(out, unix.SockFilter{Code: bpfReturn, K: retKillProcess})
	if len(out) > 4096 {
		return nil, fmt.Errorf("filter has %d instructions, the kernel takes 4096", len(out))
	}
	return out, nil
}

// x32Bit marks calls of the x32 ABI.
const x32Bit = 0x40000000

// unless skips n instructions when the comparison with k fails.
func unless(code uint16, k uint32, n int) []unix.SockFilter {
	if n < 256 {
		return []unix.SockFilter{{Code: code, Jf: uint8(n), K: k}}
	}
	return []unix.SockFilter{{Code: code, Jt: 1, K: k}, {Code: bpfJump, K: uint32(n)}}
}

// branch runs otherwise when the comparison with k fails; what is appended to
// the result runs when it holds. otherwise must not fall through.
func branch(code uint16, k uint32, otherwise []unix.SockFilter) []unix.SockFilter {
	n := len(otherwise)
	if n < 256 {
		return append([]unix.SockFilter{{Code: code, Jt: uint8(n), K: k}}, otherwise...)
	}
	return append([]unix.SockFilter{{Code: code, Jf: 1, K: k}, {Code: bpfJump, K: uint32(n)}}, otherwise...)
}

// archBody decides about the call whose number is loaded.
func archBody(a *seccompArch, profile *specs.LinuxSeccomp, first []specs.LinuxSyscall, def uint32) ([]unix.SockFilter, error) {
	rules := make([]rule, 0, 512)
	for i, call := range append(first[:len(first):len(first)], profile.Syscalls...) {
		action, err := seccompAction(call.Action, call.ErrnoRet)
		if err != nil {
			return nil, err
		}
		if i >= len(first) && action == def {
			continue // says what the default says; the runtimes leave it out, too
		}
		rules = a.appendRules(rules, call, rule{first: i < len(first), action: action})
	}
	rules = byNumber(rules)
	otherwise := returns(def)
	segments := make([]segment, 1, 256)
	segments[0] = segment{0, otherwise}
	for len(rules) > 0 {
		nr, n := rules[0].nr, 1
		for n < len(rules) && rules[n].nr == nr {
			n++
		}
		code, err := callBody(rules[:n], otherwise, a.narrow)
		if err != nil {
			return nil, err
		}
		segments = appendNumber(segments, nr, code, otherwise)
		rules = rules[n:]
	}
	return search(make([]unix.SockFilter, 0, 4*len(segments)), segments), nil
}

// byNumber sorts and keeps the order of rules for the same number.
func byNumber(rules []rule) []rule {
	keys := make([]uint64, len(rules))
	for i, r := range rules {
		keys[i] = uint64(r.nr)<<32 | uint64(i)
	}
	slices.Sort(keys)
	out := make([]rule, len(rules))
	for i, k := range keys {
		out[i] = rules[uint32(k)]
	}
	return out
}

// appendRules files a profile's entry under the numbers of its calls.
func (a *seccompArch) appendRules(rules []rule, call specs.LinuxSyscall, r rule) []rule {
	alternatives := splitArgs(call.Args)
	next := 0
	for _, name := range call.Names {
		var nr uint32
		var known bool
		nr, next, known = a.numberFrom(name, next)
		for _, r.args = range alternatives {
			if known {
				r.nr = nr
				rules = append(rules, r)
			}
			if len(a.multiplexed) > 0 {
				rules = a.appendMultiplexed(rules, name, r)
			}
		}
	}
	return rules
}

// appendMultiplexed covers the second way to a call on architectures that have
// one, such as socketcall(2). The filter cannot see arguments there: a rule that
// allows only some is not added, one that forbids some forbids all.
func (a *seccompArch) appendMultiplexed(rules []rule, name string, r rule) []rule {
	if len(r.args) > 0 && (r.action == retAllow || r.action == retLog) {
		return rules
	}
	for _, m := range a.multiplexed {
		for _, c := range m.calls {
			if c.name != name {
				continue
			}
			if nr, ok := a.number(m.name); ok {
				r.nr, r.args = nr, []specs.LinuxSeccompArg{{Index: 0, Value: uint64(c.nr), Op: specs.OpEqualTo}}
				rules = append(rules, r)
			}
		}
	}
	return rules
}

// splitArgs gives the alternatives of an entry: its conditions together, or each
// alone when two are about the same argument.
func splitArgs(args []specs.LinuxSeccompArg) [][]specs.LinuxSeccompArg {
	if len(args) < 2 {
		return [][]specs.LinuxSeccompArg{args}
	}
	seen := map[uint]bool{}
	for _, a := range args {
		if seen[a.Index] {
			out := make([][]specs.LinuxSeccompArg, len(args))
			for i := range args {
				out[i] = args[i : i+1]
			}
			return out
		}
		seen[a.Index] = true
	}
	return [][]specs.LinuxSeccompArg{args}
}

// callBody decides about one call.
func callBody(rules []rule, otherwise []unix.SockFilter, narrow bool) ([]unix.SockFilter, error) {
	chain, last := rules, otherwise
	for i, r := range rules {
		if len(r.args) == 0 && !r.first {
			last = returns(r.action)
			for chain = rules[:i]; len(chain) > 0 && !chain[len(chain)-1].first; {
				chain = chain[:len(chain)-1]
			}
			break
		}
	}
	if len(chain) == 0 {
		return last, nil
	}
	var out []unix.SockFilter
	for _, r := range chain {
		code, err := conditions(r.args, narrow)
		if err != nil {
			return nil, err
		}
		out = append(append(out, code...), unix.SockFilter{Code: bpfReturn, K: r.action})
	}
	return append(out, last...), nil
}

var allow = []unix.SockFilter{{Code: bpfReturn, K: retAllow}}

func returns(action uint32) []unix.SockFilter {
	if action == retAllow {
		return allow // what nearly all do
	}
	return []unix.SockFilter{{Code: bpfReturn, K: action}}
}

// segment is the treatment of all numbers from one on, up to the next segment.
type segment struct {
	from uint32
	code []unix.SockFilter
}

// appendNumber adds the treatment of one number, joined with the one before when
// it is the same, and the default behind it.
func appendNumber(s []segment, nr uint32, code, otherwise []unix.SockFilter) []segment {
	if s[len(s)-1].from == nr { // the default's segment behind the number before
		s = s[:len(s)-1]
	}
	if n := len(s); n == 0 || !slices.Equal(s[n-1].code, code) {
		s = append(s, segment{nr, code})
	}
	return append(s, segment{nr + 1, otherwise})
}

// search appends a binary search for the segment of the loaded number.
func search(out []unix.SockFilter, s []segment) []unix.SockFilter {
	if len(s) == 1 {
		return append(out, s[0].code...)
	}
	mid, at := len(s)/2, len(out)
	out = search(append(out, unix.SockFilter{Code: bpfJumpNotLess, K: s[mid].from}), s[:mid])
	if n := len(out) - at - 1; n < 256 {
		out[at].Jt = uint8(n)
	} else {
		out[at].Jf = 1
		out = slices.Insert(out, at+1, unix.SockFilter{Code: bpfJump, K: uint32(n)})
	}
	return search(out, s[mid:])
}
