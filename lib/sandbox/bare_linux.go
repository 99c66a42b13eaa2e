package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"docksmith/lib/rootfs"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The levels chroot and none are to be had inside containers of others, where the
// kernel gives root no mount namespace. What is left there is chroot(2): the root
// is a directory as it is, and nothing is mounted.

// bare tells whether the container is to do without mounts, after that error.
func (c *container) bare(err error) bool {
	return c.opts.Isolation.weak() && errors.Is(err, ErrIsolation) && errors.Is(err, unix.EPERM)
}

// makeBare makes the container without mounts. It is the command itself that
// changes its root: the thread may not even have one of its own.
func (t *thread) makeBare(c *container, p *process) (err error) {
	if t.hostNS >= 0 {
		unix.Close(t.hostNS)
		t.hostNS = -1
	}
	if err := c.fitsBare(); err != nil {
		return fmt.Errorf("isolation %s: without a mount namespace there is no %w", c.opts.Isolation, err)
	}
	if c.opts.Warn != nil {
		c.opts.Warn("isolation " + string(c.opts.Isolation) + ": without a mount namespace nothing is mounted, neither /proc nor /dev")
	}
	if c.place, err = c.bundle.reopen(); err != nil {
		return err
	}
	dir, err := c.place.open(c.spec.Root.Path)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	return t.startBare(c, p, dir)
}

// startBare starts the command in a root that is only changed: the directory dir,
// which it takes over.
func (t *thread) startBare(c *container, p *process, dir int) (err error) {
	if t.root, err = rootfs.FromFile(os.NewFile(uintptr(dir), "root")); err != nil {
		return err
	}
	c.places, p.root = &places{root: t.root}, t.root.Fd()
	if err := p.lock(c.opts.Isolation); err != nil {
		return err
	}
	if err := t.startCommand(c, p); err != nil {
		return err
	}
	if err := c.settle(p); err != nil {
		return err
	}
	return p.finish(t.command)
}

// lock takes from a process what would lead it out of a root that is only changed,
// unless nothing is to be kept from it; and what its maker has not, which inside a
// container may be less than usual.
func (p *process) lock(level Isolation) error {
	if level == IsolationNone {
		return nil
	}
	keep, err := callersCaps()
	if err != nil {
		return err
	}
	keep &^= 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_MKNOD
	for _, set := range []*capSet{&p.caps.bounding, &p.caps.permitted, &p.caps.effective, &p.caps.inheritable, &p.caps.ambient} {
		*set &= keep
	}
	return nil
}

// fitsBare names what the container was to have that takes a mount.
func (c *container) fitsBare() error {
	notes := c.spec.Annotations
	switch {
	case notes[AnnotationLower] != "" || notes[AnnotationUpper] != "" || notes[AnnotationWork] != "":
		return errors.New("overlay: unpack the image, as docksmith run --no-overlay does")
	case c.spec.Root.Readonly:
		return errors.New("read-only root")
	case c.spec.Process.Terminal:
		return errors.New("terminal of its own")
	case c.spec.Hooks != nil:
		return errors.New("place for hooks")
	}
	if c.opts.Limits.ShmSize > 0 {
		return errors.New("file system on /dev/shm to have that size")
	}
	own := len(c.spec.Mounts) - len(c.opts.Mounts) // who asked for the others is to have them
	for i, m := range c.spec.Mounts {
		if i >= own || !usualMount(m) {
			return fmt.Errorf("mount on %s", m.Destination)
		}
	}
	return c.setSysctls()
}

// usualMount tells what every container has, and a command may do without.
func usualMount(m specs.Mount) bool {
	kernels := []string{"proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2"}
	return slices.Contains(kernels, m.Type) || m.Type == "tmpfs" && (m.Destination == "/dev" || strings.HasPrefix(m.Destination, "/dev/"))
}
