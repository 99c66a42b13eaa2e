//go:build unix && !linux

package rootfs

import "golang.org/x/sys/unix"

const openDir = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

func defaultOpener() opener { return openWalking }

func (r *Root) stat(path string, st *unix.Stat_t) error {
	p, err := walk(r.Fd(), path, true)
	if err != nil {
		return err
	}
	defer p.close()
	return unix.Fstatat(p.fd, p.base, st, unix.AT_SYMLINK_NOFOLLOW)
}

func grantOwner(dirfd int, name string) error {
	return unix.Fchmodat(dirfd, name, 0o700, unix.AT_SYMLINK_NOFOLLOW)
}
