package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"docksmith/lib/rootfs"

	"golang.org/x/sys/unix"
)

// attempts is how often a name is cleared for a new entry: more than once only
// if somebody else puts something there at the same time.
const attempts = 8

// create calls f, which makes the entry base of the current directory, and
// removes what stands in its way.
func (a *applier) create(path, base string, f func() error) error {
	var err error
	for range attempts {
		if err = f(); !errors.Is(err, unix.EEXIST) {
			break
		}
		if err := a.clear(path, base); err != nil {
			return err
		}
	}
	if err != nil {
		return pathError("make", path, err)
	}
	return nil
}

// clear removes the entry base of the current directory, whatever it is. A file
// is never opened and cut instead: other names may be linked to it.
func (a *applier) clear(path, base string) error {
	var st unix.Stat_t
	err := unix.Fstatat(a.cur.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return pathError("look at", path, err)
	}
	if err := rootfs.RemoveAt(a.cur.fd, base); err != nil {
		return pathError("replace", path, err)
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFLNK:
		a.forget()
	}
	return nil
}

// file makes a regular file. It has no name that others could open for writing
// before its owner and mode are right, but for the owner of the directory.
func (a *applier) file(e *Entry, base string) (err error) {
	fd := -1
	err = a.create(e.Path, base, func() (err error) {
		flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err = unix.Openat(a.cur.fd, base, flags, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := unix.Close(fd); err == nil && cerr != nil {
			err = pathError("close", e.Path, cerr)
		}
	}()
	if err := a.content(fd, e); err != nil {
		return err
	}
	if err := a.meta.open(fd, e, a.cur.st.Mode&unix.S_ISGID != 0, false); err != nil {
		return err
	}
	return a.meta.time(a.cur.fd, base, e)
}

// content writes what the reader has for the current entry, with holes where it
// has some and for pages of zeros.
func (a *applier) content(fd int, e *Entry) error {
	h := holeWriter{fd: fd, size: e.Size}
	for {
		data, hole, err := a.r.fragment()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = context.Cause(a.ctx)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
		h.off += hole
		if _, err := h.Write(data); err != nil {
			return pathError("write", e.Path, err)
		}
	}
	if err := h.finish(); err != nil {
		return pathError("write", e.Path, err)
	}
	return nil
}

// holeSize is the length of a run of zeros that is worth a hole.
const holeSize = 32 << 10

// span tells how much of p, from a file of the given size, is to be written, or
// left out as zeros, in one go.
func span(p []byte, size int64) (n int, zero bool) {
	if size < holeSize {
		return len(p), false
	}
	for len(p)-n >= holeSize {
		if isZero(p[n:n+holeSize]) != zero {
			if n > 0 {
				return n, zero
			}
			zero = true
		}
		n += holeSize
	}
	if zero {
		return n, true
	}
	return len(p), false
}

func writeAt(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// symlink makes a symbolic link. Its text is only text: where it leads is decided
// inside the root by whoever follows it.
func (a *applier) symlink(e *Entry, base string) error {
	err := a.create(e.Path, base, func() error { return unix.Symlinkat(e.Linkname, a.cur.fd, base) })
	if err != nil {
		return err
	}
	return a.setOther(e, base)
}

func (a *applier) setOther(e *Entry, base string) error {
	if err := a.meta.at(a.cur.fd, base, e); err != nil {
		return err
	}
	return a.meta.time(a.cur.fd, base, e)
}

// node makes a device or fifo.
func (a *applier) node(e *Entry, base string) error {
	kind := uint32(unix.S_IFIFO)
	switch e.Type {
	case TypeChar:
		kind = unix.S_IFCHR
	case TypeBlock:
		kind = unix.S_IFBLK
	}
	if kind == unix.S_IFCHR && e.Major == 0 && e.Minor == 0 {
		return fmt.Errorf("%w: %q is the device by which overlayfs hides files", ErrTar, e.Path)
	}
	err := a.create(e.Path, base, func() error {
		return mknodat(a.cur.fd, base, kind|0o600, e.Major, e.Minor)
	})
	if err != nil {
		if a.o.StrictDevices || !notPermitted(err) && !noAttributes(err) {
			return err
		}
		a.meta.tally.add(fmt.Sprintf("%s device not made: %v", e.Type, errors.Unwrap(err)), e.Path)
		if err := a.clear(e.Path, base); err != nil {
			return err
		}
		return a.hide(e.Path, base)
	}
	if err := a.meta.at(a.cur.fd, base, e); err != nil {
		return err
	}
	if err := chmodNode(a.cur.fd, base, e.Mode, kind); err != nil {
		return pathError("chmod", e.Path, err)
	}
	return a.meta.time(a.cur.fd, base, e)
}

// link makes a hard link to what the layer or one below has made. The target is
// resolved in the root, and if it is a symbolic link, it is that link which gets another name.
func (a *applier) link(e *Entry, base string) error {
	tfd, tbase, err := a.links.Parent(e.Linkname)
	var target unix.Stat_t
	if err == nil {
		err = unix.Fstatat(tfd, tbase, &target, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err == nil && a.o.Form == Overlay && isWhiteout(&target) {
		err = unix.ENOENT
	} else if a.view != nil && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) {
		return a.linkBelow(e, base)
	}
	if err == nil && uint32(target.Mode)&unix.S_IFMT == unix.S_IFDIR {
		err = unix.EISDIR
	}
	if err != nil {
		return fmt.Errorf("link %q to %q: %w", e.Path, e.Linkname, cause(err))
	}
	var st unix.Stat_t
	if unix.Fstatat(a.cur.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino == target.Ino && st.Dev == target.Dev {
		return nil // they are the same file already
	}
	for range attempts {
		if err = unix.Linkat(tfd, tbase, a.cur.fd, base, 0); !errors.Is(err, unix.EEXIST) {
			break
		}
		if err := a.clear(e.Path, base); err != nil {
			return err
		}
		// What was replaced may have been above the target.
		if tfd, tbase, err = a.links.Parent(e.Linkname); err != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("link %q to %q: %w", e.Path, e.Linkname, cause(err))
	}
	return nil
}

// cause is the error without the path that a message names already.
func cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
