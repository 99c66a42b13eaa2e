package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Create makes the bundle's container up to the point where its process, which
// is the command itself and process 1 of a new pid namespace, waits for Start.
// It outlives the caller. An error leaves nothing behind.
func Create(b *Bundle, o CreateOptions) (_ *Created, err error) {
	o.NoInit = true
	c, err := newContainer(b, o.Options)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.undo(o.Gate))
			c.hooksAfter()
		}
	}()
	switch {
	case c.spec.Process.Terminal && o.Console == nil:
		return nil, errors.New("process.terminal: nobody takes the terminal: a console socket is missing")
	case !c.spec.Process.Terminal && o.Console != nil:
		return nil, errors.New("a console socket is given, but process.terminal is false")
	}
	if c.gate, err = makeGate(o.Gate); err != nil {
		return nil, err
	}
	defer c.gate.Close()
	t, err := c.create()
	if err != nil {
		return nil, err
	}
	made := &Created{PID: t.command.pid, Gate: o.Gate, Command: c.spec.Process.Args[0], Steps: t.command.program.names}
	if c.cgroup != nil {
		made.Cgroups = c.cgroup.keep()
	}
	return made, nil
}

// undo takes away what was made outside the container's namespaces.
func (c *container) undo(gate string) error {
	if c.cgroup != nil {
		c.cgroup.remove()
	}
	if c.gate == nil {
		return nil
	}
	return os.Remove(gate)
}

// create makes the container on a thread of its own, up to where its process
// waits to be started.
func (c *container) create() (_ *thread, err error) {
	t := c.startThread(func(t *thread) error { return t.make(c) }, func() {})
	defer func() { err = errors.Join(err, t.leave()) }()
	if t.err != nil {
		return nil, t.err
	}
	finish, err := c.console()
	if err != nil {
		return nil, errors.Join(err, t.abandon())
	}
	defer finish()
	return t, c.admit(t.command)
}

// makeGate makes the socket at which the process waits. Its path may be longer
// than that of a socket: the directory stands for what leads to it.
func makeGate(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make gate: %w", err)
	}
	fds := []int{fd}
	if err := raise(fds); err != nil {
		return nil, fmt.Errorf("make gate: %w", err)
	}
	gate := os.NewFile(uintptr(fds[0]), path)
	err = atSocket(path, func(a *unix.SockaddrUnix) error { return unix.Bind(fds[0], a) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make gate: %w", err), gate.Close())
	}
	return gate, nil
}

// atSocket calls f with the address of a socket by its path.
func atSocket(path string, f func(*unix.SockaddrUnix) error) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return f(&unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir, filepath.Base(path))})
}

// Start lets the process go on and returns when it has executed the command. An
// error means that it has not, and that the container has ended; as with Run,
// ErrCommandNotFound and ErrCommandNotInvocable may tell why. A container can be
// started once.
func (c *Created) Start() error {
	r, w, err := highPipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = knock(c.Gate, int(w.Fd()))
	w.Close()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	var buf [8]byte
	if _, err := io.ReadFull(r, buf[:]); err == io.EOF {
		return nil
	} else if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	index, errno := binary.NativeEndian.Uint32(buf[:4]), binary.NativeEndian.Uint32(buf[4:])
	return commandError(&stepError{stepName(c.Steps, index), syscall.Errno(errno)}, c.Command)
}

// knock hands the process the pipe on which it is to report.
func knock(gate string, report int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return atSocket(gate, func(a *unix.SockaddrUnix) error {
		return unix.Sendmsg(fd, []byte{1}, unix.UnixRights(report), a, 0)
	})
}

// Undo takes the container away again: its process, its cgroup and its gate. The
// caller is its maker.
func (c *Created) Undo() error {
	_ = unix.Kill(c.PID, unix.SIGKILL)
	var status unix.WaitStatus
	_, err := wait(c.PID, &status, nil)
	return errors.Join(err, KillCgroups(c.Cgroups), RemoveCgroups(c.Cgroups), os.Remove(c.Gate))
}

// SendTerminal sends the near end of a terminal to the socket at path.
func SendTerminal(path string, near *os.File) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("send terminal: %w", err)
	}
	defer unix.Close(fd)
	if err := atSocket(path, func(a *unix.SockaddrUnix) error { return unix.Connect(fd, a) }); err != nil {
		return fmt.Errorf("send terminal: console socket %s: %w", path, err)
	}
	if err := sendFile(fd, near.Name(), int(near.Fd())); err != nil {
		return fmt.Errorf("send terminal: console socket %s: %w", path, err)
	}
	return nil
}
