package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mount is one that the container gets.
type mount struct {
	dest   string
	fstype string // "bind" for a part of the host's tree
	source string
	attr   attributes
	dir    bool
	// ready is the mount, when it could be made in the caller's namespaces.
	ready detached
}

// below tells whether m lies in the destination of one of the others.
func (m *mount) below(others []*mount) bool {
	for _, o := range others {
		if m.dest != o.dest && strings.HasPrefix(m.dest, strings.TrimSuffix(o.dest, "/")+"/") {
			return true
		}
	}
	return false
}

// prepareMounts reads the mounts of the specification and takes hold of those
// parts of the host's tree that the container gets, while they still share
// propagation with it: a mount that asks for "slave" keeps it.
func (c *container) prepareMounts() error {
	if err := c.prepareRoot(); err != nil {
		return err
	}
	for _, m := range c.spec.Mounts {
		pm, err := c.prepare(m)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Destination, err)
		}
		c.mounts = append(c.mounts, pm)
	}
	return nil
}

func (c *container) prepare(m specs.Mount) (*mount, error) {
	if !path.IsAbs(m.Destination) || path.Clean(m.Destination) == "/" {
		return nil, errors.New("the destination must be an absolute path other than /")
	}
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		return nil, errors.New("id-mapped mounts are not made")
	}
	pm := &mount{dest: path.Clean(m.Destination), fstype: m.Type, source: m.Source, attr: parseOptions(m.Options), dir: true, ready: detached{-1}}
	if err := pm.attr.check(m.Type); err != nil {
		return nil, err
	}
	bind := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
	switch {
	case bind:
		pm.fstype = "bind"
		return pm, c.prepareBind(pm)
	case m.Type == TypeSecret:
		pm.dir = false
		pm.attr.set |= unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
		return pm, nil
	case m.Type == "cgroup" || m.Type == "cgroup2":
		pm.fstype = "cgroup"
		return pm, nil
	case InUserNamespace() && c.onlyHosts(m.Type) != "":
		pm.fstype, pm.source, pm.attr.recursive, pm.attr.data = "bind", c.onlyHosts(m.Type), true, nil
		err := c.prepareBind(pm)
		if errors.Is(err, unix.ENOENT) { // nor has the machine one
			pm.fstype, pm.attr.data, err = "tmpfs", []string{"size=4k"}, nil
		}
		return pm, err
	case m.Type == "devpts":
		c.fixDevpts(pm, m.Options)
	case m.Type == "":
		return nil, errors.New("no type")
	}
	return pm, nil
}

// onlyHosts is where the machine has a file system that shows a namespace which
// the container shares with it. A user namespace may not mount another of those.
func (c *container) onlyHosts(fstype string) string {
	for _, f := range []struct {
		fstype, path string
		shows        specs.LinuxNamespaceType
	}{
		{"sysfs", "/sys", specs.NetworkNamespace}, {"proc", "/proc", specs.PIDNamespace}, {"mqueue", "/dev/mqueue", specs.IPCNamespace},
	} {
		if f.fstype == fstype && !hasNamespace(c.spec, f.shows) {
			return f.path
		}
	}
	return ""
}

// fixDevpts leaves the group of terminals out where it has no id. Terminals are
// devices: a new instance holds nothing else, and ptmx there must open.
func (c *container) fixDevpts(pm *mount, options []string) {
	ids := c.ids()
	if !slices.Contains(options, "nodev") {
		pm.attr.set &^= unix.MOUNT_ATTR_NODEV
	}
	pm.attr.data = slices.DeleteFunc(pm.attr.data, func(o string) bool {
		gid, ok := strings.CutPrefix(o, "gid=")
		n, err := strconv.ParseUint(gid, 10, 32)
		return ok && err == nil && !mapped(ids.gids, uint32(n))
	})
}

func (c *container) prepareBind(pm *mount) error {
	sub := pm.part()
	pm.attr.data = slices.DeleteFunc(pm.attr.data, func(o string) bool { return strings.HasPrefix(o, OptionMayLack+"=") })
	if len(pm.attr.data) > 0 {
		return fmt.Errorf("a bind mount has no option %q", pm.attr.data[0])
	}
	dirfd, source := unix.AT_FDCWD, pm.source
	if !path.IsAbs(source) {
		dirfd = c.place.fd
	}
	// In a user namespace the mounts below come along in any case: what they
	// cover must stay covered.
	recursive := pm.attr.recursive || InUserNamespace() || c.wanted != nil
	if sub != "" {
		return c.prepareSubpath(pm, dirfd, sub, recursive)
	}
	m, err := cloneTree(dirfd, source, recursive)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", source, err)
	}
	return pm.take(m)
}

func (c *container) prepareSubpath(pm *mount, dirfd int, sub string, recursive bool) error {
	dir, err := unix.Openat(dirfd, pm.source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", pm.source, err)
	}
	defer unix.Close(dir)
	m, err := clonePart(dir, sub, recursive)
	if err != nil {
		return err
	}
	return pm.take(m)
}

// take makes m the mount, and a file's destination a file.
func (pm *mount) take(m detached) error {
	pm.ready = m
	var st unix.Stat_t
	if err := unix.Fstat(m.fd, &st); err != nil {
		return err
	}
	pm.dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	if pm.attr.fill { // before it may become read-only
		return nil
	}
	return m.change(pm.attr.set, pm.attr.propagation, true)
}

// attachMounts puts everything in place. It runs in the container's namespaces,
// before the root is pivoted into.
func (c *container) attachMounts() error {
	for _, m := range c.mounts {
		if err := c.attach(m); err != nil {
			return fmt.Errorf("mount %s: %w", m.dest, err)
		}
	}
	return nil
}

func (c *container) attach(m *mount) error {
	if m.fstype == "proc" || m.fstype == "sysfs" {
		if err := c.refuseLink(m.dest); err != nil {
			return err
		}
	}
	place, err := c.places.open(m.dest, m.dir)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	if err := m.fits(place); err != nil {
		return err
	}
	if m.ready.fd < 0 {
		if m.ready, err = c.newMount(m); err != nil {
			return err
		}
	}
	if m.attr.copyUp {
		if err := m.copyUp(place); err != nil {
			return err
		}
	}
	if err := m.ready.attach(place); err != nil {
		return err
	}
	switch {
	case m.dest == "/dev" && m.fstype == "tmpfs":
		err = c.fillDev(m.ready.fd)
	case m.fstype == "cgroup" && c.cgroup != nil && !c.cgroup.v2:
		err = c.fillCgroups(m)
	}
	m.ready.close()
	m.ready = detached{-1}
	return err
}

// refuseLink keeps an image from choosing where the kernel's file systems go:
// the paths that are masked in them would then be somebody else's.
func (c *container) refuseLink(dest string) error {
	var st unix.Stat_t
	dir, base, err := c.places.root.Parent(dest)
	if err != nil || unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil // not there: it will be made
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return errors.New("the image has a symbolic link there")
	}
	return nil
}

// fits keeps mounts out of /proc, by whatever name: what is masked there must be
// the kernel's. And it says in words what the kernel calls an invalid argument.
func (m *mount) fits(place int) error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(place, &fs), unix.Fstat(place, &st)); err != nil {
		return err
	}
	switch {
	case fs.Type == unix.PROC_SUPER_MAGIC:
		return errors.New("the destination is in /proc")
	case !m.dir && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return errors.New("a file cannot be mounted on a directory")
	}
	return nil
}

func (c *container) newMount(m *mount) (detached, error) {
	if m.fstype == "cgroup" {
		return c.cgroupMount()
	}
	source := m.source
	if source == "" {
		source = m.fstype
	}
	if fd, ok := c.takeBegun(m); ok {
		defer unix.Close(fd)
		fs, err := configure(fd, source, m.attr)
		return fs, visibleRemedy(err, m.fstype)
	}
	if m.fstype == "proc" && hasNamespace(c.spec, specs.PIDNamespace) {
		return detached{-1}, errors.New("there can be only one proc")
	}
	fs, err := newFilesystem(m.fstype, source, m.attr)
	return fs, visibleRemedy(err, m.fstype)
}

func visibleRemedy(err error, fstype string) error {
	if errors.Is(err, unix.EPERM) && (fstype == "proc" || fstype == "sysfs") {
		err = fmt.Errorf("%w: a user namespace may mount one only where the machine's own is wholly visible, "+
			"which inside another container it is not", err)
	}
	return err
}

const coverAttrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// emptyDir is a file system with nothing in it.
func emptyDir(attrs uint64) (detached, error) {
	return newFilesystem("tmpfs", "tmpfs", attributes{set: attrs, data: []string{"size=4k", "mode=755"}})
}

// cgroupMount shows the container its own cgroup, read-only, whatever the
// version; a container without one gets an empty directory. The host's other
// cgroups are nobody's business.
func (c *container) cgroupMount() (detached, error) {
	switch {
	case c.cgroup == nil:
		return emptyDir(coverAttrs)
	case c.cgroup.v2:
		return cgroupDir(c.cgroup.dirs[""], coverAttrs)
	}
	return emptyDir(coverAttrs &^ unix.MOUNT_ATTR_RDONLY)
}

// fillCgroups shows the container's directory of each hierarchy of version 1.
func (c *container) fillCgroups(m *mount) error {
	for controller, dir := range c.cgroup.dirs {
		view, err := cgroupDir(dir, coverAttrs)
		if err != nil {
			return err
		}
		place, err := c.places.open(path.Join(m.dest, controller), true)
		if err == nil {
			err = view.attach(place)
			unix.Close(place)
		}
		view.close()
		if err != nil {
			return err
		}
	}
	return m.ready.change(unix.MOUNT_ATTR_RDONLY, 0, false)
}

// release closes what was taken hold of and not used.
func (c *container) release() {
	closeJoins(c.joins)
	c.joins = nil
	for _, m := range c.mounts {
		if m.ready.fd >= 0 {
			m.ready.close()
			m.ready.fd = -1
		}
	}
	if c.layers != nil {
		c.layers.close()
		c.layers = nil
	}
	for _, b := range c.begun {
		unix.Close(b.fd)
	}
	c.begun = nil
	for _, fd := range []*int{&c.nodesDir.fd, &c.rootTree.fd, &c.rootDir.fd, &c.place.fd, &c.scratch.fd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
