//go:build unix

package rootfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Keep decides what EmptyAt and RemoveUnless leave.
type Keep interface {
	// Keep tells whether the name in the directory dir stays: a file as it is, a
	// directory emptied. For a directory that does not stay, the names below are
	// asked for, and it goes if none of them stays.
	Keep(dir *unix.Stat_t, name string) bool
	// Clean is asked once when a directory is entered: true if all below it stays.
	Clean(dir *unix.Stat_t) bool
}

// RemoveAt removes name in the directory dirfd with all below it, without
// following a link. What does not exist is no error. It holds few descriptors
// whatever the depth, because trees of foreign origin may be deeper than a
// process may open files.
func RemoveAt(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if e := unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR); e == nil || e == unix.ENOENT {
		return nil
	} else if e == unix.ENOTDIR {
		return err
	}
	return RemoveUnless(dirfd, name, nil)
}

// RemoveUnless is RemoveAt that leaves what keep wants, and the directories above that.
func RemoveUnless(dirfd int, name string, keep Keep) error {
	fd, top, err := openLevel(dirfd, ".", []string{name})
	if err != nil {
		return err
	}
	return empty(fd, &top, keep)
}

// EmptyAt removes what is in the directory name of dirfd, at any depth, without
// following a link, except what keep (may be nil) wants and the directories above
// that, whose modification times stay as they were below name itself.
func EmptyAt(dirfd int, name string, keep Keep) error {
	fd, top, err := openLevel(dirfd, name, nil)
	if err != nil {
		return err
	}
	if err := top.list(fd, keep); err != nil {
		unix.Close(fd)
		return err
	}
	return empty(fd, &top, keep)
}

// level is a directory on the way down.
type level struct {
	st     unix.Stat_t
	names  []string // still to be looked at; the last one is being emptied
	kept   bool     // it stays, or something in it
	opened bool     // its mode was changed
}

// empty does the work of EmptyAt and closes fd.
func empty(fd int, top *level, keep Keep) error {
	defer func() { unix.Close(fd) }()
	stack := []*level{top}
	for {
		top := stack[len(stack)-1]
		child, stays, err := top.removeNames(fd, keep)
		if err != nil {
			return err
		}
		if child != "" {
			next, l, err := openLevel(fd, child, nil)
			if stays && (errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)) {
				top.pop(true)
				continue
			}
			if err != nil {
				return err
			}
			unix.Close(fd)
			fd, l.kept = next, stays
			stack = append(stack, &l)
			if err := l.list(fd, keep); err != nil {
				return err
			}
			continue
		}
		if len(stack) == 1 {
			return nil
		}
		parent := stack[len(stack)-2]
		up, err := top.leave(fd, parent)
		if err != nil {
			return err
		}
		unix.Close(fd)
		fd = up
		stack = stack[:len(stack)-1]
	}
}

// pop is done with the last name.
func (l *level) pop(kept bool) {
	l.names = l.names[:len(l.names)-1]
	l.kept = l.kept || kept
}

// removeNames removes the files and empty directories of a level until it comes
// to a directory to go into, which it returns. stays: only to empty it.
func (l *level) removeNames(fd int, keep Keep) (child string, stays bool, err error) {
	for len(l.names) > 0 {
		name := l.names[len(l.names)-1]
		if keep != nil && keep.Keep(&l.st, name) {
			return name, true, nil
		}
		err := unix.Unlinkat(fd, name, 0)
		if err == unix.EISDIR || err == unix.EPERM {
			if e := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR); e != unix.ENOTDIR {
				err = e
			}
		}
		switch err {
		case nil, unix.ENOENT:
			l.pop(false)
		case unix.ENOTEMPTY, unix.EEXIST:
			return name, false, nil
		default:
			return "", false, &os.PathError{Op: "remove", Path: name, Err: err}
		}
	}
	return "", false, nil
}

// leave goes from the emptied directory fd up to its parent and removes it there,
// unless something stays.
func (l *level) leave(fd int, parent *level) (up int, err error) {
	if l.kept {
		if l.opened {
			if err := unix.Fchmod(fd, uint32(l.st.Mode)&0o7777); err != nil {
				return -1, err
			}
		}
		ts := []unix.Timespec{l.st.Mtim, l.st.Mtim}
		if err := unix.UtimesNanoAt(fd, ".", ts, 0); err != nil {
			return -1, err
		}
	}
	if up, err = openParent(fd, &parent.st); err != nil {
		return -1, err
	}
	name := parent.names[len(parent.names)-1]
	parent.pop(l.kept)
	if l.kept {
		return up, nil
	}
	if err := unix.Unlinkat(up, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		unix.Close(up)
		return -1, &os.PathError{Op: "remove", Path: name, Err: err}
	}
	return up, nil
}

// openLevel opens a directory of which names, or what list finds, is to be looked at.
// Its owner gets the permissions that emptying it takes if they lack.
func openLevel(dirfd int, name string, names []string) (int, level, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW
	var l level
	fd, err := openat(dirfd, name, flags, 0)
	if err == unix.EACCES && grantOwner(dirfd, name) == nil {
		fd, err = openat(dirfd, name, flags, 0)
	}
	if err != nil {
		return -1, l, &os.PathError{Op: "open", Path: name, Err: err}
	}
	if err := unix.Fstat(fd, &l.st); err != nil {
		unix.Close(fd)
		return -1, l, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	if l.st.Mode&0o700 != 0o700 && os.Geteuid() != 0 {
		l.opened = unix.Fchmod(fd, uint32(l.st.Mode)&0o7777|0o700) == nil // if not, unlinkat says so
	}
	l.names = names
	return fd, l, nil
}

// list reads the names of a level, unless all of them stay.
func (l *level) list(fd int, keep Keep) error {
	if keep != nil && keep.Clean(&l.st) {
		l.kept = true
		return nil
	}
	dup, err := openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(dup), ".")
	defer f.Close()
	l.names, err = f.Readdirnames(-1)
	return err
}

// openParent opens the directory above fd, which must be the one we came from:
// somebody may have moved fd elsewhere meanwhile.
func openParent(fd int, want *unix.Stat_t) (int, error) {
	up, err := openat(fd, "..", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(up, &st); err != nil || st.Ino != want.Ino || st.Dev != want.Dev {
		unix.Close(up)
		return -1, errors.Join(err, unix.ESTALE)
	}
	return up, nil
}
