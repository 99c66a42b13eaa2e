package sandbox

import (
	"errors"
	"fmt"
	"path"

	"docksmith/lib/rootfs"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// bundleDir is a bundle's directory, opened in the container's mount namespace: what
// is mounted, and what it is mounted on, must be of the namespace that does it.
type bundleDir struct{ fd int }

// reopen opens the bundle's directory again, as the one that it was.
func (b *Bundle) reopen() (bundleDir, error) {
	fd, err := unix.Open(b.path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return bundleDir{-1}, fmt.Errorf("open bundle %s: %w", b.path, err)
	}
	var was, is unix.Stat_t
	if err := errors.Join(unix.Fstat(int(b.dir.Fd()), &was), unix.Fstat(fd, &is)); err != nil {
		return bundleDir{fd}, err
	}
	if was.Dev != is.Dev || was.Ino != is.Ino {
		return bundleDir{fd}, fmt.Errorf("open bundle %s: it was replaced", b.path)
	}
	return bundleDir{fd}, nil
}

// open opens a directory named by the bundle: below it without following any
// link, or absolute, where only the last element may be none.
func (p bundleDir) open(name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC}
	if !path.IsAbs(name) {
		how.Resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS
	}
	fd, err := unix.Openat2(p.fd, name, &how)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", name, err)
	}
	return fd, nil
}

// layers are the directories of a bundle with overlay annotations.
type layers struct {
	overlay
	fds []int
}

func (l *layers) close() { closeAll(l.fds) }

// openLayers opens the directories of the overlay annotations; nil without any.
func (c *container) openLayers() (_ *layers, err error) {
	note := c.spec.Annotations
	lower, upper, work := note[AnnotationLower], note[AnnotationUpper], note[AnnotationWork]
	if lower == "" && upper == "" && work == "" {
		return nil, nil
	}
	if lower == "" || upper == "" || work == "" {
		return nil, fmt.Errorf("config.json: annotations %s, %s and %s belong together", AnnotationLower, AnnotationUpper, AnnotationWork)
	}
	l := &layers{}
	open := func(what, name string) (fd int) {
		if err == nil {
			if fd, err = c.place.open(name); err != nil {
				err = fmt.Errorf("%s directory: %w", what, err)
			} else {
				l.fds = append(l.fds, fd)
			}
		}
		return fd
	}
	for _, name := range splitLowers(lower) {
		l.lowers = append(l.lowers, open("lower", name))
	}
	l.upper, l.work = open("upper", upper), open("work", work)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// makeScratch makes a file system in memory for what the container needs and
// nobody keeps: mount points and the files of /etc that are provided. It lies on
// the bundle's directory, below the root that comes on top of it, and goes when
// the old root is let go.
func (c *container) makeScratch() error {
	m, err := newFilesystem("tmpfs", "tmpfs", attributes{set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID, data: []string{"size=4m", "mode=755"}})
	if err != nil {
		return fmt.Errorf("make scratch: %w", err)
	}
	c.scratch = m
	return m.attach(c.place.fd)
}

// makeStubs makes the directory at the bottom of the overlay, with a place for
// every mount that is not inside another one.
func (c *container) makeStubs() (*places, error) {
	const name = "stubs"
	if err := unix.Mkdirat(c.scratch.fd, name, 0o755); err != nil {
		return nil, fmt.Errorf("make stubs: %w", err)
	}
	fd, err := unix.Openat(c.scratch.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make stubs: %w", err)
	}
	r, err := rootfs.FromFile(detached{fd}.file(name))
	if err != nil {
		return nil, err
	}
	stubs := &places{root: r}
	for _, m := range c.mounts {
		if m.below(c.mounts) {
			continue
		}
		if err := stubs.make(m.dest, m.dir); err != nil && !errors.Is(err, unix.ENOTDIR) {
			r.Close()
			return nil, fmt.Errorf("make stub of %s: %w", m.dest, err)
		}
	}
	return stubs, nil
}

// mountRoot makes the detached mount of the root, with the destinations of all
// mounts in place as far as stubs can give them. The first attempt shows which
// of them lie behind links of the image: their real places are added to the
// stubs, and the overlay is made again.
func (c *container) mountRoot() (*rootfs.Root, error) {
	l := c.layers
	if l == nil {
		return c.plainRoot()
	}
	stubs, err := c.makeStubs()
	if err != nil {
		return nil, err
	}
	defer stubs.root.Close()
	l.lowers = append(l.lowers, stubs.root.Fd())
	for attempt := 0; ; attempt++ {
		if err := emptyWork(l.work); err != nil {
			return nil, err
		}
		m, err := l.mount(unix.MOUNT_ATTR_NODEV)
		if err != nil {
			return nil, fmt.Errorf("mount root: %w", overlayRemedy(err))
		}
		r, err := rootfs.FromFile(m.file("root"))
		if err != nil {
			return nil, err
		}
		missing := missingPlaces(r, c.mounts)
		if len(missing) == 0 || attempt > 0 {
			return r, nil
		}
		for _, m := range missing {
			if real, err := r.Resolve(m.dest); err == nil {
				_ = stubs.make(real, m.dir) // else it is made in the root
			}
		}
		r.Close()
	}
}

// emptyWork removes what an earlier mount left in the work directory. With a
// mark that refuses a second volatile one, it says nothing about the upper.
func emptyWork(work int) error {
	if err := rootfs.RemoveAt(work, "work"); err != nil {
		return fmt.Errorf("empty the work directory: %w", err)
	}
	return nil
}

// leaveWork does the same when the overlay has been unmounted, which it is when the
// container had all its processes to itself. The kernel has made a directory there
// that nobody may enter, which keeps all but root from removing the bundle.
func (c *container) leaveWork() error {
	name := ""
	if c.bundle != nil && InUserNamespace() && c.newNamespace(specs.PIDNamespace) {
		name = c.spec.Annotations[AnnotationWork]
	}
	if name == "" {
		return nil
	}
	fd, err := (bundleDir{int(c.bundle.dir.Fd())}).open(name)
	if err != nil {
		return nil // it is gone already
	}
	defer unix.Close(fd)
	return emptyWork(fd)
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

// prepareRoot takes hold of a root that is to be a slave of the machine's mounts
// while it still can be.
func (c *container) prepareRoot() (err error) {
	if c.layers != nil {
		return nil
	}
	if c.rootDir.fd, err = c.place.open(c.spec.Root.Path); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if c.rootPropagation() == unix.MS_SLAVE {
		c.rootTree, err = c.cloneRoot(unix.MS_SLAVE)
	}
	return err
}

func (c *container) cloneRoot(propagation uint64) (detached, error) {
	m, err := cloneTree(c.rootDir.fd, "", true)
	if err != nil {
		return detached{-1}, fmt.Errorf("mount root: open_tree: %w", err)
	}
	if err := m.change(unix.MOUNT_ATTR_NODEV, propagation, true); err != nil {
		m.close()
		return detached{-1}, fmt.Errorf("mount root: %w", err)
	}
	return m, nil
}

// plainRoot clones the directory that root.path names.
func (c *container) plainRoot() (*rootfs.Root, error) {
	m, err := c.rootTree, error(nil)
	if c.rootTree = (detached{-1}); m.fd < 0 {
		m, err = c.cloneRoot(unix.MS_PRIVATE)
	}
	if err != nil {
		return nil, err
	}
	return rootfs.FromFile(m.file("root"))
}

// rootPropagation is how mounts on the container's root spread, 0 for the usual.
func (c *container) rootPropagation() uint64 { return propagationWords[c.spec.Linux.RootfsPropagation] }

// spreadRoot makes mounts on the root spread as the specification says. A root
// that can be pivoted into is not shared, so this comes after it.
func (c *container) spreadRoot() error {
	p := c.rootPropagation()
	if p != unix.MS_SHARED && p != unix.MS_UNBINDABLE {
		return nil
	}
	if err := unix.Mount("", "/", "", uintptr(p), ""); err != nil {
		return fmt.Errorf("rootfsPropagation %s: %w", c.spec.Linux.RootfsPropagation, err)
	}
	return nil
}

// attachRoot gives the root a place.
func (c *container) attachRoot(r *rootfs.Root) error {
	at := c.cover()
	if c.scratch.fd >= 0 {
		at = c.scratch.fd
	}
	if err := (detached{r.Fd()}).attach(at); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	return nil
}

// cover is what the root and what belongs to it may lie on until they are
// pivoted into: a directory that nobody needs to see any more. With a directory
// for a root it is that, for hooks may want to see the bundle.
func (c *container) cover() int {
	if c.rootDir.fd >= 0 {
		return c.rootDir.fd
	}
	return c.place.fd
}

// pivot makes r the root of the mount namespace and lets the host's go. There
// is no fallback: a root that cannot be pivoted into is one that could be left.
func pivot(r *rootfs.Root) error {
	if err := unix.Fchdir(r.Fd()); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("%w: pivot_root: %w: the machine's root may be an initramfs, which cannot be left", ErrIsolation, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	return nil
}
