package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// device is a node that the container gets. It is always a bind mount of the
// host's, never made anew: an ordinary user could not, and on a /dev where
// devices may be opened, root in the container could make the disk's.
type device struct {
	name               string
	kind, major, minor uint32
}

// usualDevices are in every container.
var usualDevices = [...]device{
	nullDevice, {"zero", unix.S_IFCHR, 1, 5}, {"full", unix.S_IFCHR, 1, 7},
	{"random", unix.S_IFCHR, 1, 8}, {"urandom", unix.S_IFCHR, 1, 9}, {"tty", unix.S_IFCHR, 5, 0},
}

var nullDevice = device{"null", unix.S_IFCHR, 1, 3}

var devLinks = [...][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
	{"pts/ptmx", "ptmx"},
}

// open takes hold of the host's device, and of nothing that only has its name: a
// file in its place would be written to from inside.
func (d device) open() (detached, error) {
	m, err := cloneTree(unix.AT_FDCWD, "/dev/"+d.name, false)
	if err != nil {
		return detached{-1}, fmt.Errorf("open_tree: %w", err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(m.fd, &st); err == nil {
		rdev := uint64(st.Rdev)
		if st.Mode&unix.S_IFMT != d.kind || unix.Major(rdev) != d.major || unix.Minor(rdev) != d.minor {
			err = fmt.Errorf("the machine's is not the device %d:%d", d.major, d.minor)
		} else {
			err = m.change(unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, unix.MS_PRIVATE, false)
		}
	}
	if err != nil {
		m.close()
		return detached{-1}, err
	}
	return m, nil
}

// readDevice reads a device that the specification adds.
func readDevice(d specs.LinuxDevice) (device, error) {
	name, ok := strings.CutPrefix(path.Clean(d.Path), "/dev/")
	if !ok {
		return device{}, errors.New("it must be in /dev")
	}
	kinds := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	kind := kinds[d.Type]
	if kind == 0 {
		return device{}, fmt.Errorf("type %q is not possible", d.Type)
	}
	if kind == unix.S_IFIFO {
		return device{name: name, kind: kind}, nil
	}
	return device{name, kind, uint32(d.Major), uint32(d.Minor)}, nil
}

// fillDev puts the devices and links into the new /dev, whose descriptor is dev.
func (c *container) fillDev(dev int) error {
	for _, l := range devLinks {
		if err := c.users.own(func() error { return unix.Symlinkat(l[0], dev, l[1]) }); err != nil {
			return fmt.Errorf("link %s: %w", l[1], err)
		}
	}
	for _, d := range usualDevices {
		if err := c.placeDevice(d); err != nil {
			return fmt.Errorf("device /dev/%s: %w", d.name, err)
		}
	}
	return c.placeNodes()
}

func (c *container) placeDevice(d device) error {
	m, err := d.open()
	if err != nil {
		return err
	}
	defer m.close()
	return c.attachDevice(m, d.name)
}

func (c *container) attachDevice(m detached, name string) error {
	place, err := c.places.open("/dev/"+name, false)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	return m.attach(place)
}
