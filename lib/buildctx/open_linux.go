package buildctx

import "golang.org/x/sys/unix"

// openIn opens a path below root that must not hold a symbolic link. The kernel
// checks it in one call where it can.
func openIn(root int, path string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := retryOpen(func() (int, error) { return unix.Openat2(root, path, &how) })
	if err != nil && needsSteps(err) {
		return openSteps(root, path, flags)
	}
	return fd, err
}
