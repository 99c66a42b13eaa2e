package sandbox

import (
	"errors"
	"fmt"
	"os"

	"docksmith/lib/rootfs"

	"golang.org/x/sys/unix"
)

// A terminal of the container's own is a pair of the devpts that it mounts: the
// far end is the process's, the near end goes to whoever asked. Both are had by
// descriptor, so that no name of the container is trusted (CVE-2025-52565 was a
// name in the place of the far end).
type terminal struct{ near, far *os.File }

func (t *terminal) close() {
	if t != nil {
		t.near.Close()
		t.far.Close()
	}
}

// openTerminal makes a pair in the devpts of a root.
func openTerminal(root *rootfs.Root) (*terminal, error) {
	dir, err := openIn(root.Fd(), "/dev/pts", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make terminal: open /dev/pts: %w", err)
	}
	defer unix.Close(dir)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(dir, &fs); err != nil {
		return nil, fmt.Errorf("make terminal: %w", err)
	}
	if fs.Type != unix.DEVPTS_SUPER_MAGIC {
		return nil, errors.New("make terminal: /dev/pts is no devpts: the bundle must mount one")
	}
	near, err := unix.Openat(dir, "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make terminal: open /dev/pts/ptmx: %w", err)
	}
	if err := unix.IoctlSetPointerInt(near, unix.TIOCSPTLCK, 0); err != nil {
		unix.Close(near)
		return nil, fmt.Errorf("make terminal: unlock: %w", err)
	}
	far, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(near), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		unix.Close(near)
		return nil, fmt.Errorf("make terminal: open the far end: %w", errno)
	}
	return &terminal{os.NewFile(uintptr(near), "/dev/ptmx"), os.NewFile(far, "/dev/tty")}, nil
}

// makeTerminal makes the container's terminal, which is its console too.
func (c *container) makeTerminal() (err error) {
	if c.terminal, err = openTerminal(c.places.root); err != nil {
		return err
	}
	if err := c.setSize(); err != nil {
		return err
	}
	console, err := cloneTree(int(c.terminal.far.Fd()), "", false)
	if err != nil {
		return fmt.Errorf("make console: open_tree: %w", err)
	}
	defer console.close()
	if err := console.change(unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, unix.MS_PRIVATE, false); err != nil {
		return fmt.Errorf("make console: %w", err)
	}
	place, err := c.places.open("/dev/console", false)
	if err != nil {
		return fmt.Errorf("make console: %w", err)
	}
	defer unix.Close(place)
	return console.attach(place)
}

func (c *container) setSize() error {
	size := c.spec.Process.ConsoleSize
	if size == nil {
		return nil
	}
	w := unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)}
	if err := unix.IoctlSetWinsize(int(c.terminal.near.Fd()), unix.TIOCSWINSZ, &w); err != nil {
		return fmt.Errorf("set terminal size: %w", err)
	}
	return nil
}

// handTerminal gives the far end to the process that will be id.
func (c *container) handTerminal(l *launch, id identity) error {
	uid, ok := c.hostUID(id.uid)
	if !ok {
		return fmt.Errorf("set owner of terminal: user %d does not exist in the user namespace", id.uid)
	}
	far := int(c.terminal.far.Fd())
	if err := unix.Fchown(far, uid, -1); err != nil {
		return fmt.Errorf("set owner of terminal: %w", err)
	}
	if err := sendFile(l.socket, "t", far); err != nil {
		return fmt.Errorf("hand over terminal: %w", err)
	}
	return nil
}

// takeTerminal makes the terminal that is handed over the standard streams of
// the process and its controlling terminal.
func (p *process) takeTerminal(prog *program, socket int) {
	free := uintptr(p.firstFree())
	prog.receive("take terminal", socket)
	for fd := range uintptr(3) {
		prog.add("set standard streams", unix.SYS_DUP3, free, fd, 0)
	}
	prog.add("close terminal", unix.SYS_CLOSE, free)
	if !p.announces {
		prog.add("close socket", unix.SYS_CLOSE, uintptr(socket))
	}
	prog.add("make session", unix.SYS_SETSID)
	prog.add("control terminal", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
}
