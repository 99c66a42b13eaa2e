package layer

import (
	"sync"

	"golang.org/x/sys/unix"
)

const errNoXattr = unix.ENODATA

// Names of the attribute that makes a directory of an overlay hide what is below it.
const (
	trustedOpaque = "trusted.overlay.opaque"
	userOpaque    = "user.overlay.opaque"
)

// OpaqueXattr is the name of overlayfs's opaque attribute that this process can
// set and mount with: trusted.overlay.opaque for CAP_SYS_ADMIN in the initial
// user namespace, user.overlay.opaque (mount option userxattr) for everybody else.
var OpaqueXattr = sync.OnceValue(func() string {
	// Only there may anybody see trusted attributes; asking for one on a file
	// that has none tells the two cases apart without writing anything.
	if hasSysAdmin() && inInitialUserNamespace() {
		return trustedOpaque
	}
	return userOpaque
})

func hasSysAdmin() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// initialUserNamespace is the inode number that the kernel gives to the first
// user namespace (PROC_USER_INIT_INO).
const initialUserNamespace = 0xEFFFFFFD

func inInitialUserNamespace() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino == initialUserNamespace
}

// isWhiteout tells overlayfs's whiteout, a character device 0:0.
func isWhiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// isOpaque tells whether a directory hides what is below it.
func isOpaque(dirfd int, name string) bool {
	var b [2]byte
	n, err := unix.Lgetxattr(procPath(dirfd, name), OpaqueXattr(), b[:])
	return err == nil && n == 1 && b[0] == 'y'
}

// chmodNode sets the mode of a device or fifo that has just been made, by a
// descriptor of it: fchmodat would follow a link put in its place.
func chmodNode(dirfd int, name string, mode, kind uint32) error {
	fd, err := unix.Openat(dirfd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != kind {
		return unix.ESTALE
	}
	return unix.Chmod(procPath(fd, ""), mode&0o7777)
}

// chmodDir sets the mode of a directory open for *at calls only.
func chmodDir(fd int, mode uint32) error { return unix.Chmod(procPath(fd, ""), mode) }
