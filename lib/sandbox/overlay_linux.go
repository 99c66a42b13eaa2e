package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// overlay is the make-up of an overlay mount: directories by descriptor, so that
// neither their names' length nor what is in them matters, and what shows up in
// the container's /proc/mounts says nothing about the host.
type overlay struct {
	lowers      []int // top first
	upper, work int   // -1 for a read-only view
}

// OverlayView makes a detached, read-only mount of the merged lower directories,
// top first. It is in no tree, so nothing is left behind when the returned file
// is closed. The caller must be able to mount: root, or inside EnterUserNamespace.
func OverlayView(lowers []string) (*os.File, error) {
	if len(lowers) == 0 {
		return nil, errors.New("mount view: no directory")
	}
	var fds []int
	defer func() { closeAll(fds) }()
	for _, dir := range lowers {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("mount view: open %s: %w", dir, err)
		}
		fds = append(fds, fd)
	}
	const attrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID
	var m detached
	var err error
	if len(fds) == 1 {
		if m, err = cloneTree(fds[0], "", false); err == nil {
			if err = m.change(attrs, unix.MS_PRIVATE, false); err != nil {
				m.close()
			}
		}
	} else {
		m, err = overlay{lowers: fds, upper: -1, work: -1}.mount(attrs)
	}
	if err != nil {
		return nil, fmt.Errorf("mount view: %w", err)
	}
	return m.file(lowers[0]), nil
}

// tryOverlay mounts an overlay of directories that it makes in dir.
func tryOverlay(dir string) error {
	var fds []int
	defer func() { closeAll(fds) }()
	for _, name := range []string{"lower", "upper", "work"} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return fmt.Errorf("try overlay: %w", err)
		}
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("try overlay: %w", err)
		}
		fds = append(fds, fd)
	}
	m, err := overlay{fds[:1], fds[1], fds[2]}.mount(0)
	if err != nil {
		return fmt.Errorf("try overlay: %w", err)
	}
	m.close()
	return nil
}

// mount makes the overlay. Features that store more than files in the upper
// directory are off: it becomes a layer as it is. "volatile" leaves the syncs
// out, for one comes at the end of a build, and none after a container.
func (o overlay) mount(attrs uint64) (detached, error) {
	a := attributes{set: attrs, data: []string{"index=off", "redirect_dir=nofollow", "metacopy=off", "xino=off"}}
	if InUserNamespace() {
		a.data = append(a.data, "userxattr")
	}
	if o.upper >= 0 {
		a.data = append(a.data, "upperdir="+procPath(o.upper), "workdir="+procPath(o.work), "volatile")
	}
	b := a
	for _, fd := range o.lowers {
		b.data = append(b.data, "lowerdir+="+procPath(fd))
	}
	m, err := newFilesystem("overlay", "overlay", b)
	if errors.Is(err, unix.EINVAL) && strings.HasPrefix(err.Error(), "option lowerdir+") { // before Linux 6.8
		m, err = o.mountOld(a)
	}
	return m, err
}

// mountOld gives all lower directories in one string, which mount(2) takes up to
// a page of; fsconfig(2) would stop at 255 bytes. It needs a place to stand for a
// moment: any directory will do, the one of the first lower is there.
func (o overlay) mountOld(a attributes) (detached, error) {
	list := make([]string, len(o.lowers))
	for i, fd := range o.lowers {
		list[i] = procPath(fd)
	}
	data := strings.Join(append(a.data, "lowerdir="+strings.Join(list, ":")), ",")
	if len(data) >= os.Getpagesize() {
		return detached{-1}, fmt.Errorf("overlay: %d lower directories are too many for this kernel", len(o.lowers))
	}
	place := procPath(o.lowers[0])
	if err := unix.Mount("overlay", place, "overlay", 0, data); err != nil {
		return detached{-1}, fmt.Errorf("mount overlay: %w", err)
	}
	m, err := cloneTree(unix.AT_FDCWD, place, false)
	if uerr := unix.Unmount(place, unix.MNT_DETACH); err == nil {
		err = uerr
	}
	if err == nil {
		err = m.change(a.set, unix.MS_PRIVATE, false)
	}
	return m, err
}

// splitLowers takes the annotation of the lower directories apart.
func splitLowers(s string) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			out = append(out, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(out, b.String())
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
