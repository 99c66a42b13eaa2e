package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func (r *runtime) startCommand() *cli.Command {
	return r.verb(&cli.Command{
		Name: "start", Args: "CONTAINER",
		Short: "Have a created container execute its command.",
	}, 1, func(_ *cli.IO, args []string) error { return r.start(args[0]) })
}

func (r *runtime) start(id string) error {
	c, s, err := r.find(id)
	if err != nil {
		return err
	}
	if s.Status != container.Created {
		return fmt.Errorf("start %s: it is %s, not created", id, s.Status)
	}
	m, err := made(s)
	if err != nil {
		return err
	}
	spec, err := configOf(c)
	if err != nil {
		return err
	}
	err = startMade(c, spec, s, m)
	if err != nil && !errors.Is(err, errStarted) {
		err = errors.Join(err, halt(c))
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	return nil
}

// errStarted means that another start was first.
var errStarted = errors.New("it is not waiting to be started any more")

// startMade calls the hooks around the start and records it. Whoever is first
// to record it starts the container.
func startMade(c *container.Container, spec *specs.Spec, s container.State, m sandbox.Created) error {
	in, err := joint(s)
	if err != nil {
		return err
	}
	defer in.PIDFD.Close()
	if spec.Hooks != nil && len(spec.Hooks.StartContainer) > 0 {
		if err := enterContainer(in); err != nil {
			return err
		}
	}
	if err := sandbox.StartHooks(in, spec, hookState(s, specs.StateCreated, s.PID)); err != nil {
		return err
	}
	_, err = c.Update(func(s *container.State) error {
		if s.Status != container.Created {
			return errStarted
		}
		s.Status, s.Started = container.Running, time.Now().UTC()
		return nil
	})
	if err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return err
	}
	if spec.Hooks == nil {
		return nil
	}
	return sandbox.RunHooks("poststart", spec.Hooks.Poststart, hookState(s, specs.StateRunning, s.PID))
}

// halt kills a container and waits until it has ended.
func halt(c *container.Container) error {
	s, err := c.State()
	if err != nil || s.Status == container.Stopped {
		return err
	}
	if s.Process.PID == 0 {
		return fmt.Errorf("it is being made by process %d", s.Monitor.PID)
	}
	for wait := time.Millisecond; s.Process.Alive(); wait = min(2*wait, 100*time.Millisecond) {
		if err := s.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		time.Sleep(wait)
	}
	return sandbox.KillCgroups(s.Cgroups)
}

func (r *runtime) killCommand() *cli.Command {
	var all bool
	return r.verb(&cli.Command{
		Name: "kill", Args: "CONTAINER [SIGNAL]",
		Short: "Send a signal to a container's process, TERM if none is named.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&all, "all", "a", false, "send it to every process of the container")
		},
	}, 1, func(_ *cli.IO, args []string) error { return r.kill(args, all) })
}

func (r *runtime) kill(args []string, all bool) error {
	_, s, err := r.find(args[0])
	if err != nil {
		return err
	}
	sig := syscall.SIGTERM
	if len(args) > 1 {
		if sig, err = container.ParseSignal(args[1]); err != nil {
			return err
		}
	}
	if all && len(s.Cgroups) > 0 {
		return sandbox.SignalCgroups(s.Cgroups, sig)
	}
	err = os.ErrProcessDone
	if s.Status == container.Running || s.Status == container.Created {
		err = s.Process.Signal(sig)
	}
	if errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: container not running", s.ID) // the words that engines look for
	}
	return err
}

func (r *runtime) deleteCommand() *cli.Command {
	var force bool
	return r.verb(&cli.Command{
		Name: "delete", Args: "CONTAINER",
		Short: "Remove what is left of a container that has ended.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&force, "force", "f", false, "end it first if it has not; no error if there is none")
		},
	}, 1, func(io *cli.IO, args []string) error { return r.delete(io, args[0], force) })
}

func (r *runtime) delete(io *cli.IO, id string, force bool) error {
	c, s, err := r.find(id)
	if force && errors.Is(err, container.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case s.Status == container.Stopped:
	case s.Status == container.Created || force: // as runc: what never ran can go
		if err := halt(c); err != nil {
			return fmt.Errorf("delete %s: %w", id, err)
		}
	default:
		return fmt.Errorf("delete %s: %w: stop it first, or use --force", id, container.ErrRunning)
	}
	// A container without a pid namespace may have left processes behind.
	if err := errors.Join(sandbox.KillCgroups(s.Cgroups), sandbox.RemoveCgroups(s.Cgroups)); err != nil {
		return fmt.Errorf("delete %s: %w", id, err)
	}
	spec, serr := configOf(c)
	if _, err := c.State(); err != nil { // which records the end
		return err
	}
	if err := c.Remove(); err != nil {
		return fmt.Errorf("delete %s: %w", id, err)
	}
	if serr == nil && spec.Hooks != nil { // else it was never whole
		sandbox.StopHooks(spec.Hooks.Poststop, hookState(s, specs.StateStopped, 0), func(w string) { io.Warnf("%s", w) })
	}
	return nil
}
