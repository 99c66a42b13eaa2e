package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A mount may show a part of a tree: OptionSubpath names it. The part is found
// inside the tree by descriptor, however the links in it point, at the moment it
// is mounted, and what was found is what is cloned: whoever changes the tree
// meanwhile moves the mount within it and no further (CVE-2024-1753,
// CVE-2024-23651).

// part takes the subpath out of the options that are left for the file system.
func (m *mount) part() string {
	sub := ""
	m.attr.data = slices.DeleteFunc(m.attr.data, func(o string) bool {
		v, ok := strings.CutPrefix(o, OptionSubpath+"=")
		if ok {
			sub = v
		}
		return ok
	})
	return sub
}

// clonePart clones what is at sub inside the tree dir.
func clonePart(dir int, sub string, recursive bool) (detached, error) {
	fd, err := openIn(dir, sub, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return detached{-1}, fmt.Errorf("open %s in the source: %w", sub, err)
	}
	defer unix.Close(fd)
	m, err := cloneTree(fd, "", recursive)
	if err != nil {
		return detached{-1}, fmt.Errorf("open_tree %s: %w", sub, err)
	}
	return m, nil
}

// park puts a mount on what the root will cover, out of the container's sight. Part
// of a mount can be cloned only where the mount is in a tree (before Linux 6.15).
// It goes when the old root is let go.
func (c *container) park(m detached) error { return m.attach(c.cover()) }

// makeParts makes the mounts that are overlays, and those of secrets. It runs in
// the container's namespaces, cut off from the host's.
func (c *container) makeParts() error {
	for _, m := range c.mounts {
		if m.fstype == "overlay" && m.ready.fd < 0 {
			if err := c.makeOverlay(m); err != nil {
				return fmt.Errorf("mount %s: %w", m.dest, err)
			}
		}
	}
	return errors.Join(c.makeSecrets(), c.makeNodes())
}

// makeOverlay makes an overlay mount of directories that its options name as
// the kernel's do, absolute or relative to the bundle.
func (c *container) makeOverlay(pm *mount) error {
	sub := pm.part()
	l, err := c.openMountLayers(pm)
	if err != nil {
		return err
	}
	defer l.close()
	var m detached
	if l.upper < 0 && len(l.lowers) == 1 { // which overlayfs calls too few
		m, err = cloneTree(l.lowers[0], "", false)
	} else {
		if l.upper >= 0 {
			if err := emptyWork(l.work); err != nil {
				return err
			}
		}
		m, err = l.mount(0)
	}
	if err != nil {
		return overlayRemedy(err)
	}
	if path.Clean("/"+sub) == "/" {
		return pm.take(m)
	}
	defer m.close()
	if err := m.change(0, unix.MS_PRIVATE, false); err != nil {
		return err
	}
	if err := c.park(m); err != nil {
		return err
	}
	part, err := clonePart(m.fd, sub, false)
	if err != nil {
		return err
	}
	return pm.take(part)
}

// openMountLayers opens the directories of an overlay mount.
func (c *container) openMountLayers(pm *mount) (*layers, error) {
	l := &layers{overlay: overlay{upper: -1, work: -1}}
	var err error
	open := func(name string) int {
		fd := -1
		if err == nil {
			if fd, err = c.place.open(name); err == nil {
				l.fds = append(l.fds, fd)
			}
		}
		return fd
	}
	for _, o := range pm.attr.data {
		switch key, value, _ := strings.Cut(o, "="); key {
		case "lowerdir":
			for _, name := range splitLowers(value) {
				l.lowers = append(l.lowers, open(name))
			}
		case "upperdir":
			l.upper = open(value)
		case "workdir":
			l.work = open(value)
		default:
			err = errors.Join(err, fmt.Errorf("an overlay has no option %q here", o))
		}
	}
	if err == nil && (len(l.lowers) == 0 || (l.upper < 0) != (l.work < 0)) {
		err = errors.New("an overlay has lowerdir, and both or none of upperdir and workdir")
	}
	if err != nil {
		l.close()
		return nil, err
	}
	pm.attr.data = nil
	return l, nil
}
