package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"docksmith/lib/rootfs"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// thread is the operating system thread that makes the container. It alone is in
// the container's namespaces and root; when it ends, its children get SIGKILL,
// so that nothing outlives the program, whatever ends it.
type thread struct {
	err     error
	command *launch
	init    *child
	ownTTY  bool

	root   *rootfs.Root
	done   chan struct{} // closed by leave
	left   chan error
	hostNS int
}

// startThread has the container made, or joined, and returns with its command
// waiting, or with err set. leave must be called in either case. It calls meanwhile
// beside that.
func (c *container) startThread(prepare func(*thread) error, meanwhile func()) *thread {
	t := &thread{done: make(chan struct{}), left: make(chan error, 1), hostNS: -1}
	made := make(chan struct{})
	go onOwnThread(func() {
		growStack()
		t.err = prepare(t)
		close(made)
		<-t.done
		t.left <- t.unmake(c)
	})
	meanwhile()
	<-made
	return t
}

// growStack makes room for what is to come at once. A stack that grows as it is
// used is copied four times, each time with more on it, which takes a container's
// start a fifth of a millisecond.
//
//go:noinline
func growStack() byte {
	var room [24 << 10]byte
	return room[len(os.Args)%len(room)]
}

// onOwnThread runs f on a thread that ends with it. The process's first thread
// will not do: it is the one that /proc/PID shows, and it cannot end alone.
func onOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return // still locked: the thread ends
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// abandon lets a command that still waits go, which fails, and reaps it.
func (t *thread) abandon() error {
	t.command.close()
	return ignoreStep(t.command.started())
}

// kill ends the command.
func (t *thread) kill() error {
	_ = unix.Kill(t.command.pid, unix.SIGKILL)
	var status unix.WaitStatus
	_, err := wait(t.command.pid, &status, nil)
	return err
}

// leave ends the container and returns when nothing of it is left: no process,
// no mount, no mount point.
func (t *thread) leave() error {
	if t.err != nil && t.command != nil {
		_ = t.abandon()
	}
	if t.init != nil {
		_ = unix.Kill(t.init.pid, unix.SIGKILL)
		var status unix.WaitStatus
		_, _ = wait(t.init.pid, &status, nil)
		t.init.report.Close()
	}
	close(t.done)
	return <-t.left
}

func (t *thread) make(c *container) (err error) {
	defer c.release()
	defer func() {
		if err != nil {
			c.terminal.close()
		}
	}()
	p, err := c.readProcess()
	if err != nil {
		return err
	}
	t.ownTTY = p.ownTTY
	if err := t.leaveHost(c, p); c.bare(err) {
		return t.makeBare(c, p)
	} else if err != nil {
		return err
	}
	if c.newNamespace(specs.PIDNamespace) && !c.opts.NoInit {
		if t.init, err = startInit(); err != nil {
			return err
		}
	}
	if t.command == nil {
		if err := t.startCommand(c, p); err != nil {
			return err
		}
	}
	if err := t.furnish(c); err != nil {
		return err
	}
	if t.init != nil {
		if err := t.init.started(); err != nil {
			t.init = nil
			return fmt.Errorf("start init: %w", err)
		}
	}
	if err := c.settle(p); err != nil {
		return err
	}
	if c.terminal != nil {
		if err := c.handTerminal(t.command, p.id); err != nil {
			return err
		}
	}
	return p.finish(t.command)
}

// startCommand forks the command, which waits, with what it alone can begin.
func (t *thread) startCommand(c *container, p *process) (err error) {
	begin := c.toBegin()
	if t.command, err = p.start(begin); err != nil {
		return err
	}
	for i, fd := range t.command.begun {
		c.begun = append(c.begun, begun{begin[i], fd})
	}
	t.command.begun = nil
	return nil
}

// newNamespaces makes the container's namespaces and enters them: the thread by
// itself, or where there is a user namespace to be made with them, the command.
func (t *thread) newNamespaces(c *container, p *process) error {
	if c.wanted == nil {
		// The cgroup namespace is made by the command, once it is in its cgroup.
		flags := c.newFlags() &^ unix.CLONE_NEWCGROUP
		if err := unix.Unshare(flags); err != nil {
			return c.unshareRemedy(flags, err)
		}
		return nil
	}
	if err := t.startCommand(c, p); err != nil {
		return err
	}
	return t.joinOwn(c, p.newFlags)
}

// leaveHost enters the namespaces. Nothing is mounted before the mounts of the
// new namespace have been cut off from the host's.
func (t *thread) leaveHost(c *container, p *process) (err error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return c.unshareRemedy(0, err)
	}
	unix.Umask(0o022)
	// The way back: the program's first thread stays there. A file of /proc/thread-self
	// would do, but then the kernel has names of every thread to forget at the end.
	if t.hostNS, err = unix.PidfdOpen(unix.Getpid(), 0); err != nil {
		return fmt.Errorf("open mount namespace: %w", err)
	}
	for _, j := range c.joins {
		if err := j.enter(); err != nil {
			return err
		}
	}
	if err := t.newNamespaces(c, p); err != nil {
		return err
	}
	if c.place, err = c.bundle.reopen(); err != nil {
		return err
	}
	if c.layers, err = c.openLayers(); err != nil {
		return err
	}
	if err := c.prepareMounts(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("isolation %s: %w: make mounts private: %w: in a chroot this cannot work", c.opts.Level(), ErrIsolation, err)
	}
	return nil
}

// furnish assembles the root and makes it the thread's.
func (t *thread) furnish(c *container) (err error) {
	if err := c.makeParts(); err != nil {
		return err
	}
	if c.layers != nil {
		if err := errors.Join(c.makeScratch(), c.limitStorage()); err != nil {
			return err
		}
		if err := c.hostFiles(); err != nil {
			return err
		}
	}
	if t.root, err = c.mountRoot(); err != nil {
		return err
	}
	if err := c.attachRoot(t.root); err != nil {
		return err
	}
	if c.places, err = newPlaces(t.root); err != nil {
		return err
	}
	c.places.inner = c.users
	if c.newNamespace(specs.NetworkNamespace) {
		if err := raiseLoopback(); err != nil {
			return err
		}
	}
	if err := c.setNames(); err != nil {
		return err
	}
	if err := c.attachMounts(); err != nil {
		return err
	}
	if c.spec.Process.Terminal {
		if err := c.makeTerminal(); err != nil {
			return err
		}
	}
	if err := c.setSysctls(); err != nil {
		return err
	}
	if err := c.maskPaths(); err != nil {
		return err
	}
	if c.spec.Root.Readonly {
		if err := (detached{t.root.Fd()}).change(unix.MOUNT_ATTR_RDONLY, 0, false); err != nil {
			return fmt.Errorf("make root read-only: %w", err)
		}
	}
	if err := c.hooksBefore(t.command.pid); err != nil {
		return err
	}
	if err := pivot(t.root); err != nil {
		return err
	}
	return c.spreadRoot()
}

func (c *container) setNames() error {
	if !hasNamespace(c.spec, specs.UTSNamespace) {
		return nil
	}
	if c.spec.Hostname != "" {
		if err := unix.Sethostname([]byte(c.spec.Hostname)); err != nil {
			return fmt.Errorf("set host name %q: %w", c.spec.Hostname, err)
		}
	}
	if c.spec.Domainname != "" {
		if err := unix.Setdomainname([]byte(c.spec.Domainname)); err != nil {
			return fmt.Errorf("set domain name %q: %w", c.spec.Domainname, err)
		}
	}
	return nil
}

// setSysctls writes those that belong to a namespace of the container, and no
// others: they would be the machine's.
func (c *container) setSysctls() error {
	for name, value := range c.spec.Linux.Sysctl {
		if !c.ownSysctl(name) {
			return fmt.Errorf("sysctl %s: it is not the container's own", name)
		}
		file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return nil
}

func (c *container) ownSysctl(name string) bool {
	if strings.Contains(name, "/") || strings.Contains(name, "..") {
		return false
	}
	if strings.HasPrefix(name, "net.") {
		return hasNamespace(c.spec, specs.NetworkNamespace)
	}
	for _, p := range []string{"kernel.msg", "kernel.shm", "kernel.sem", "fs.mqueue."} {
		if strings.HasPrefix(name, p) {
			return hasNamespace(c.spec, specs.IPCNamespace)
		}
	}
	return false
}

// unmake leaves the container's mount namespace, which ends with its last
// member, and takes away the mount points that were made: what is mounted on in
// the caller's namespace cannot be. When this returns the overlay is unmounted
// and its upper directory is the caller's.
func (t *thread) unmake(c *container) error {
	var errs []error
	if c.gate != nil {
		c.places = nil // they are in use, and the root is what it is to be
	}
	if c.spec.Root.Readonly && c.places != nil && len(c.places.made) > 0 {
		attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
		_ = unix.MountSetattr(t.root.Fd(), "", unix.AT_EMPTY_PATH, &attr)
	}
	if t.hostNS >= 0 {
		if err := unix.Setns(t.hostNS, unix.CLONE_NEWNS); err != nil {
			errs = append(errs, fmt.Errorf("leave mount namespace: %w", err))
		}
		errs = append(errs, unix.Close(t.hostNS))
	}
	if c.places != nil {
		c.places.clean()
		errs = append(errs, c.leaveWork())
	}
	if t.root != nil {
		errs = append(errs, t.root.Close())
	}
	return errors.Join(errs...)
}
