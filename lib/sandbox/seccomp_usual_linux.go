package sandbox

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

//go:generate env UPDATE=1 go test -run TestUsualFilter .

// usualCaps are the capabilities that engines give a container, and nearly all
// have. For them the default profile is compiled beforehand: that takes as long as
// everything else that a start computes.
var usualCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// usual gives the default filter for a container with the usual capabilities, nil
// for any other.
func usual(spec *specs.Spec) []unix.SockFilter {
	if spec.Linux.Seccomp != nil || spec.Process.Capabilities == nil {
		return nil
	}
	has, err := parseCaps(spec.Process.Capabilities.Bounding)
	if want, werr := parseCaps(usualCaps); err != nil || werr != nil || has != want {
		return nil
	}
	return usualFilter()
}
