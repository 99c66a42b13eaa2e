package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Run starts the bundle's process and waits for it to end, and with it every
// other process of the container. An error means that the process did not run;
// ErrCommandNotFound and ErrCommandNotInvocable tell why, everything else is the
// sandbox's. When ctx ends first, the container is killed.
//
// Run passes the caller's SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
// SIGALRM and SIGWINCH on to the process. The caller is root, or has called
// EnterUserNamespace.
func Run(ctx context.Context, b *Bundle, o Options) (Result, error) {
	failed := Result{Status: 125}
	spec, err := o.apply(b.Spec)
	if err != nil {
		return failed, err
	}
	if os.Geteuid() != 0 {
		return failed, errors.New("run: an ordinary user needs a user namespace first")
	}
	if o.Warn != nil {
		for _, w := range o.warnings() {
			o.Warn(w)
		}
	}
	_, _ = ownIDs(), InUserNamespace() // while /proc is the host's
	// Until they execute, the container's processes have our memory.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return failed, fmt.Errorf("hide memory: %w", err)
	}
	limits, err := o.Limits.with(spec.Linux.Resources)
	if err != nil {
		return failed, err
	}
	c := &container{bundle: b, spec: spec, opts: o, place: bundleDir{-1}, scratch: detached{-1}, procFS: -1}
	c.filter = sync.OnceValues(func() ([]unix.SockFilter, error) { return seccompFilter(spec) })
	if !o.NoSeccomp {
		go func() { _, _ = c.filter() }() // while the namespaces are made
	}
	lacking, err := c.withoutLacking()
	if err != nil {
		return failed, err
	}
	if len(lacking) > 0 && o.Warn != nil {
		o.Warn("not here, and left out: " + strings.Join(lacking, ", "))
	}
	if c.cgroup, err = newCgroup(limits, randomName()); err != nil {
		return failed, err
	}
	if c.cgroup != nil {
		defer c.cgroup.remove()
	}
	res, err := c.run(ctx)
	if err != nil {
		return failed, err
	}
	if c.cgroup != nil {
		oom, peak := c.cgroup.verdict()
		res.OOM, res.PeakMemory = oom, max(res.PeakMemory*btoi(peak == 0), peak)
	}
	return res, nil
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// run makes the container on a thread of its own and waits for its command.
func (c *container) run(ctx context.Context) (res Result, err error) {
	t := c.startThread()
	defer func() {
		if lerr := t.leave(); err == nil && lerr != nil {
			err = lerr
		}
	}()
	if t.err != nil {
		return res, t.err
	}
	if err := c.admit(t); err != nil {
		return res, err
	}
	pid := t.command.pid
	if c.opts.Started != nil {
		c.opts.Started(pid)
	}
	return c.await(ctx, t)
}

// admit lets the waiting command go on, once what only the outside can do for
// it has been done.
func (c *container) admit(t *thread) error {
	err := func() error {
		if c.cgroup != nil {
			if err := c.cgroup.enter(t.command.pid); err != nil {
				return err
			}
		}
		if adj := c.spec.Process.OOMScoreAdj; adj != nil {
			file := "/proc/" + strconv.Itoa(t.command.pid) + "/oom_score_adj"
			if err := os.WriteFile(file, []byte(strconv.Itoa(*adj)), 0); err != nil {
				return fmt.Errorf("set oom score: %w", err)
			}
		}
		_, err := t.ready.Write([]byte{1})
		return err
	}()
	t.ready.Close()
	serr := t.command.started()
	if err != nil {
		return err
	}
	return commandError(serr, c.spec.Process.Args[0])
}

// commandError tells the command's own faults from ours.
func commandError(err error, name string) error {
	var step *stepError
	if !errors.As(err, &step) {
		return err
	}
	if step.step != executeName {
		return fmt.Errorf("start %q: %w", name, err)
	}
	if errors.Is(step.err, unix.ENOENT) {
		return fmt.Errorf("%q: %w: its interpreter is not in the container", name, ErrCommandNotFound)
	}
	return fmt.Errorf("%q: %w: %w", name, ErrCommandNotInvocable, step.err)
}

// await waits for the command and ends the container with it.
func (c *container) await(ctx context.Context, t *thread) (Result, error) {
	foreground := !t.ownTTY && sharesTerminal()
	stop := passSignals(t.command.pid, foreground, nil)
	cancel := context.AfterFunc(ctx, func() { _ = unix.Kill(t.command.pid, unix.SIGKILL) })
	err := ended(t.command.pid)
	cancel() // as long as it is not reaped, its id is nobody else's
	stop()
	var status unix.WaitStatus
	var usage unix.Rusage
	if err == nil {
		_, err = wait(t.command.pid, &status, &usage)
	}
	if foreground {
		takeTerminal()
	}
	if err != nil {
		return Result{}, fmt.Errorf("wait for the command: %w", err)
	}
	res := Result{Status: status.ExitStatus(), PeakMemory: usage.Maxrss * 1024}
	if status.Signaled() {
		res.Signal = int(status.Signal())
		res.Status = 128 + res.Signal
	}
	return res, nil
}

// ended waits for a child without reaping it.
func ended(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// takeTerminal brings the caller's job back to the foreground, which a shell in
// the container took and, gone, could not give back.
func takeTerminal() {
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
}
