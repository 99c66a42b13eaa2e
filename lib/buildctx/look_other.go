//go:build !linux || (!amd64 && !arm64)

package buildctx

import "golang.org/x/sys/unix"

// lookAt is lstat of a name that a local directory holds.
func lookAt(dir int, name string, st *unix.Stat_t) error {
	return unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW)
}
