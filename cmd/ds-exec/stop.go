package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
)

// dying is how long a container may take to end once it is killed.
const dying = 10 * time.Second

func stopCommand() *cli.Command {
	var seconds float64
	return &cli.Command{
		Name: "stop", Args: "CONTAINER...",
		Short: "Ask containers to end, and kill those that do not.",
		Long: `The command gets the image's STOPSIGNAL, or TERM. One that has ended already is left alone.

    ds-exec stop --time 2 web`,
		Flags: func(f *cli.Flags) {
			f.Float64VarP(&seconds, "time", "t", 10, "kill after `SECONDS`")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if !(seconds >= 0 && seconds < 1e9) {
				return cli.Usagef("--time must be a number of seconds")
			}
			grace := time.Duration(seconds * float64(time.Second))
			return each(stdio, args, func(c *container.Container, ref string) (string, error) {
				return ref, stop(ctx, c, grace)
			})
		},
	}
}

func killCommand() *cli.Command {
	var name string
	return &cli.Command{
		Name: "kill", Args: "CONTAINER...",
		Short: "Send the commands of containers a signal, KILL by default.",
		Flags: func(f *cli.Flags) {
			f.StringVarP(&name, "signal", "s", "KILL", "send `SIGNAL`, by name or number")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			sig, err := container.ParseSignal(name)
			if err != nil {
				return cli.Usagef("--signal: %v", err)
			}
			return each(stdio, args, func(c *container.Container, ref string) (string, error) {
				s, err := c.State()
				if err != nil {
					return "", err
				}
				err = os.ErrProcessDone
				if s.Status == container.Running {
					err = s.Process.Signal(sig)
				}
				if errors.Is(err, os.ErrProcessDone) {
					return "", fmt.Errorf("kill %s: it is not running", ref)
				}
				return ref, err
			})
		},
	}
}

func waitCommand() *cli.Command {
	return &cli.Command{
		Name: "wait", Args: "CONTAINER...",
		Short: "Wait until containers have ended, and print their exit statuses.",
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			return each(stdio, args, func(c *container.Container, ref string) (string, error) {
				s, err := c.Wait(ctx)
				if err != nil {
					return "", err
				}
				if s.Exit.Unknown {
					return "", fmt.Errorf("wait for %s: it was killed from outside, and its exit status is not known", ref)
				}
				return strconv.Itoa(s.Exit.Status), nil
			})
		},
	}
}

// stop ends a container: by its stop signal, and after the grace by force.
func stop(ctx context.Context, c *container.Container, grace time.Duration) error {
	s, err := c.State()
	if err != nil || s.Status == container.Stopped {
		return err
	}
	sig, err := container.ParseSignal(cmp.Or(s.StopSignal, "TERM"))
	if err != nil {
		return fmt.Errorf("stop %s: %w", cut(c.ID(), shortID, false), err)
	}
	if err := ask(s, sig); err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if _, err = c.Wait(asked); err == nil || errors.Is(err, container.ErrNotFound) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return end(ctx, c)
}

// end kills a container and waits until that is recorded.
func end(ctx context.Context, c *container.Container) error {
	for _, who := range []func(container.State) container.Process{
		func(s container.State) container.Process { return s.Process },
		func(s container.State) container.Process { return s.Monitor },
	} {
		s, err := c.State()
		if errors.Is(err, container.ErrNotFound) || err == nil && s.Status == container.Stopped {
			return nil
		}
		if err != nil {
			return err
		}
		if err := who(s).Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		if who(s) == (container.Process{}) {
			continue
		}
		dead, cancel := context.WithTimeout(ctx, dying)
		_, err = c.Wait(dead)
		cancel()
		if err == nil || errors.Is(err, container.ErrNotFound) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("stop %s: it was killed, and does not end", cut(c.ID(), shortID, false))
}

// ask sends the command a signal. One that is still being started gets none.
func ask(s container.State, sig syscall.Signal) error {
	if s.Status != container.Running {
		return nil
	}
	if err := s.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
