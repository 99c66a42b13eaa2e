package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// copyUp fills the mount with what it is to cover at place.
func (pm *mount) copyUp(place int) error {
	if !pm.attr.fill {
		return copyUp(place, pm.ready.fd)
	}
	empty, err := isEmpty(pm.ready.fd)
	if err == nil && empty && pm.dir {
		err = copyUp(place, pm.ready.fd)
	}
	return errors.Join(err, pm.ready.change(pm.attr.set, pm.attr.propagation, true))
}

func isEmpty(dir int) (bool, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// copyUp fills a new file system with what the directory has that it is to
// cover: the option tmpcopyup. No link is followed. Device nodes and sockets are
// left out: of those a container gets none this way.
func copyUp(from, to int) error {
	dir, err := unix.Openat(from, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	f := os.NewFile(uintptr(dir), ".")
	defer f.Close()
	if err := copyOwner(dir, to); err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("copy up: %w", err)
	}
	for _, name := range names {
		if err := copyEntry(dir, to, name); err != nil {
			return fmt.Errorf("copy up %s: %w", name, err)
		}
	}
	return nil
}

// copyOwner gives an open file owner and mode of another one.
func copyOwner(from, to int) error {
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	at, err := unix.Openat(to, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return errors.Join(unix.Fchown(at, int(st.Uid), int(st.Gid)), unix.Fchmod(at, st.Mode&0o7777), copyXattrs(from, at))
}

// copyXattrs gives an open file the extended attributes of another one, as far
// as its file system has such and the caller may set them. After the owner: a
// change of that takes capabilities away.
func copyXattrs(from, to int) error {
	list := make([]byte, 1<<16)
	n, err := unix.Flistxattr(from, list)
	if err != nil {
		return nil // there are none
	}
	value := make([]byte, 1<<16)
	for _, name := range strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "" || strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "user.overlay.") || name == "security.selinux" {
			continue
		}
		n, err := unix.Fgetxattr(from, name, value)
		if err == nil {
			err = unix.Fsetxattr(to, name, value[:n], 0)
		}
		if err != nil && err != unix.ENOTSUP && err != unix.EPERM && err != unix.ENODATA {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func copyEntry(from, to int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return copyDir(from, to, name)
	case unix.S_IFREG:
		return copyFile(from, to, name, &st)
	case unix.S_IFLNK:
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(from, name, buf)
		if err == nil {
			err = unix.Symlinkat(string(buf[:n]), to, name)
		}
		if err == nil {
			err = unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
		}
		return err
	case unix.S_IFIFO:
		err := unix.Mknodat(to, name, unix.S_IFIFO|st.Mode&0o7777, 0)
		if err == nil {
			err = unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
		}
		return err
	}
	return nil
}

func copyDir(from, to int, name string) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	src, err := unix.Openat(from, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, err := unix.Openat(to, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	if other, err := otherMount(from, src); err != nil || other {
		return err // the place of it
	}
	return copyUp(src, dst)
}

// otherMount tells whether something is mounted on what was opened below from: it
// is not what the image has there.
func otherMount(from, fd int) (bool, error) {
	a, err := mountID(from)
	if err != nil {
		return false, err
	}
	b, err := mountID(fd)
	return a != b, err
}

func copyFile(from, to int, name string, st *unix.Stat_t) error {
	src, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(src), name)
	defer in.Close()
	if other, err := otherMount(from, src); err != nil || other {
		return err
	}
	dst, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	out := os.NewFile(uintptr(dst), name)
	_, err = io.Copy(out, in)
	times := []unix.Timespec{st.Atim, st.Mtim}
	return errors.Join(err, unix.Fchown(dst, int(st.Uid), int(st.Gid)), unix.Fchmod(dst, st.Mode&0o7777), copyXattrs(src, dst),
		unix.UtimesNanoAt(to, name, times, unix.AT_SYMLINK_NOFOLLOW), out.Close())
}
