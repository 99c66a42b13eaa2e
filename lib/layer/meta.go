package layer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tally collects what could not be kept, so that each kind is told of once.
type tally struct {
	kinds []string
	first map[string]string
	count map[string]int
}

func (t *tally) add(kind, path string) {
	if t.count == nil {
		t.count, t.first = map[string]int{}, map[string]string{}
	}
	if t.count[kind]++; t.count[kind] == 1 {
		t.kinds, t.first[kind] = append(t.kinds, kind), path
	}
}

// tell gives one sentence for each kind to warn, which may be nil.
func (t *tally) tell(warn func(string)) {
	for _, k := range t.kinds {
		if warn == nil {
			return
		}
		if n := t.count[k]; n == 1 {
			warn(fmt.Sprintf("%q: %s", t.first[k], k))
		} else {
			warn(fmt.Sprintf("%q and %d more: %s", t.first[k], n-1, k))
		}
	}
}

// metaWriter gives what was just made the metadata of its entry, by descriptor or
// relative to a directory, and never through a link. What the user or the file
// system does not permit goes to the tally.
type metaWriter struct {
	uid, gid uint32 // what new files have by themselves
	tally    tally
}

func newMetaWriter() *metaWriter {
	return &metaWriter{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
}

// open sets the metadata of an open file or directory, its time excepted. inherits: the
// directory above may have given it another group. old: it was there before,
// and may have attributes that the entry does not.
func (w *metaWriter) open(fd int, e *Entry, inherits, old bool) error {
	recorded := false
	if old || inherits || e.UID != w.uid || e.GID != w.gid {
		err := unix.Fchown(fd, int(e.UID), int(e.GID))
		switch {
		case notPermitted(err):
			recorded = true
		case err != nil:
			return pathError("chown", e.Path, err)
		}
	}
	// Setting user attributes takes write permission, which the mode to come may
	// lack; an ACL must come after the mode, as it has a part of it.
	if w.uid != 0 && (recorded || old || len(e.Xattrs) > 0) {
		if err := unix.Fchmod(fd, e.Mode&0o7777|0o700); err != nil {
			return pathError("chmod", e.Path, err)
		}
	}
	if old {
		if err := w.dropXattrs(fd, e); err != nil {
			return err
		}
	}
	if recorded {
		if err := w.record(fd, e); err != nil {
			return err
		}
	}
	if err := w.xattrs(fd, e, true); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, e.Mode&0o7777); err != nil {
		return pathError("chmod", e.Path, err)
	}
	return w.xattrs(fd, e, false)
}

// record keeps the owner that could not be set.
func (w *metaWriter) record(fd int, e *Entry) error {
	value := fmt.Sprintf("%d:%d", e.UID, e.GID)
	err := unix.Fsetxattr(fd, OwnerXattr, []byte(value), 0)
	if err == nil {
		return nil
	}
	if !noAttributes(err) && !notPermitted(err) {
		return pathError("record owner of", e.Path, err)
	}
	w.tally.add("owner not kept: "+err.Error(), e.Path)
	return nil
}

// xattrs sets the attributes that begin with "user.", or the others.
func (w *metaWriter) xattrs(fd int, e *Entry, user bool) error {
	for name, value := range e.Xattrs {
		if strings.HasPrefix(name, "user.") != user {
			continue
		}
		set := func() error { return unix.Fsetxattr(fd, name, []byte(value), 0) }
		if err := w.xattr(e, name, set); err != nil {
			return err
		}
	}
	return nil
}

// at sets the owner and attributes of what cannot be opened: a link, a device, a fifo.
func (w *metaWriter) at(dirfd int, name string, e *Entry) error {
	err := unix.Fchownat(dirfd, name, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW)
	if notPermitted(err) { // the owner recorded on its directory stands for it
		err = nil
	}
	if err != nil {
		return pathError("chown", e.Path, err)
	}
	for attr, value := range e.Xattrs {
		set := func() error { return unix.Lsetxattr(procPath(dirfd, name), attr, []byte(value), 0) }
		if err := w.xattr(e, attr, set); err != nil {
			return err
		}
	}
	return nil
}

func (w *metaWriter) time(dirfd int, name string, e *Entry) error {
	ts := timespec(e.ModTime)
	if err := unix.UtimesNanoAt(dirfd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("set time of", e.Path, err)
	}
	return nil
}

// xattr sets one attribute if it is a property of the file. Those that steer
// overlayfs or us are never taken from a tar.
func (w *metaWriter) xattr(e *Entry, name string, set func() error) error {
	if steering(name) {
		w.tally.add("attribute "+printable(name)+" left out: it is reserved", e.Path)
		return nil
	}
	if hostXattr(name) {
		return nil
	}
	err := set()
	if err == nil {
		return nil
	}
	if notPermitted(err) || noAttributes(err) || errors.Is(err, unix.EACCES) {
		w.tally.add("attribute "+printable(name)+" not kept: "+err.Error(), e.Path)
		return nil
	}
	return pathError("set attribute "+printable(name)+" of", e.Path, err)
}

// dropXattrs removes the attributes that e does not have.
func (w *metaWriter) dropXattrs(fd int, e *Entry) error {
	buf := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, buf)
	if n == 0 || noAttributes(err) {
		return nil
	}
	if err != nil {
		return pathError("list attributes of", e.Path, err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		_, keep := e.Xattrs[name]
		if keep || hostXattr(name) || steering(name) && name != OwnerXattr {
			continue
		}
		err := unix.Fremovexattr(fd, name)
		if err != nil && !notPermitted(err) && !noAttributes(err) && !errors.Is(err, errNoXattr) {
			return pathError("remove attribute "+printable(name)+" of", e.Path, err)
		}
	}
	return nil
}

// steering tells the attributes by which overlayfs and this package are steered.
func steering(name string) bool {
	return name == OwnerXattr || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}

// dropSteering leaves e the attributes that a layer may have.
func dropSteering(e *Entry) {
	for name := range e.Xattrs {
		if steering(name) {
			delete(e.Xattrs, name)
		}
	}
}

func printable(name string) string {
	return strings.Trim(fmt.Sprintf("%q", name), `"`)
}

// notPermitted: no privilege, or an id that the user namespace does not have.
func notPermitted(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL)
}

func timespec(t time.Time) unix.Timespec {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return unix.Timespec{}
	}
	return ts
}
