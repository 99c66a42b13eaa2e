package layer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// inode identifies a file on this machine.
type inode struct{ dev, ino uint64 }

// owner is an owner as the system has it and as OwnerXattr records it.
type owner struct {
	uid, gid       uint32
	recorded       bool
	wantUID, wantG uint32
}

// linkTarget is the first name under which a file was written, and its owner there.
type linkTarget struct {
	path     string
	uid, gid uint32
}

// object is a name in a tree that was looked at: its entry as a layer would
// have it, and what the walk needs to know beside that.
type object struct {
	Entry
	fd       int // open regular file or directory, else -1
	id       inode
	nlink    uint64
	mtime    unix.Timespec
	own      owner
	socket   bool
	whiteout bool   // in attribute form
	opaque   string // "y": hides what is below; "x": whiteouts in attribute form inside
}

func (o *object) close() {
	if o != nil && o.fd >= 0 {
		unix.Close(o.fd)
		o.fd = -1
	}
}

// loader turns names into objects, as the options ask.
type loader struct {
	o       CreateOptions
	overlay string // prefix of overlayfs attributes that are marks, not data; "" for none
	buf     []byte
}

// at looks at the entry name of the directory dirfd without following it, and
// opens it if it is a regular file or directory. Of a file in links only the name is looked at.
func (l *loader) at(dirfd int, name, path string, parent owner, links map[inode]linkTarget) (*object, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return nil, pathError("look at", path, err)
	}
	o := &object{fd: -1}
	l.fill(o, &st, path)
	attrs := attrSource{fd: -1}
	switch o.Type {
	case TypeFile:
		if o.socket {
			return o, nil
		}
		if first, ok := links[o.id]; ok && o.nlink > 1 {
			o.Type, o.Linkname, o.Size = TypeLink, first.path, 0
			o.UID, o.GID = first.uid, first.gid
			return o, nil
		}
		fallthrough
	case TypeDir:
		flags := unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
		if o.Type == TypeDir {
			flags |= unix.O_DIRECTORY
		} else {
			flags |= unix.O_NONBLOCK // should a fifo have taken its place
		}
		err := retry(func() (err error) { o.fd, err = unix.Openat(dirfd, name, flags, 0); return err })
		if err != nil {
			o.fd = -1
			return nil, pathError("open", path, err)
		}
		attrs.fd = o.fd
	case TypeSymlink:
		text, err := readlinkat(dirfd, name)
		if err != nil {
			return nil, pathError("read link", path, err)
		}
		o.Linkname = text
		attrs.path = procPath(dirfd, name)
	default:
		attrs.path = procPath(dirfd, name)
	}
	if err := l.attributes(o, attrs); err != nil {
		o.close()
		return nil, pathError("read attributes of", path, err)
	}
	l.chooseOwner(o, parent)
	return o, nil
}

// root looks at an open directory.
func (l *loader) root(fd int) (*object, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, pathError("look at", ".", err)
	}
	o := &object{fd: fd}
	l.fill(o, &st, ".")
	if o.Type != TypeDir {
		return nil, pathError("open", ".", unix.ENOTDIR)
	}
	if err := l.attributes(o, attrSource{fd: fd}); err != nil {
		return nil, pathError("read attributes of", ".", err)
	}
	l.chooseOwner(o, owner{})
	return o, nil
}

func (l *loader) fill(o *object, st *unix.Stat_t, path string) {
	o.Path = path
	o.Mode = uint32(st.Mode) & 0o7777
	o.id = inode{uint64(st.Dev), st.Ino}
	o.nlink = uint64(st.Nlink)
	o.mtime = st.Mtim
	o.own = owner{uid: st.Uid, gid: st.Gid}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		o.Type, o.Size = TypeFile, st.Size
	case unix.S_IFDIR:
		o.Type = TypeDir
	case unix.S_IFLNK:
		o.Type, o.Mode = TypeSymlink, 0o777
	case unix.S_IFCHR, unix.S_IFBLK:
		o.Type = TypeChar
		if uint32(st.Mode)&unix.S_IFMT == unix.S_IFBLK {
			o.Type = TypeBlock
		}
		o.Major, o.Minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	case unix.S_IFIFO:
		o.Type = TypeFifo
	default:
		o.socket = true
	}
	o.ModTime = entryTime(l.o.Epoch)
	if l.o.KeepTimes {
		o.ModTime = time.Unix(int64(o.mtime.Sec), 0).UTC()
	}
	if l.o.Normalize && o.Type != TypeSymlink {
		switch {
		case o.Type == TypeDir || o.Mode&0o111 != 0:
			o.Mode = 0o755
		default:
			o.Mode = 0o644
		}
	}
}

// entryTime is the time of entries for an option that may not be set, in whole seconds.
func entryTime(epoch time.Time) time.Time {
	if epoch.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return time.Unix(epoch.Unix(), 0).UTC()
}

// attributes fills in o's extended attributes and what is hidden in them.
func (l *loader) attributes(o *object, src attrSource) error {
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	n, err := src.list(l.buf)
	if err != nil || n == 0 {
		if noAttributes(err) {
			err = nil
		}
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(l.buf[:n]), "\x00"), "\x00") {
		if hostXattr(name) || (l.o.Normalize && name != OwnerXattr && !strings.HasPrefix(name, "user.")) {
			continue
		}
		if strings.Contains(name, "=") {
			l.warn("%q: attribute %q cannot be in a tar, left out", o.Path, name)
			continue
		}
		n, err := src.get(name, l.buf)
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile, or not for us to read
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := l.attribute(o, name, string(l.buf[:n])); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) attribute(o *object, name, value string) error {
	if name == OwnerXattr {
		uid, gid, err := parseOwner(value)
		if err != nil {
			return err
		}
		o.own.recorded, o.own.wantUID, o.own.wantG = true, uid, gid
		return nil
	}
	if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
		mark, ok := strings.CutPrefix(name, l.overlay)
		if l.overlay == "" || !ok {
			return nil
		}
		switch mark {
		case "opaque":
			o.opaque = value
		case "whiteout":
			o.whiteout = o.Type == TypeFile && o.Size == 0
		case "redirect", "metacopy":
			return fmt.Errorf("%s: an overlay with redirected or metadata-only files cannot be packed", name)
		}
		return nil
	}
	if o.Xattrs == nil {
		o.Xattrs = make(map[string]string)
	}
	o.Xattrs[name] = value
	return nil
}

// hostXattr tells attributes that describe this host's policy, not the file.
func hostXattr(name string) bool {
	switch name {
	case "security.selinux", "security.ima", "security.evm", "system.nfs4_acl":
		return true
	}
	return strings.HasPrefix(name, "com.apple.")
}

func (l *loader) chooseOwner(o *object, parent owner) {
	o.UID, o.GID = o.own.uid, o.own.gid
	switch {
	case o.own.recorded:
		o.UID, o.GID = o.own.wantUID, o.own.wantG
	case o.Type != TypeFile && o.Type != TypeDir &&
		parent.recorded && o.own.uid != 0 && parent.uid == o.own.uid && parent.gid == o.own.gid:
		o.UID, o.GID = parent.wantUID, parent.wantG
	}
	if l.o.Normalize {
		o.UID, o.GID = 0, 0
	}
	if l.o.Owner != nil {
		o.UID, o.GID = l.o.Owner[0], l.o.Owner[1]
	}
}

func (l *loader) warn(format string, args ...any) {
	if l.o.Warn != nil {
		l.o.Warn(fmt.Sprintf(format, args...))
	}
}

// parseOwner reads the value of OwnerXattr.
func parseOwner(s string) (uid, gid uint32, err error) {
	u, g, ok := strings.Cut(s, ":")
	nu, err1 := strconv.ParseUint(u, 10, 32)
	ng, err2 := strconv.ParseUint(g, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%s: %q is not uid:gid", OwnerXattr, s)
	}
	return uint32(nu), uint32(ng), nil
}

// attrSource reads the extended attributes of an open file, or by path of what cannot be opened.
type attrSource struct {
	fd   int
	path string
}

func (s attrSource) list(b []byte) (int, error) {
	if s.fd >= 0 {
		return unix.Flistxattr(s.fd, b)
	}
	if s.path == "" {
		return 0, nil
	}
	return unix.Llistxattr(s.path, b)
}

func (s attrSource) get(name string, b []byte) (int, error) {
	if s.fd >= 0 {
		return unix.Fgetxattr(s.fd, name, b)
	}
	return unix.Lgetxattr(s.path, name, b)
}

func noAttributes(err error) bool {
	return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP)
}

func readlinkat(dirfd int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, err := unix.Readlinkat(dirfd, name, b)
		if err == unix.EINTR {
			size /= 4
			continue
		}
		if err != nil {
			return "", err
		}
		if n < size {
			return string(b[:n]), nil
		}
	}
}

// retry repeats a system call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func pathError(op, path string, err error) error {
	return &os.PathError{Op: op, Path: path, Err: err}
}

// openDir opens a directory operand, following links.
func openDir(dir string) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, pathError("open", dir, err)
	}
	return os.NewFile(uintptr(fd), procPath(fd, "")), nil
}
