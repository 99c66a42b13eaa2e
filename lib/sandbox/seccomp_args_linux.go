// SPDX-License-Identifier: Apache-2.0

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

// conditions compares arguments, 64 bits in two halves because the machine of a
// filter has 32. The code falls through when all hold, and otherwise jumps over
// the one instruction that follows it.
func conditions(args []specs.LinuxSeccompArg) ([]unix.SockFilter, error) {
	var out []unix.SockFilter
	var ends []int // behind each condition
	for _, a := range args {
		if a.Index > 5 {
			return nil, fmt.Errorf("a system call has no argument %d", a.Index)
		}
		code, err := condition(a)
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

// condition compares the high half first: where it decides, the low one is not
// looked at, and where it is equal the low one decides.
func condition(a specs.LinuxSeccompArg) ([]unix.SockFilter, error) {
	hi, lo := uint32(a.Value>>32), uint32(a.Value)
	loadHi := unix.SockFilter{Code: bpfLoad, K: uint32(offsetArguments + 8*a.Index + 4)}
	loadLo := unix.SockFilter{Code: bpfLoad, K: uint32(offsetArguments + 8*a.Index)}
	jump := func(code uint16, k uint32, t, f uint8) unix.SockFilter {
		return unix.SockFilter{Code: code, Jt: t, Jf: f, K: k}
	}
	switch a.Op {
	case specs.OpEqualTo:
		return []unix.SockFilter{loadHi, jump(bpfJumpEqual, hi, 0, fail), loadLo, jump(bpfJumpEqual, lo, 0, fail)}, nil
	case specs.OpNotEqual:
		return []unix.SockFilter{loadHi, jump(bpfJumpEqual, hi, 0, pass), loadLo, jump(bpfJumpEqual, lo, fail, 0)}, nil
	case specs.OpGreaterThan, specs.OpGreaterEqual:
		last := jump(bpfJumpGreater, lo, 0, fail)
		if a.Op == specs.OpGreaterEqual {
			last.Code = bpfJumpNotLess
		}
		return []unix.SockFilter{loadHi, jump(bpfJumpGreater, hi, pass, 0), jump(bpfJumpEqual, hi, 0, fail), loadLo, last}, nil
	case specs.OpLessThan, specs.OpLessEqual:
		last := jump(bpfJumpNotLess, lo, fail, 0)
		if a.Op == specs.OpLessEqual {
			last.Code = bpfJumpGreater
		}
		return []unix.SockFilter{loadHi, jump(bpfJumpGreater, hi, fail, 0), jump(bpfJumpEqual, hi, 0, pass), loadLo, last}, nil
	case specs.OpMaskedEqual:
		want := a.ValueTwo & a.Value
		return []unix.SockFilter{
			loadHi, {Code: bpfAnd, K: hi}, jump(bpfJumpEqual, uint32(want>>32), 0, fail),
			loadLo, {Code: bpfAnd, K: lo}, jump(bpfJumpEqual, uint32(want), 0, fail),
		}, nil
	}
	return nil, fmt.Errorf("unknown operator %q", a.Op)
}
