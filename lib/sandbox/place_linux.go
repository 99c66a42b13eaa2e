package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"docksmith/lib/rootfs"

	"golang.org/x/sys/unix"
)

// A mount needs something to be mounted on. What an image lacks comes from the
// bundle's stubs, a directory at the bottom of the overlay that holds every
// destination, so that no mount point is ever made in the upper directory, where
// it would become part of a layer. Elsewhere the missing is made in the root and
// taken away afterwards, by descriptor.

// made is a mount point that was made in the root.
type made struct {
	parent int // descriptor, ours
	name   string
	dir    bool
}

// places finds and makes mount points in a root.
type places struct {
	root  *rootfs.Root
	mount uint64 // of the root: what is made in another one stays there
	made  []made
	inner *idMaps // whose root owns what is made in its own file systems
}

func newPlaces(root *rootfs.Root) (*places, error) {
	id, err := mountID(root.Fd())
	if err != nil {
		return nil, err
	}
	return &places{root: root, mount: id}, nil
}

// mountID tells mounts apart, those of one file system too: a mount point made
// in a cache that others use at this moment must not be pulled from under them.
func mountID(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("statx: %w", err)
	}
	return st.Mnt_id, nil
}

// open gives a descriptor of the mount point at dest, which is made when it is
// not there: a directory, or an empty file.
func (p *places) open(dest string, dir bool) (int, error) {
	fd, err := p.find(dest, dir)
	if errors.Is(err, unix.ENOENT) {
		if err := p.make(dest, dir); err != nil {
			return -1, fmt.Errorf("make mount point %s: %w", dest, err)
		}
		fd, err = p.find(dest, dir)
	}
	if err != nil {
		return -1, fmt.Errorf("open mount point %s: %w", dest, err)
	}
	return fd, nil
}

func (p *places) find(dest string, dir bool) (int, error) {
	flags := uint64(unix.O_PATH | unix.O_CLOEXEC)
	if dir {
		flags |= unix.O_DIRECTORY
	}
	return openIn(p.root.Fd(), dest, flags)
}

// openIn opens a path inside root without ever leaving it or following a link of
// procfs.
func openIn(root int, name string, flags uint64) (int, error) {
	how := unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(root, name, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// make makes what is missing of dest. Links in what is there are resolved first;
// from then on none is followed, whoever puts one there.
func (p *places) make(dest string, dir bool) error {
	real, err := p.root.Resolve(dest)
	if err != nil {
		return err
	}
	at, err := unix.Openat(p.root.Fd(), ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	parts := strings.Split(strings.Trim(path.Clean(real), "/"), "/")
	for i, name := range parts {
		next, err := p.step(at, name, dir || i+1 < len(parts))
		if err != nil {
			unix.Close(at)
			return err
		}
		at = next
	}
	unix.Close(at)
	return nil
}

// step enters or makes name below the directory at, which it takes over.
func (p *places) step(at int, name string, dir bool) (int, error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(at, name, flags, 0)
	if err == nil {
		unix.Close(at)
		return fd, nil
	}
	if err != unix.ENOENT {
		return -1, err
	}
	err = p.inner.own(func() error {
		if dir {
			return unix.Mkdirat(at, name, 0o755)
		}
		return unix.Mknodat(at, name, unix.S_IFREG|0o644, 0)
	})
	if err != nil {
		return -1, err
	}
	id, err := mountID(at)
	if err != nil {
		return -1, err
	}
	if fd, err = unix.Openat(at, name, flags, 0); err != nil {
		return -1, err
	}
	if id == p.mount {
		p.made = append(p.made, made{at, name, dir})
	} else {
		unix.Close(at)
	}
	return fd, nil
}

// clean removes the mount points that were made, unless somebody put something
// there meanwhile.
func (p *places) clean() {
	for i := len(p.made) - 1; i >= 0; i-- {
		m := p.made[i]
		var st unix.Stat_t
		if m.dir {
			_ = unix.Unlinkat(m.parent, m.name, unix.AT_REMOVEDIR)
		} else if unix.Fstatat(m.parent, m.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 {
			_ = unix.Unlinkat(m.parent, m.name, 0)
		}
		unix.Close(m.parent)
	}
	p.made = nil
}
