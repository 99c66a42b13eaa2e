//go:build linux && !amd64

package sandbox

const canShare = false

func cloneSharing(flags, stack uintptr, p *part, report uintptr) (pid uintptr) {
	panic("sandbox: cloneSharing without canShare")
}
