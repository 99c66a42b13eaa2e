// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"path"

	"docksmith/lib/rootfs"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// layers are the directories of a bundle with overlay annotations.
type layers struct {
	overlay
	stubs int
	fds   []int
}

func (l *layers) close() { closeAll(l.fds) }

// openBundlePath opens a directory named by the bundle: below it without
// following any link, or absolute, where only the last element may be none.
func (b *Bundle) openBundlePath(name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC}
	if !path.IsAbs(name) {
		how.Resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := unix.Openat2(int(b.dir.Fd()), name, &how)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", name, err)
	}
	return fd, nil
}

// emptyDir makes a directory of the bundle that this package owns, without what
// an earlier run left in it.
func (b *Bundle) emptyDir(name string) (int, error) {
	switch err := unix.Mkdirat(int(b.dir.Fd()), name, 0o755); err {
	case nil:
	case unix.EEXIST:
		if err := rootfs.EmptyAt(int(b.dir.Fd()), name, nil); err != nil {
			return -1, fmt.Errorf("empty %s: %w", name, err)
		}
	default:
		return -1, fmt.Errorf("make %s: %w", name, err)
	}
	return b.openBundlePath(name)
}

// openLayers opens the directories of the overlay annotations, nil without any.
func (b *Bundle) openLayers(s *specs.Spec) (*layers, error) {
	lower, upper, work := s.Annotations[AnnotationLower], s.Annotations[AnnotationUpper], s.Annotations[AnnotationWork]
	if lower == "" {
		if upper != "" || work != "" {
			return nil, fmt.Errorf("config.json: annotation %s is missing", AnnotationLower)
		}
		return nil, nil
	}
	if upper == "" || work == "" {
		return nil, fmt.Errorf("config.json: annotations %s and %s belong together", AnnotationUpper, AnnotationWork)
	}
	l := &layers{}
	keep := func(fd int, err error) (int, error) {
		if err == nil {
			l.fds = append(l.fds, fd)
		}
		return fd, err
	}
	err := func() (err error) {
		for _, name := range splitLowers(lower) {
			fd, err := keep(b.openBundlePath(name))
			if err != nil {
				return fmt.Errorf("lower directory: %w", err)
			}
			l.lowers = append(l.lowers, fd)
		}
		if l.stubs, err = keep(b.emptyDir("stubs")); err != nil {
			return err
		}
		l.lowers = append(l.lowers, l.stubs)
		if l.upper, err = keep(b.openBundlePath(upper)); err != nil {
			return fmt.Errorf("upper directory: %w", err)
		}
		if l.work, err = keep(b.openBundlePath(work)); err != nil {
			return fmt.Errorf("work directory: %w", err)
		}
		return nil
	}()
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// stub makes dest in the stubs.
func (l *layers) stub(dest string, dir bool) error {
	dup, err := unix.Openat(l.stubs, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	root, err := rootfs.FromFile(detached{dup}.file("stubs"))
	if err != nil {
		return err
	}
	defer root.Close()
	p := &places{root: root}
	if err := p.make(dest, dir); err != nil {
		return fmt.Errorf("make stub of %s: %w", dest, err)
	}
	return nil
}

// mountRoot makes the detached mount of the root, with the destinations of all
// mounts in place as far as stubs can give them. The first attempt shows which
// of them lie behind links of the image: their real places are added to the
// stubs, and the overlay is made again.
func (b *Bundle) mountRoot(s *specs.Spec, l *layers, mounts []*mount) (*rootfs.Root, error) {
	if l == nil {
		return b.plainRoot(s)
	}
	for _, m := range mounts {
		if err := l.stub(m.dest, m.dir); err != nil && !errors.Is(err, unix.ENOTDIR) {
			return nil, err
		}
	}
	for attempt := 0; ; attempt++ {
		// What an earlier mount left there, with a mark that refuses a second
		// volatile one, says nothing about the upper directory.
		if err := rootfs.RemoveAt(l.work, "work"); err != nil {
			return nil, fmt.Errorf("empty the work directory: %w", err)
		}
		m, err := l.mount(unix.MOUNT_ATTR_NODEV)
		if err != nil {
			return nil, fmt.Errorf("mount root: %w", overlayRemedy(err))
		}
		r, err := rootfs.FromFile(m.file("root"))
		if err != nil {
			return nil, err
		}
		missing := missingPlaces(r, mounts)
		if len(missing) == 0 || attempt > 0 {
			return r, nil
		}
		for _, m := range missing {
			if real, err := r.Resolve(m.dest); err == nil {
				_ = l.stub(real, m.dir) // else it is made in the root
			}
		}
		r.Close()
	}
}

func overlayRemedy(err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: this kernel has no overlay file system", err)
	case errors.Is(err, unix.EPERM) && InUserNamespace():
		return fmt.Errorf("%w: overlay in a user namespace needs Linux 5.11 or newer", err)
	}
	return err
}

// missingPlaces are the mounts whose destination is not in the root. What lies
// in another mount's is not looked for: that comes with it.
func missingPlaces(r *rootfs.Root, mounts []*mount) (missing []*mount) {
	for i, m := range mounts {
		if m.below(mounts[:i]) {
			continue
		}
		if fd, err := openIn(r.Fd(), m.dest, unix.O_PATH|unix.O_CLOEXEC); err == nil {
			unix.Close(fd)
		} else if err == unix.ENOENT {
			missing = append(missing, m)
		}
	}
	return missing
}

// plainRoot clones the directory that root.path names.
func (b *Bundle) plainRoot(s *specs.Spec) (*rootfs.Root, error) {
	fd, err := b.openBundlePath(s.Root.Path)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	defer unix.Close(fd)
	m, err := cloneTree(fd, "", true)
	if err != nil {
		return nil, fmt.Errorf("mount root: open_tree: %w", err)
	}
	if err := m.change(unix.MOUNT_ATTR_NODEV, unix.MS_PRIVATE, true); err != nil {
		m.close()
		return nil, fmt.Errorf("mount root: %w", err)
	}
	return rootfs.FromFile(m.file("root"))
}

// attachRoot gives the root a place in the mount namespace: the bundle's own
// directory, of which nothing else is needed any more. It is opened again,
// because a place must be of this namespace.
func (b *Bundle) attachRoot(r *rootfs.Root) error {
	fd, err := unix.Open(b.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount root: open %s: %w", b.path, err)
	}
	defer unix.Close(fd)
	if err := (detached{r.Fd()}).attach(fd); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	return nil
}

// pivot makes r the root of the mount namespace and lets the host's go. There
// is no fallback: a root that cannot be pivoted into is one that could be left.
func pivot(r *rootfs.Root) error {
	if err := unix.Fchdir(r.Fd()); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w: the machine's root may be an initramfs, which cannot be left", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return nil
}
