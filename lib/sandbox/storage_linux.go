package sandbox

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// How much a container writes into its root can be limited where the root is an
// overlay: its upper directory is then on a file system of that size. Quotas of
// the machine's file systems would need a mount option that few have, and a file
// with a file system in it a program to make one; one in memory is always to be
// had, counts for the limit of memory, and goes with the container.

// limitStorage puts the upper directory on a file system in memory. What an
// earlier run of the bundle has written is below it.
func (c *container) limitStorage() error {
	if c.opts.Storage == 0 {
		return nil
	}
	data := []string{"size=" + strconv.FormatInt(c.opts.Storage, 10), "mode=700"}
	m, err := newFilesystem("tmpfs", "tmpfs", attributes{set: unix.MOUNT_ATTR_NODEV, data: data})
	if err != nil {
		return fmt.Errorf("limit storage: %w", err)
	}
	c.storage = m
	if err := c.attachStorage(m); err != nil {
		return fmt.Errorf("limit storage: %w", err)
	}
	l := c.layers
	upper, err := l.open(m.fd, "upper")
	if err != nil {
		return fmt.Errorf("limit storage: %w", err)
	}
	work, err := l.open(m.fd, "work")
	if err == nil {
		err = copyOwner(l.upper, upper)
	}
	if err != nil {
		return fmt.Errorf("limit storage: %w", err)
	}
	l.lowers = append([]int{l.upper}, l.lowers...)
	l.upper, l.work = upper, work
	return nil
}

// attachStorage gives the file system a place: an overlay takes no directory of
// one that has none.
func (c *container) attachStorage(m detached) error {
	const name = "storage"
	if err := unix.Mkdirat(c.scratch.fd, name, 0o700); err != nil {
		return err
	}
	place, err := unix.Openat(c.scratch.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(m.attach(place), unix.Close(place))
}

// open makes and opens a directory in another one.
func (l *layers) open(at int, name string) (int, error) {
	if err := unix.Mkdirat(at, name, 0o755); err != nil {
		return -1, err
	}
	fd, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		l.fds = append(l.fds, fd)
	}
	return fd, err
}
