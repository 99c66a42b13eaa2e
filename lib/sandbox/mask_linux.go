package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maskPaths covers what the container must not see: files by the host's null
// device, which was verified when it was opened and is attached by descriptor
// (CVE-2025-31133 was a name in its place), directories by an empty file system.
func (c *container) maskPaths() error {
	for _, p := range c.spec.Linux.MaskedPaths {
		if err := c.mask(p); err != nil {
			return fmt.Errorf("mask %s: %w", p, err)
		}
	}
	for _, p := range c.spec.Linux.ReadonlyPaths {
		if err := c.freeze(p); err != nil {
			return fmt.Errorf("make %s read-only: %w", p, err)
		}
	}
	return nil
}

// openExisting opens a path of the root; what is not there need not be hidden.
func (c *container) openExisting(path string) (fd int, dir bool, err error) {
	fd, err = openIn(c.places.root.Fd(), path, unix.O_PATH|unix.O_CLOEXEC)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return -1, false, nil
	}
	if err != nil {
		return -1, false, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, false, err
	}
	return fd, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func (c *container) mask(path string) error {
	fd, dir, err := c.openExisting(path)
	if fd < 0 {
		return err
	}
	defer unix.Close(fd)
	var cover detached
	if dir {
		cover, err = emptyDir(coverAttrs)
	} else {
		cover, err = nullDevice.open()
	}
	if err != nil {
		return err
	}
	defer cover.close()
	return cover.attach(fd)
}

// freeze makes a part of the tree read-only by a copy of its mount on itself.
func (c *container) freeze(path string) error {
	fd, _, err := c.openExisting(path)
	if fd < 0 {
		return err
	}
	defer unix.Close(fd)
	m, err := cloneTree(fd, "", true)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer m.close()
	if err := m.change(unix.MOUNT_ATTR_RDONLY, 0, true); err != nil {
		return err
	}
	return m.attach(fd)
}
