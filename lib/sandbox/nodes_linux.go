package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// node is a device that the specification adds to the usual ones. It is made on
// a file system out of the container's sight, with the mode and the owner that
// the specification gives it, and bound from there: on the container's own file
// systems no device can be opened. Who may not make nodes gets the machine's.
type node struct {
	device
	file string // in nodes, or "" for the machine's
}

// makeNodes makes the devices of the specification.
func (c *container) makeNodes() error {
	for _, d := range c.spec.Linux.Devices {
		dev, err := readDevice(d)
		if err == nil && !slices.Contains(usualDevices[:], dev) {
			err = c.makeNode(dev, d)
		}
		if err != nil {
			return fmt.Errorf("device %s: %w", d.Path, err)
		}
	}
	return nil
}

func (c *container) makeNode(dev device, d specs.LinuxDevice) error {
	if c.nodesDir.fd < 0 {
		a := attributes{set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, data: []string{"size=64k", "mode=700"}}
		m, err := newFilesystem("tmpfs", "tmpfs", a)
		if err != nil {
			return fmt.Errorf("make node: %w", err)
		}
		if c.nodesDir = m; c.park(m) != nil {
			return errors.New("make node: no place for it")
		}
	}
	mode, uid, gid := uint32(0o666), uint32(0), uint32(0)
	if d.FileMode != nil {
		mode = uint32(d.FileMode.Perm())
	}
	if d.UID != nil {
		uid = *d.UID
	}
	if d.GID != nil {
		gid = *d.GID
	}
	outerUID, ok := c.hostUID(uid)
	outerGID, gok := c.hostGID(gid)
	if !ok || !gok {
		return errors.New("its owner does not exist in the user namespace")
	}
	dir, file := c.nodesDir.fd, strings.ReplaceAll(dev.name, "/", "!")
	err := unix.Mknodat(dir, file, dev.kind|mode, int(unix.Mkdev(dev.major, dev.minor)))
	if err == unix.EPERM {
		c.nodes = append(c.nodes, node{device: dev})
		return nil
	}
	if err == nil {
		err = errors.Join(unix.Fchownat(dir, file, outerUID, outerGID, unix.AT_SYMLINK_NOFOLLOW), unix.Fchmodat(dir, file, mode, 0))
	}
	if err != nil {
		return fmt.Errorf("make node: %w", err)
	}
	c.nodes = append(c.nodes, node{dev, file})
	return nil
}

// placeNodes binds them into /dev.
func (c *container) placeNodes() error {
	for _, n := range c.nodes {
		err := c.placeNode(n)
		if err != nil {
			return fmt.Errorf("device /dev/%s: %w", n.name, err)
		}
	}
	return nil
}

func (c *container) placeNode(n node) error {
	if n.file == "" {
		return c.placeDevice(n.device)
	}
	m, err := cloneTree(c.nodesDir.fd, n.file, false)
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	defer m.close()
	return c.attachDevice(m, n.name)
}
