package sandbox

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// isolated gives the options with what their level stands for.
func (o Options) isolated() (Options, error) {
	switch inside := InUserNamespace(); {
	case o.Isolation == IsolationFull && inside:
		return o, fmt.Errorf("isolation full: %w: the caller is root of a user namespace, whose level is user", ErrIsolation)
	case o.Isolation == IsolationUser && !inside:
		return o, errors.New("isolation user: it is an ordinary user's, and root's is full")
	case (o.Isolation == IsolationFull || o.Isolation == IsolationUser) && (o.NoNamespaces || o.NoSeccomp):
		return o, fmt.Errorf("isolation %s: it has namespaces and a system call filter, which other options take away", o.Isolation)
	}
	switch o.Isolation {
	case "", IsolationFull, IsolationUser:
	case IsolationChroot:
		o.NoNamespaces = true
	case IsolationNone:
		o.NoNamespaces, o.NoSeccomp = true, true
	default:
		return o, fmt.Errorf("isolation %q is no level", o.Isolation)
	}
	return o, nil
}

// unlock gives a process at the level none what its caller has, and hides
// nothing from it.
func unlock(p *specs.Process, l *specs.Linux) error {
	caps, err := Capabilities()
	if err != nil {
		return err
	}
	p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps}
	p.NoNewPrivileges = false
	l.MaskedPaths, l.ReadonlyPaths = nil, nil
	return nil
}

// unshareRemedy finds out which of the namespaces it is that the kernel refuses
// to the calling thread, which makes no use of the others any more.
func (c *container) unshareRemedy(flags int, err error) error {
	level := c.opts.Level()
	for _, n := range namespaceKinds {
		if flags&n.flag == 0 {
			continue
		}
		if e := unix.Unshare(n.flag); e != nil {
			return fmt.Errorf("isolation %s: %w: %s namespace: %w%s", level, ErrIsolation, n.name, e, namespaceAdvice(e, n.name))
		}
	}
	return fmt.Errorf("isolation %s: %w: unshare: %w%s", level, ErrIsolation, err, namespaceAdvice(err, ""))
}

// namespaceKinds are in the order in which they are tried and shown.
var namespaceKinds = []struct {
	name string
	flag int
}{
	{"mount", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS},
	{"network", unix.CLONE_NEWNET}, {"cgroup", unix.CLONE_NEWCGROUP}, {"time", unix.CLONE_NEWTIME},
}

func namespaceAdvice(err error, name string) string {
	limits := map[string]string{"mount": "mnt", "network": "net"}
	short := name
	if l, ok := limits[name]; ok {
		short = l
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return ": the caller has not the capability SYS_ADMIN, or a filter of the container that it is in refuses"
	case errors.Is(err, unix.ENOSPC):
		return ": raise the sysctl user.max_" + short + "_namespaces"
	case errors.Is(err, unix.EINVAL):
		return ": this kernel has none"
	}
	return ""
}
