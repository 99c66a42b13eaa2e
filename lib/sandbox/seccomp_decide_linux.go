package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// seccompCall is what a filter decides about: struct seccomp_data.
type seccompCall struct {
	nr, arch uint32
	args     [6]uint64
}

// word is the 32 bits at an offset of struct seccomp_data.
func (c seccompCall) word(offset uint32) uint32 {
	switch {
	case offset == offsetNumber:
		return c.nr
	case offset == offsetArch:
		return c.arch
	case offset < offsetArguments:
		return 0
	}
	v := c.args[(offset-offsetArguments)/8]
	if offset%8 == 4 {
		return uint32(v >> 32)
	}
	return uint32(v)
}

// decide runs a filter as the kernel does, and gives its verdict.
func decide(f []unix.SockFilter, c seccompCall) (uint32, error) {
	var a uint32
	for pc := 0; pc < len(f); pc++ {
		in := f[pc]
		taken := false
		switch in.Code {
		case bpfLoad:
			a = c.word(in.K)
			continue
		case bpfAnd:
			a &= in.K
			continue
		case bpfReturn:
			return in.K, nil
		case bpfJump:
			pc += int(in.K)
			continue
		case bpfJumpEqual:
			taken = a == in.K
		case bpfJumpGreater:
			taken = a > in.K
		case bpfJumpNotLess:
			taken = a >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K: // libseccomp's
			taken = a&in.K != 0
		default:
			return 0, fmt.Errorf("seccomp filter: instruction %d: unknown code %#x", pc, in.Code)
		}
		if taken {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	return 0, errors.New("seccomp filter: it ends without a verdict")
}
