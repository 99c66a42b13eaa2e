package sandbox

import (
	_ "embed"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usualCode is what compileFilter makes of the usual capabilities.
//
//go:embed seccomp_usual_amd64.bpf
var usualCode string

func usualFilter() []unix.SockFilter {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	f := make([]unix.SockFilter, len(usualCode)/size)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), len(f)*size), usualCode)
	return f
}
