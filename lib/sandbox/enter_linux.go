package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"docksmith/lib/rootfs"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Enter runs one more command in a container that runs, and waits for it to
// end. spec is the container's, and o what it runs with, but for what the
// command has of its own: Args, Env, User, Cwd and the streams. The command is
// in all namespaces of the container and in its cgroup, has its root,
// capabilities, system call filter and limits, and ends with it. Errors and
// signals are as for Run.
//
// The caller is root in the container's user namespace, as JoinUserNamespace
// makes it.
func Enter(ctx context.Context, in Joint, spec *specs.Spec, o Options) (Result, error) {
	failed := Result{Status: 125}
	o, err := o.isolated()
	if err != nil {
		return failed, err
	}
	spec, err = o.apply(spec)
	if err != nil {
		return failed, err
	}
	_, _ = ownIDs(), InUserNamespace() // while /proc is the host's
	flags, err := foreignNamespaces(in.PID)
	if err != nil {
		return failed, in.verdict(err)
	}
	if err := HideMemory(); err != nil {
		return failed, err
	}
	spec.Process.Terminal = o.Terminal // that of the container's command is its own
	return in.run(ctx, containerOf(spec, o), flags)
}

// run starts what c says in the container, and waits unless it is to outlive us.
func (in Joint) run(ctx context.Context, c *container, flags int) (Result, error) {
	failed := Result{Status: 125}
	c.compileFilter()
	if len(in.Cgroups) > 0 {
		c.cgroup = &cgroup{dirs: map[string]string{}}
		for _, dir := range in.Cgroups {
			c.cgroup.dirs[dir] = dir
		}
	}
	res, err := c.run(ctx, func(t *thread) error { return t.join(c, in, flags) })
	if err != nil {
		return failed, in.verdict(err)
	}
	return res, nil
}

// verdict tells an error that comes of the container's end.
func (in Joint) verdict(err error) error {
	fd := []unix.PollFd{{Fd: int32(in.PIDFD.Fd()), Events: unix.POLLIN}}
	if n, perr := unix.Poll(fd, 0); perr == nil && n > 0 {
		return fmt.Errorf("enter container: %w", ErrEnded)
	}
	return err
}

// join makes the thread one of the container's and has it start the command.
func (t *thread) join(c *container, in Joint, flags int) error {
	p, err := c.readProcess()
	if err != nil {
		return err
	}
	p.cgroupNS = false // it is joined, not made
	t.ownTTY = p.ownTTY
	if c.users != nil {
		fds := []int{-1}
		if fds[0], err = unix.FcntlInt(in.PIDFD.Fd(), unix.F_DUPFD_CLOEXEC, 10); err != nil {
			return fmt.Errorf("join user namespace: %w", err)
		}
		defer closeAll(fds)
		p.enter = fds[0]
	}
	if flags == 0 {
		dir, err := in.bareRoot()
		if err != nil {
			return err
		}
		return t.startBare(c, p, dir)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(int(in.PIDFD.Fd()), flags); err != nil {
		return fmt.Errorf("join namespaces: %w", err)
	}
	if t.root, err = rootfs.Open("/"); err != nil {
		return err
	}
	c.places = &places{root: t.root}
	if p.terminal {
		if c.terminal, err = openTerminal(t.root); err != nil {
			return err
		}
	}
	if t.command, err = p.start(nil); err != nil {
		return err
	}
	if err := c.settle(p); err != nil {
		return err
	}
	if p.terminal {
		if err := c.handTerminal(t.command, p.id); err != nil {
			return err
		}
	}
	return p.finish(t.command)
}

// bareRoot is the root of the container's process.
func (in Joint) bareRoot() (int, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(in.PID)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("enter root: %w", err)
	}
	if err := unix.PidfdSendSignal(int(in.PIDFD.Fd()), 0, nil, 0); err != nil { // else it may be another's
		unix.Close(fd)
		return -1, fmt.Errorf("enter root: %w", err)
	}
	return fd, nil
}

// namespaceFiles are those of /proc/PID/ns, without the user namespace's.
var namespaceFiles = map[string]int{
	"mnt": unix.CLONE_NEWNS, "pid": unix.CLONE_NEWPID, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC,
	"uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP,
}

// foreignNamespaces are those of a process that are not ours. One that we share
// need not be joined, and in a user namespace cannot be if it is the machine's.
func foreignNamespaces(pid int) (flags int, err error) {
	for name, flag := range namespaceFiles {
		same, err := sameNamespace(pid, name)
		if errors.Is(err, unix.ENOENT) && flag != unix.CLONE_NEWNS {
			if _, perr := os.Stat("/proc/" + strconv.Itoa(pid)); perr == nil {
				continue // a kernel without it
			}
		}
		if err != nil {
			return 0, err
		}
		if !same {
			flags |= flag
		}
	}
	return flags, nil
}

// sameNamespace tells whether a process has the namespace that we have.
func sameNamespace(pid int, name string) (bool, error) {
	theirs, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/ns/" + name)
	if err != nil {
		return false, fmt.Errorf("look at namespaces: %w", err)
	}
	ours, err := os.Stat("/proc/self/ns/" + name)
	if err != nil {
		return false, fmt.Errorf("look at namespaces: %w", err)
	}
	return os.SameFile(theirs, ours), nil
}

// JoinUserNamespace makes the program root in the user namespace of a container,
// with a private mount namespace, as EnterUserNamespace does in a new one: it
// executes the program again. It returns to a program that is in that user
// namespace, and with an error.
func JoinUserNamespace(in Joint, o UserNamespaceOptions) error {
	same, err := sameNamespace(in.PID, "user")
	if err == nil && same {
		return nil
	}
	if err == nil && os.Getenv(marker) != "" {
		err = errors.New("the program is in another one, and did not join")
	}
	if err == nil {
		err = in.joinUserNamespace(o)
	}
	return in.verdict(fmt.Errorf("join user namespace: %w", err))
}

func (in Joint) joinUserNamespace(o UserNamespaceOptions) error {
	runtime.LockOSThread() // the child dies with this thread
	defer runtime.UnlockOSThread()
	caught := catchSignals()
	defer caught.end()
	c, err := again(0, o.Root, func(p *program) {
		p.add("join", unix.SYS_SETNS, in.PIDFD.Fd(), unix.CLONE_NEWUSER)
		p.add("set groups", unix.SYS_SETGROUPS, 0, 0).kind = try
		p.add("set group", unix.SYS_SETRESGID, 0, 0, 0)
		p.add("set user", unix.SYS_SETRESUID, 0, 0, 0)
		p.add("unshare mounts", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
		// The change of user took it back.
		p.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	})
	if err == nil {
		err = c.started()
	}
	if err != nil {
		return err
	}
	standIn(c.pid, caught)
	return nil // not reached
}
