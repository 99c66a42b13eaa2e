package sandbox

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var seccompArches = []seccompArch{
	{name: specs.ArchAARCH64, audit: unix.AUDIT_ARCH_AARCH64, table: syscallsarm64},
	{name: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM, table: syscallsarm, narrow: true},
}
