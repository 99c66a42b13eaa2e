package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Exec runs a process of which everything is said in a container that runs, as
// runtimes do; Enter is for a command like the container's own. Where the
// container has a user namespace of its own the process joins that, too. Exec
// returns when the process has ended, or, detached, when it has executed.
func Exec(ctx context.Context, in Joint, spec *specs.Spec, o ExecOptions) (Result, error) {
	failed := Result{Status: 125}
	c, err := newVisit(spec, o)
	if err != nil {
		return failed, err
	}
	_, _ = ownIDs(), InUserNamespace() // while /proc is the host's
	flags, err := foreignNamespaces(in.PID)
	if err != nil {
		return failed, in.verdict(err)
	}
	same, err := sameNamespace(in.PID, "user")
	if err != nil {
		return failed, in.verdict(err)
	}
	if !same {
		c.users = readIDs("/proc/" + strconv.Itoa(in.PID))
	}
	if err := HideMemory(); err != nil {
		return failed, err
	}
	return in.run(ctx, c, flags)
}

// newVisit is the part of a container that a process needs which joins it.
func newVisit(of *specs.Spec, o ExecOptions) (*container, error) {
	spec, p := *of, *o.Process
	spec.Process = &p
	if p.Capabilities == nil && of.Process != nil {
		p.Capabilities = of.Process.Capabilities
	}
	switch {
	case len(p.Args) == 0:
		return nil, errors.New("no command")
	case o.Detach && p.Terminal && o.Console == nil:
		return nil, errors.New("nobody takes the terminal: a console socket is missing")
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	if err := checkStrings(&spec); err != nil {
		return nil, err
	}
	c := containerOf(&spec, Options{
		Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Console: o.Console, Started: o.Started,
		PreserveFDs: o.PreserveFDs, NoSeccomp: o.NoSeccomp,
	})
	c.outlives, c.visiting, c.command = o.Detach, true, o.path
	return c, nil
}

// openJoint takes hold of a process of a container.
func openJoint(pid int, cgroups []string) (Joint, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return Joint{}, fmt.Errorf("open process %d: %w", pid, err)
	}
	return Joint{PID: pid, PIDFD: os.NewFile(uintptr(fd), "pidfd"), Cgroups: cgroups}, nil
}
