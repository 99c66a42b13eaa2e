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
	c, err := newContainer(b, o)
	if err != nil {
		return failed, err
	}
	if c.cgroup != nil {
		defer c.cgroup.remove()
	}
	killed := c.cgroup.watchVictims()
	res, err := c.run(ctx, func(t *thread) error { return t.make(c) })
	c.watch.end()
	victims := killed.end(err == nil && c.cgroup.killed())
	if len(victims) == 0 && res.Signal == int(unix.SIGKILL) {
		victims = []victim{c.first}
	}
	for i := range victims {
		if x := &victims[i]; x.inside == 0 && x.pid == c.first.pid { // it had gone before it could be asked
			x.inside = c.first.inside
		}
	}
	c.hooksAfter()
	c.watch.verdict(&res, c.opts.Storage)
	if c.storage.fd >= 0 {
		c.storage.close()
	}
	if err != nil {
		return failed, err
	}
	if c.cgroup != nil {
		c.cgroup.verdict(&res, c.first, victims)
	}
	c.signalVerdict(&res)
	return res, nil
}

func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// run has the container made, or joined, on a thread of its own and waits for
// its command.
func (c *container) run(ctx context.Context, prepare func(*thread) error) (res Result, err error) {
	t := c.startThread(prepare, func() { c.signals = catchSignals() })
	defer c.signals.end()
	defer func() {
		if lerr := t.leave(); err == nil && lerr != nil {
			err = lerr
		}
	}()
	if t.err != nil {
		return res, t.err
	}
	return c.attend(ctx, t)
}

// attend lets the command that waits go on and waits for its end.
func (c *container) attend(ctx context.Context, t *thread) (res Result, err error) {
	talk, err := c.console()
	if err != nil {
		return res, errors.Join(err, t.abandon())
	}
	defer talk()
	if err := c.hooksStart(t.command.pid); err != nil {
		return res, errors.Join(err, t.abandon())
	}
	mounts := c.ownMounts(t.command.pid)
	c.watch = c.startWatch(t)
	if err := c.admit(t.command); err != nil {
		return res, err
	}
	if err := c.hooksStarted(t.command.pid); err != nil {
		return res, errors.Join(err, t.kill())
	}
	if c.opts.Started != nil {
		c.opts.Started(t.command.pid)
	}
	if c.outlives {
		return Result{}, nil
	}
	res, err = c.await(ctx, t.command.pid, !t.ownTTY)
	endOrphans(mounts)
	return res, err
}

// console gives the near end of the container's terminal to who wants it, or
// relays it, until finish is called.
func (c *container) console() (finish func(), err error) {
	if c.terminal == nil {
		return func() {}, nil
	}
	c.terminal.far.Close()
	near := c.terminal.near
	if c.opts.Console != nil {
		return func() {}, errors.Join(c.opts.Console(near), near.Close())
	}
	r, err := startRelay(near, c.opts.Stdin, c.opts.Stdout)
	if err != nil {
		return nil, fmt.Errorf("relay terminal: %w", err)
	}
	return r.finish, nil
}

// admit lets the waiting process go on, once what only the outside can do for
// it has been done.
func (c *container) admit(l *launch) error {
	err := c.prepareOutside(l.pid)
	if err == nil {
		_, err = l.ready.Write([]byte{1})
	}
	if err == nil {
		c.watch.listen(l)
	}
	l.close()
	serr := l.started()
	if err != nil {
		return err
	}
	return commandError(serr, c.spec.Process.Args[0])
}

// prepareOutside does for a process what it cannot do itself.
func (c *container) prepareOutside(pid int) error {
	if c.cgroup != nil {
		if err := c.cgroup.enter(pid); err != nil {
			return err
		}
	}
	for _, r := range c.rlimits {
		if err := unix.Prlimit(pid, int(r.resource), &r.limit, nil); err != nil {
			return fmt.Errorf("set resource limits: %w", err)
		}
	}
	if adj := c.spec.Process.OOMScoreAdj; adj != nil {
		file := "/proc/" + strconv.Itoa(pid) + "/oom_score_adj"
		if err := os.WriteFile(file, []byte(strconv.Itoa(*adj)), 0); err != nil {
			return fmt.Errorf("set oom score: %w", err)
		}
	}
	return nil
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

// await waits for a process. shares says that it is on the caller's terminal.
func (c *container) await(ctx context.Context, pid int, shares bool) (Result, error) {
	foreground := shares && sharesTerminal()
	c.signals.pass(pid, foreground)
	cancel := context.AfterFunc(ctx, func() { _ = unix.Kill(pid, unix.SIGKILL) })
	err := ended(pid)
	cancel() // as long as it is not reaped, its id is nobody else's
	c.signals.end()
	if c.namesCommand() {
		c.first = nameProcess(pid) // as it was called last
	}
	var status unix.WaitStatus
	var usage unix.Rusage
	if err == nil {
		_, err = wait(pid, &status, &usage)
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
