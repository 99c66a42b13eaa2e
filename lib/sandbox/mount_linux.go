package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// detached is a mount that is not in any tree yet: nobody but we can reach it,
// so its attributes are right before anyone sees it.
type detached struct{ fd int }

func (m detached) close() { unix.Close(m.fd) }

// newFilesystem makes a detached mount of a new instance of a file system.
func newFilesystem(fstype, source string, a attributes) (detached, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return detached{-1}, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	return configure(fs, source, a)
}

// configure makes the mount of an instance that fsopen began.
func configure(fs int, source string, a attributes) (m detached, err error) {
	if source != "" {
		if err := unix.FsconfigSetString(fs, "source", source); err != nil {
			return detached{-1}, fsError(fs, "source="+source, err)
		}
	}
	for _, o := range a.data {
		key, value, has := strings.Cut(o, "=")
		if has {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return detached{-1}, fsError(fs, "option "+o, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return detached{-1}, fsError(fs, "create", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(a.set))
	if err != nil {
		return detached{-1}, fsError(fs, "fsmount", err)
	}
	return detached{fd}, nil
}

// fsError adds what the file system had to say, which the kernel keeps line by
// line in the descriptor.
func fsError(fs int, what string, err error) error {
	var buf [512]byte
	for {
		n, rerr := unix.Read(fs, buf[:])
		if rerr != nil || n <= 0 {
			return fmt.Errorf("%s: %w", what, err)
		}
		text := strings.TrimSpace(string(buf[:n]))
		if said, ok := strings.CutPrefix(text, "e "); ok {
			return fmt.Errorf("%s: %w (%s)", what, err, said)
		}
	}
}

// cloneTree makes a detached mount of what is at path below dirfd (path "" is
// dirfd itself), with the mounts below it when recursive.
func cloneTree(dirfd int, path string, recursive bool) (detached, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dirfd, path, flags)
	if err != nil {
		return detached{-1}, err
	}
	return detached{fd}, nil
}

// change sets attributes and propagation of a detached mount.
func (m detached) change(set, propagation uint64, recursive bool) error {
	if set == 0 && propagation == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: set, Propagation: propagation}
	if set&unix.MOUNT_ATTR__ATIME != 0 || set&unix.MOUNT_ATTR_STRICTATIME != 0 {
		attr.Attr_clr = unix.MOUNT_ATTR__ATIME
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	err := unix.MountSetattr(m.fd, "", flags, &attr)
	if err == unix.ENOSYS {
		return errors.New("mount_setattr: needs Linux 5.12 or newer")
	}
	return err
}

// attach puts the mount on the place that target stands for. Both ends are
// descriptors: no name is resolved, so no link can lead it elsewhere.
func (m detached) attach(target int) error {
	err := unix.MoveMount(m.fd, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("move_mount: %w", err)
	}
	return nil
}

// file hands the mount over.
func (m detached) file(name string) *os.File { return os.NewFile(uintptr(m.fd), name) }
