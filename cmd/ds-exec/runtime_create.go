package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
)

// creation are the flags of create.
type creation struct {
	bundle, pidFile, console string
	preserveFDs              int
	noPivot, noKeyring       bool
}

func (r *runtime) createCommand() *cli.Command {
	n := &creation{}
	return r.verb(&cli.Command{
		Name: "create", Args: "CONTAINER",
		Short: "Make a container whose process waits to be started.",
		Flags: n.declare,
	}, 1, func(io *cli.IO, args []string) error { return r.create(io, n, args[0]) })
}

func (n *creation) declare(f *cli.Flags) {
	f.StringVarP(&n.bundle, "bundle", "b", ".", "the bundle in `DIR`")
	f.StringVar(&n.pidFile, "pid-file", "", "write the process id to `FILE`")
	f.StringVar(&n.console, "console-socket", "", "send the terminal to the socket `PATH`")
	f.IntVar(&n.preserveFDs, "preserve-fds", 0, "pass `N` descriptors from 3 on")
	f.BoolVar(&n.noPivot, "no-pivot", false, "refused: without pivot_root the machine's root can be reached")
	f.BoolVar(&n.noKeyring, "no-new-keyring", false, "stay in the caller's session keyring")
	f.Complete("bundle", "dir")
	f.Complete("pid-file", "file")
	f.Complete("console-socket", "file")
}

func (r *runtime) create(io *cli.IO, n *creation, id string) (err error) {
	if n.noPivot {
		return cli.Usagef("--no-pivot: a root that cannot be pivoted into is one that could be left")
	}
	if err := enterRuntime(); err != nil {
		return err
	}
	dir, err := filepath.Abs(n.bundle)
	if err != nil {
		return err
	}
	b, err := sandbox.OpenBundle(dir)
	if err != nil {
		return err
	}
	defer b.Close()
	c, err := r.begin(b, id, dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, forget(c))
		}
	}()
	// What is changed in the bundle from now on is of no importance.
	if err := os.WriteFile(c.Path("config.json"), b.Config, 0o600); err != nil {
		return fmt.Errorf("keep config.json: %w", err)
	}
	o := sandbox.CreateOptions{Gate: c.Path("gate")}
	o.ID, o.SharedKeyring, o.PreserveFDs = id, n.noKeyring, n.preserveFDs
	o.Warn = func(sentence string) { io.Warnf("%s", sentence) }
	if n.console != "" {
		o.Console = func(near *os.File) error { return sandbox.SendTerminal(n.console, near) }
	}
	m, err := sandbox.Create(b, o)
	if err != nil {
		return err
	}
	if err := r.finish(c, m); err != nil {
		return errors.Join(err, m.Undo())
	}
	return writePID(n.pidFile, m.PID)
}

// begin records a container that is being made.
func (r *runtime) begin(b *sandbox.Bundle, id, dir string) (*container.Container, error) {
	t, err := r.table()
	if err != nil {
		return nil, err
	}
	self, err := container.Self()
	if err != nil {
		return nil, err
	}
	return t.Create(container.State{
		ID: id, Status: container.Creating, Monitor: self, Bundle: dir, Terminal: b.Spec.Process.Terminal,
		OCIVersion: b.Spec.Version, Annotations: b.Spec.Annotations, Command: b.Spec.Process.Args,
	})
}

// finish records what was made.
func (r *runtime) finish(c *container.Container, m *sandbox.Created) error {
	options, err := json.Marshal(m)
	if err != nil {
		return err
	}
	process, err := container.Identify(m.PID)
	if err != nil {
		return err
	}
	_, err = c.Update(func(s *container.State) error {
		s.Status, s.PID, s.Process, s.Monitor = container.Created, m.PID, process, container.Process{}
		s.Cgroups, s.Options = m.Cgroups, options
		return nil
	})
	return err
}

// enterRuntime makes an ordinary user root in a user namespace.
func enterRuntime() error {
	return sandbox.EnterUserNamespace(sandbox.UserNamespaceOptions{})
}
