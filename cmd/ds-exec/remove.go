package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
)

func removeCommand() *cli.Command {
	var force, volumes bool
	return &cli.Command{
		Name: "rm", Args: "CONTAINER...",
		Short: "Remove containers that have ended, with their logs and what they wrote.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&force, "force", "f", false, "kill those that run")
			f.BoolVarP(&volumes, "volumes", "v", false, "remove the volumes without a name that were made for them, too")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			list, err := findAll(stdio, args)
			if err != nil {
				return err
			}
			for i, c := range list { // as the caller: in a namespace of our own we could signal nobody
				s, err := c.State()
				switch {
				case err != nil && !errors.Is(err, container.ErrBroken):
					return err
				case err != nil || s.Status == container.Stopped:
				case !force:
					return cli.WithHint(fmt.Errorf("remove %s: it is running", args[i]), "stop it, or --force")
				default:
					if err := end(ctx, c); err != nil {
						return err
					}
				}
			}
			if err := enterNamespace(stdio); err != nil {
				return err
			}
			return each(stdio, args, func(c *container.Container, ref string) (string, error) {
				err := remove(stdio, c, volumes)
				if errors.Is(err, container.ErrNotFound) {
					err = nil // --rm was there first
				}
				return ref, err
			})
		},
	}
}

// remove takes away a container that has ended and all that is its own. The
// record goes last: it is what leads to the rest.
func remove(stdio *cli.IO, c *container.Container, volumes bool) error {
	s, err := c.State()
	if err != nil && !errors.Is(err, container.ErrBroken) {
		return err
	}
	if err == nil && s.Status == container.Stopped {
		if s.OwnBundle && s.Bundle != "" {
			if err := os.RemoveAll(s.Bundle); err != nil {
				return fmt.Errorf("remove bundle: %w", err)
			}
		}
		if err := sandbox.RemoveCgroups(s.Cgroups); err != nil {
			return err
		}
		if volumes || s.Remove {
			if err := discardVolumes(stdio, s.Volumes, s.ID); err != nil {
				return err
			}
		}
	}
	return c.Remove()
}

func pruneCommand() *cli.Command {
	return &cli.Command{
		Name: "prune", Args: "",
		Short: "Remove all containers that have ended, and what killed ones left.",
		Long:  "The ids of those that were removed are printed.",
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return clear(stdio, args, func(s container.State) bool { return s.Status == container.Stopped })
		},
	}
}

func gcCommand() *cli.Command {
	return &cli.Command{
		Name: "gc", Args: "",
		Short: "Remove the containers that were killed from outside, and what they left.",
		Long: `Those that have ended in an orderly way, and have not been removed, are left alone.
The ids of those that were removed are printed.`,
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return clear(stdio, args, func(s container.State) bool {
				return s.Status == container.Stopped && (s.Exit.Unknown || s.Remove)
			})
		},
	}
}

// clear removes the containers that which picks, and what is of no container.
func clear(stdio *cli.IO, args []string, which func(container.State) bool) error {
	if len(args) > 0 {
		return cli.Usagef("no operand is taken")
	}
	if err := enterNamespace(stdio); err != nil {
		return err
	}
	t, err := table(stdio)
	if err != nil {
		return err
	}
	list, err := t.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range list {
		if !which(s) {
			continue
		}
		c, err := t.Get(s.ID)
		if err == nil {
			err = remove(stdio, c, false)
		}
		switch {
		case errors.Is(err, container.ErrNotFound): // another one removed it
		case err != nil:
			errs = append(errs, err)
		default:
			if _, err := fmt.Fprintln(stdio.Stdout, s.ID); err != nil {
				return err
			}
		}
	}
	if err := t.Sweep(); err != nil {
		errs = append(errs, err)
	}
	sandbox.SweepCgroups()
	return joinLines(stdio, errs)
}
