//go:build unix && !linux

package layer

import "golang.org/x/sys/unix"

const errNoXattr = unix.ENOATTR

// OpaqueXattr is the name of the attribute that makes a directory of an overlay
// hide what is below it. This platform has no overlayfs.
func OpaqueXattr() string { return "user.overlay.opaque" }

func isWhiteout(st *unix.Stat_t) bool { return false }

func isOpaque(dirfd int, name string) bool { return false }

func chmodNode(dirfd int, name string, mode, kind uint32) error {
	return unix.Fchmodat(dirfd, name, mode&0o7777, unix.AT_SYMLINK_NOFOLLOW)
}

func chmodDir(fd int, mode uint32) error { return unix.Fchmod(fd, mode) }
