package rootfs

import (
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// openDir opens a directory for *at calls; nothing of it is read.
const openDir = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// maxPath is where openat2 refuses a path for its length; walk takes longer ones.
const maxPath = 4096

// defaultOpener is openat2 where the kernel has it. Old kernels say ENOSYS, old
// seccomp profiles of containers EPERM.
var defaultOpener = sync.OnceValue(func() opener {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: openDir, Resolve: resolveFlags})
	if err != nil {
		return openWalking
	}
	unix.Close(fd)
	return openBeneath
})

const resolveFlags = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// openBeneath is the opener on openat2. The kernel answers EAGAIN when something
// was renamed while it went through "..": after some turns walk, which has no
// such case, does it.
func openBeneath(root int, path string, flags int, perm uint32) (int, error) {
	if len(path) >= maxPath {
		return openWalking(root, path, flags, perm)
	}
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolveFlags}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(perm & 0o7777)
	}
	for range 32 {
		fd, err := unix.Openat2(root, path, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
	return openWalking(root, path, flags, perm)
}

// stat uses a descriptor that opens nothing: no fifo blocks, no device wakes up.
func (r *Root) stat(path string, st *unix.Stat_t) error {
	fd, err := r.open(r.Fd(), orDot(path), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, st)
}

// grantOwner gives the owner of a directory all permissions on it, by a
// descriptor, because fchmodat follows links.
func grantOwner(dirfd int, name string) error {
	fd, err := openat(dirfd, name, openDir|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(ProcPath(fd, ""), 0o700)
}

// ProcPath names what the descriptor fd stands for, or with a name the entry of
// that directory, for system calls that take no descriptor. It needs /proc.
func ProcPath(fd int, name string) string {
	s := "/proc/self/fd/" + strconv.Itoa(fd)
	if name != "" {
		s += "/" + name
	}
	return s
}
