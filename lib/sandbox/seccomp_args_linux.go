package sandbox

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Jump targets inside a condition, replaced when its length is known.
const (
	pass = 0xfe // behind the condition
	fail = 0xff // behind the rule's return
)

// conditions compares arguments, those of 64 bits in two halves because the
// machine of a filter has 32. The code falls through when all hold, and otherwise
// jumps over the one instruction that follows it.
func conditions(args []specs.LinuxSeccompArg, narrow bool) ([]unix.SockFilter, error) {
	var out []unix.SockFilter
	var ends []int // behind each condition
	for _, a := range args {
		if a.Index > 5 {
			return nil, fmt.Errorf("a system call has no argument %d", a.Index)
		}
		code, err := condition(a, narrow)
		if err != nil {
			return nil, err
		}
		out = append(out, code...)
		ends = append(ends, len(out))
	}
	c := 0
	for i := range out {
		if i >= ends[c] {
			c++
		}
		if out[i].Code&7 != unix.BPF_JMP {
			continue
		}
		for _, j := range []*uint8{&out[i].Jt, &out[i].Jf} {
			switch *j {
			case pass:
				*j = uint8(ends[c] - i - 1)
			case fail:
				*j = uint8(len(out) + 1 - i - 1)
			}
		}
	}
	return out, nil
}

func jump(code uint16, k uint32, t, f uint8) unix.SockFilter {
	return unix.SockFilter{Code: code, Jt: t, Jf: f, K: k}
}

// condition is what decides about the low half, where the arguments of an
// architecture are narrow. Else the high half comes first: where it decides, the
// low one is not looked at, and where it is equal the low one decides.
func condition(a specs.LinuxSeccompArg, narrow bool) ([]unix.SockFilter, error) {
	low, high, err := halves(a)
	if err != nil || narrow {
		return low, err
	}
	return append(high, low...), nil
}

func halves(a specs.LinuxSeccompArg) (low, high []unix.SockFilter, err error) {
	hi, lo := uint32(a.Value>>32), uint32(a.Value)
	loadHi := unix.SockFilter{Code: bpfLoad, K: uint32(offsetArguments + 8*a.Index + 4)}
	low = []unix.SockFilter{{Code: bpfLoad, K: uint32(offsetArguments + 8*a.Index)}}
	above := []unix.SockFilter{loadHi, jump(bpfJumpGreater, hi, pass, 0), jump(bpfJumpEqual, hi, 0, fail)}
	below := []unix.SockFilter{loadHi, jump(bpfJumpGreater, hi, fail, 0), jump(bpfJumpEqual, hi, 0, pass)}
	switch a.Op {
	case specs.OpEqualTo:
		return append(low, jump(bpfJumpEqual, lo, 0, fail)), []unix.SockFilter{loadHi, jump(bpfJumpEqual, hi, 0, fail)}, nil
	case specs.OpNotEqual:
		return append(low, jump(bpfJumpEqual, lo, fail, 0)), []unix.SockFilter{loadHi, jump(bpfJumpEqual, hi, 0, pass)}, nil
	case specs.OpGreaterThan:
		return append(low, jump(bpfJumpGreater, lo, 0, fail)), above, nil
	case specs.OpGreaterEqual:
		return append(low, jump(bpfJumpNotLess, lo, 0, fail)), above, nil
	case specs.OpLessThan:
		return append(low, jump(bpfJumpNotLess, lo, fail, 0)), below, nil
	case specs.OpLessEqual:
		return append(low, jump(bpfJumpGreater, lo, fail, 0)), below, nil
	case specs.OpMaskedEqual:
		want := a.ValueTwo & a.Value
		low = append(low, unix.SockFilter{Code: bpfAnd, K: lo}, jump(bpfJumpEqual, uint32(want), 0, fail))
		return low, []unix.SockFilter{loadHi, {Code: bpfAnd, K: hi}, jump(bpfJumpEqual, uint32(want>>32), 0, fail)}, nil
	}
	return nil, nil, fmt.Errorf("unknown operator %q", a.Op)
}
